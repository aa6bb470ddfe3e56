"""Who we are to a source. Rows say how to prove it; what proves it is in an Airflow connection, and nowhere else."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import quote, quote_plus, urlencode

from pydantic import BeforeValidator, Field, PositiveInt
from yarl import URL

from include import model
from include.connectors._rest_actions import judge
from include.connectors._rest_fields import Name, Url, to_json
from include.errors import ConfigError, PermanentError
from include.model import Connection, Http

_LITERAL_SECRETS = frozenset({"token", "api_key", "username", "password", "client_id", "client_secret", "access_token"})
_SHORTEST_SECRET = 6  # anything shorter turns up in texts by chance
_IN_HAND_SECONDS = 30.0


class Bearer(model.Config):
    """`Authorization: Bearer ...` with the connection's password."""

    type: Literal["bearer"]


class ApiKey(model.Config):
    """The connection's password in a header or a parameter of its own."""

    type: Literal["api_key"]
    name: Name = Field(default="Authorization", description="Of the header or the parameter.")
    location: Literal["header", "query"] = "header"


class HttpBasic(model.Config):
    """The connection's login and password (RFC 7617)."""

    type: Literal["http_basic"]


class ClientCredentials(model.Config):
    """An OAuth 2.0 token for the connection's login and password, as client id and secret (RFC 6749 4.4)."""

    type: Literal["oauth2_client_credentials"]
    access_token_url: Url = Field(description="Where tokens are given out.")
    access_token_request_data: dict[str, str] = Field(default_factory=dict, description="Such as scope or audience.")
    default_token_expiration: PositiveInt = Field(default=3600, description="Seconds, where the reply says nothing.")


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return {"type": value}
    if isinstance(value, dict):
        data = value.get("access_token_request_data")
        literal = _LITERAL_SECRETS.intersection([*value, *(data if isinstance(data, dict) else ())])
        if literal:
            names = " and ".join(sorted(literal))
            raise ValueError(
                f"leave out {names}: put secrets into an Airflow connection, as login and password; name it as conn_id"
            )
        return {"type": "bearer", **value}
    return value


Method = Bearer | ApiKey | HttpBasic | ClientCredentials
Type = Literal["bearer", "api_key", "http_basic", "oauth2_client_credentials"]
Auth = Annotated[
    Annotated[Method, Field(discriminator="type")],
    BeforeValidator(_without_secrets, json_schema_input_type=Type | Annotated[Method, Field(discriminator="type")]),
]


@dataclass(frozen=True, slots=True)
class Proof:
    """What is added to a request, and what must never be seen elsewhere."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def added_to(self, url: URL) -> URL:
        return url.extend_query(self.query) if self.query else url

    def redact(self, text: str) -> str:
        """The text without a secret in it, however it is spelt."""
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_SECRET:
                for spelling in _spellings(secret):
                    text = text.replace(spelling, "***")
        return text

    def taken_from(self, url: URL) -> URL:
        """The URL without the parameters that hold a secret; the very same one if there are none."""
        hidden = {
            name
            for name, value in url.query.items()
            if name in self.query or (len(value) >= _SHORTEST_SECRET and value in self.secrets)
        }
        bare = url.without_query_params(*hidden) if hidden else url
        if self.redact(str(bare)) != str(bare):
            raise PermanentError("the next link has a secret in it that cannot be taken out")
        return bare


def _spellings(secret: str) -> set[str]:
    """As it is, in JSON, in a path and in a query."""
    return {secret, json.dumps(secret)[1:-1], quote(secret), quote(secret, safe=""), quote_plus(secret)}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    until: float


# Tokens that are still good, by everything that they depend on. They die with the process.
_tokens: dict[tuple[str, ...], _Token] = {}


def proof(auth: Method | None, connection: Connection | None, url: str) -> Proof:
    """What to send with each request to the origin of `url`; without `auth` it is what the connection lends itself to.

    For OAuth, `token` is to be asked instead. `ConfigError` says what the connection lacks, or that it is not meant for
    this host.
    """
    if connection is None:
        return Proof()
    _check_host(connection, url)
    login, password = connection.login or "", connection.password or ""
    if isinstance(auth, HttpBasic) or (auth is None and login):
        basic = b64encode(f"{login}:{password}".encode()).decode()
        if not login:
            raise ConfigError(f"connection {connection.id!r} has no login; http_basic needs one")
        return Proof({"Authorization": f"Basic {basic}"}, secrets=(password, basic))
    secret = _secret(connection)
    if isinstance(auth, ApiKey):
        where = {auth.name: secret}
        return Proof(query=where, secrets=(secret,)) if auth.location == "query" else Proof(where, secrets=(secret,))
    return Proof({"Authorization": f"Bearer {secret}"}, secrets=(secret,))


async def token(
    auth: ClientCredentials, connection: Connection, http: Http, timeout_seconds: float, *, fresh: bool
) -> Proof:
    """A token, from the last time if it is still good for a while, unless it is to be `fresh`."""
    secret, login = _secret(connection), connection.login or ""
    _check_host(connection, auth.access_token_url)
    if not login:
        raise ConfigError(f"connection {connection.id!r} has no login; put the client id there")
    known = (connection.id, login, secret, auth.access_token_url, to_json(auth.access_token_request_data))
    now = time.monotonic()
    for key in [key for key, old in _tokens.items() if old.until <= now]:
        del _tokens[key]
    if fresh or known not in _tokens:
        form = {"grant_type": "client_credentials", "client_id": login, "client_secret": secret}
        _tokens[known] = await _ask_for_token(auth, {**form, **auth.access_token_request_data}, http, timeout_seconds)
    text = _tokens[known].text
    return Proof({"Authorization": f"Bearer {text}"}, secrets=(secret, text))


async def _ask_for_token(
    auth: ClientCredentials, form: Mapping[str, str], http: Http, timeout_seconds: float
) -> _Token:
    asked_at = time.monotonic()
    reply = await http.request(
        "POST",
        auth.access_token_url,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(form).encode(),
        timeout_seconds=timeout_seconds,
        follow_redirects=False,  # the body holds the secret
    )
    line = f"POST {URL(auth.access_token_url).host_port_subcomponent}: asking for a token:"
    judge(reply, line, (), Proof(secrets=(form["client_secret"],)).redact)
    try:
        grant = json.loads(reply.body)
        text, seconds = grant["access_token"], float(grant.get("expires_in") or auth.default_token_expiration)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise PermanentError(f"{line} the reply holds no access_token", code=reply.status) from None
    if not isinstance(text, str) or not text.isprintable():
        raise PermanentError(f"{line} the reply holds no access_token", code=reply.status)
    return _Token(text, asked_at + max(seconds - _IN_HAND_SECONDS, 0.0))


def _check_host(connection: Connection, url: str) -> None:
    """A connection that names a host gives its secret to no other, whoever writes the row."""
    if not connection.host:
        return
    meant = URL(connection.host if "//" in connection.host else f"//{connection.host}").host
    if meant != URL(url).host:
        raise ConfigError(
            f"connection {connection.id!r} is for host {meant}, and not for {URL(url).host}; write a URL of that host, "
            "or another conn_id"
        )


def _secret(connection: Connection) -> str:
    secret = connection.password or ""
    if not secret:
        raise ConfigError(f"connection {connection.id!r} has no password; put the token or the key there")
    if not secret.isprintable():
        raise ConfigError(f"the password of connection {connection.id!r} has a line break or the like in it")
    return secret

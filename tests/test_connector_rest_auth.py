"""Who a `rest` connector says it is, to whom, and that nobody else learns of it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from include.egress import Egress
from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from include.model import Connection
from tests.fake_http import Server, redirect, serving
from tests.rest_source import Puller, answering, egress, payloads, reply, sequence

__all__ = ["egress"]

SECRET = "s3cret/+ü&key"
KEYED = {"type": "api_key", "name": "key", "location": "query"}
_numbers = count()


def connection(login: str | None = None, password: str | None = SECRET) -> Connection:
    """One of its own for each test, for tokens are kept by it."""
    return Connection(id=f"shop-{next(_numbers)}", login=login, password=password)


def basic(login: str, password: str) -> str:
    return "Basic " + b64encode(f"{login}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("login", "auth", "name", "value"),
    [
        (None, None, "authorization", f"Bearer {SECRET}"),
        ("joe", None, "authorization", basic("joe", SECRET)),
        ("joe", "bearer", "authorization", f"Bearer {SECRET}"),
        ("joe", {"type": "http_basic"}, "authorization", basic("joe", SECRET)),
        (None, "api_key", "authorization", SECRET),
        (None, {"type": "api_key", "name": "X-Key"}, "x-key", SECRET),
    ],
)
async def test_a_header_proves_who_we_are(egress: Egress, login: str | None, auth: Any, name: str, value: str) -> None:
    """By the kind of `auth`, or else by what the connection has."""
    async with serving(sequence([])) as server:
        await Puller(egress, server, connection(login), auth=auth).pull()
        assert server.received[0].headers[name].encode("utf-8", "surrogateescape").decode() == value
        assert server.received[0].query == ""


@pytest.mark.parametrize(
    ("host", "allowed"), [("127.0.0.1", True), ("http://127.0.0.1/v1", True), ("bank.example", False)]
)
async def test_a_connection_that_names_its_host(egress: Egress, host: str, allowed: bool) -> None:
    """It gives its secret to no other host, whoever writes the row: the pull fails before anything is sent."""
    async with serving(sequence([])) as server:
        puller = Puller(egress, server, replace(connection(), host=host))
        if allowed:
            await puller.pull()
        else:
            with pytest.raises(ConfigError, match=r"is for host bank\.example"):
                await puller.pull()
        assert len(server.received) == allowed


async def test_a_login_alone_is_enough_for_some(egress: Egress) -> None:
    """Some APIs take the key as the user, without a password."""
    async with serving(sequence([])) as server:
        await Puller(egress, server, connection("sk_1", None)).pull()
        assert server.received[0].headers["authorization"] == basic("sk_1", "")


async def test_a_parameter_proves_who_we_are(egress: Egress) -> None:
    """It is sent with every page and seen nowhere: not in the cursor, not in the preview, not in an error."""

    def answer(request: web.Request, _body: Any) -> Any:
        assert request.query.getall("key") == [SECRET]
        page = int(request.query.get("page", "0"))
        return {"items": [page], "next": str(request.url.update_query(page=page + 1)) if page < 2 else None}

    async with serving(answering(answer)) as server:
        puller = Puller(egress, server, connection(), auth=KEYED, paginator="json_link")
        assert payloads(await puller.pull()) == [0, 1, 2]
        for page in puller.pages:
            seen = json.dumps([page.cursor, dict(page.about)])
            assert "s3cret" not in seen
            assert "key" not in seen
        assert payloads(await puller.pull(puller.pages[0].cursor)) == [1, 2]


async def test_a_link_with_a_secret_of_another_name(egress: Egress) -> None:
    """It is taken out of the link, whatever the parameter is called; in the path it cannot be, which is an error."""
    token = "a-token-of-some-length"

    def answer(request: web.Request, _body: Any) -> Any:
        link = f"?access_token={token}&page=1&q=%3A" if request.path == "/v1/items" else f"/v1/{token}/1"
        return {"items": [request.query_string], "next": None if request.query else link}

    async with serving(answering(answer)) as server:
        puller = Puller(egress, server, connection(None, token), paginator="json_link")
        assert payloads(await puller.pull()) == ["", "page=1&q=:"]
        with pytest.raises(PermanentError, match="the next link has a secret in it") as caught:
            await Puller(egress, server, connection(None, token), path="x", paginator="json_link").pull()
        assert token not in str(caught.value)


@pytest.mark.parametrize("auth", [None, "http_basic", KEYED])
async def test_an_error_that_repeats_the_secret(egress: Egress, auth: Any) -> None:
    """What the source says of it is shown without it."""

    def answer(request: web.Request, _body: Any) -> Any:
        return reply(
            401, {"you sent": [request.headers.get("Authorization"), request.query.get("key"), str(request.url)]}
        )

    async with serving(answering(answer)) as server:
        with pytest.raises(PermanentError) as caught:
            await Puller(egress, server, connection("joe", "secret-password"), auth=auth).pull()
    shown = f"{caught.value} {caught.value.excerpt}"
    assert "***" in shown
    assert "secret-password" not in shown
    assert b64encode(b"joe:secret-password").decode() not in shown


@asynccontextmanager
async def two_hosts() -> AsyncIterator[tuple[Server, Server]]:
    """A source whose second page is at another origin, whose third is at home again."""
    async with serving(answering(lambda *_: {"items": [1], "next": home.url("/v1/items?page=2")})) as other:
        link = other.url("/elsewhere?page=1")
        first = answering(
            lambda r, _body: {"items": [int(r.query.get("page", "0"))], "next": None if r.query.get("page") else link}
        )
        async with serving(first) as home:
            yield home, other


@pytest.mark.parametrize("auth", [None, "http_basic", {"type": "api_key", "name": "x-key"}, KEYED])
async def test_nothing_of_ours_goes_to_another_origin(egress: Egress, auth: Any) -> None:
    """A link may lead there, but without what proves who we are and without the row's headers; home again, with."""
    async with two_hosts() as (home, other):
        puller = Puller(egress, home, connection("joe"), auth=auth, headers={"x-team": "b"}, paginator="json_link")
        assert payloads(await puller.pull()) == [0, 1, 2]
        [stranger] = other.received
    assert stranger.query == "page=1"
    assert not {"authorization", "x-key", "x-team", "cookie"} & set(stranger.headers)
    for request in home.received:
        assert request.headers["x-team"] == "b"
        assert {"authorization", "x-key"} & set(request.headers) or "key=" in request.query


async def test_a_redirect_to_another_origin(egress: Egress) -> None:
    """It is followed without what proves who we are."""
    async with serving(sequence([1])) as other, serving(redirect(other.url("/x"))) as home:
        assert payloads(await Puller(egress, home, connection(), headers={"x-team": "b"}).pull()) == [1]
        assert not {"authorization", "x-team"} & set(other.received[0].headers)


@pytest.mark.parametrize(
    ("login", "password", "auth", "message"),
    [
        (None, None, None, "has no password; put the token or the key there"),
        ("joe", None, "bearer", "has no password"),
        (None, SECRET, "http_basic", "has no login; http_basic needs one"),
        (None, "a\nb", None, "has a line break or the like in it"),
        (None, SECRET, {"type": "oauth2_client_credentials", "access_token_url": "http://127.0.0.1/"}, "client id"),
    ],
)
async def test_a_connection_that_lacks_something(
    egress: Egress, login: str | None, password: str | None, auth: Any, message: str
) -> None:
    """It is a mistake of the configuration, and the message names the connection."""
    async with serving() as server:
        known = connection(login, password)
        with pytest.raises(ConfigError, match=f"{known.id}.*{message}"):
            await Puller(egress, server, known, auth=auth).pull()
        assert server.received == []


async def test_a_connection_that_is_not_there(egress: Egress) -> None:
    """Nothing is sent without it."""
    async with serving() as server:
        with pytest.raises(ConfigError, match="there is no connection 'gone'"):
            await Puller(egress, server, conn_id="gone").pull()


# -- OAuth 2.0 ---------------------------------------------------------------------------------------------------------


class Bank:
    """Gives out tokens, and serves one page to whoever shows the newest."""

    def __init__(self, **grant: Any) -> None:
        self.grant = grant
        self.given = 0
        self.revoked = False
        self.refuses = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            self.given += 1
            self.revoked = False
            return reply(200, {"access_token": f"token-{self.given}", **self.grant})
        good = request.headers.get("Authorization") == f"Bearer token-{self.given}" and not self.revoked
        return reply(200, [1]) if good and not self.refuses else reply(401, "who?")


def oauth(server: Server, **more: Any) -> dict[str, Any]:
    return {"type": "oauth2_client_credentials", "access_token_url": server.url("/token"), **more}


async def test_a_token_is_asked_for_and_kept(egress: Egress) -> None:
    """Once for as long as it is good, with the connection's login and password and what the row adds."""
    async with serving(Bank(expires_in=3600)) as server:
        auth = oauth(server, access_token_request_data={"scope": "read all"})
        puller = Puller(egress, server, connection("client"), auth=auth)
        for _ in range(3):
            assert payloads(await puller.pull()) == [1]
        asked = [request for request in server.received if request.path == "/token"]
    assert len(asked) == 1
    assert asked[0].method == "POST"
    assert asked[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked[0].body.decode()) == {
        "grant_type": ["client_credentials"], "client_id": ["client"], "client_secret": [SECRET], "scope": ["read all"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("grant", "expiration", "asked"),
    [({"expires_in": 20}, 3600, 2), ({}, 3600, 1), ({}, 20, 2), ({"expires_in": "3600"}, 20, 1)],
)
async def test_a_token_that_is_about_to_expire(egress: Egress, grant: Any, expiration: int, asked: int) -> None:
    """It is replaced before it does; where the reply does not say when, the row does."""
    bank = Bank(**grant)
    async with serving(bank) as server:
        puller = Puller(egress, server, connection("client"), auth=oauth(server, default_token_expiration=expiration))
        await puller.pull()
        await puller.pull()
    assert bank.given == asked


async def test_a_token_that_is_refused(egress: Egress) -> None:
    """It is replaced once; if the new one is refused too, that is for people to look at."""
    bank = Bank(expires_in=3600)
    async with serving(bank) as server:
        puller = Puller(egress, server, connection("client"), auth=oauth(server))
        await puller.pull()
        bank.revoked = True
        assert payloads(await puller.pull()) == [1]
        assert bank.given == 2
        bank.refuses = True
        with pytest.raises(PermanentError) as caught:
            await puller.pull()
        assert (caught.value.code, bank.given) == (401, 3)


async def test_tokens_are_not_mixed_up(egress: Egress) -> None:
    """Another client, or the same one with a new secret, gets a token of its own."""
    bank = Bank(expires_in=3600)
    async with serving(bank) as server:
        first = connection("client")
        for known in (first, replace(first, password="new"), replace(first, login="other"), connection("client")):
            await Puller(egress, server, known, auth=oauth(server)).pull()
    assert bank.given == 4


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(400, {"error": "invalid_client", "you": SECRET}), PermanentError),
        (reply(503, "later"), RetryableError),
        (reply(200, {"token": "x"}), PermanentError),
        (reply(200, {"access_token": None}), PermanentError),
        (reply(200, {"access_token": "a\nb"}), PermanentError),
        (reply(200, {"access_token": "abc", "expires_in": "soon"}), PermanentError),
        (reply(200, [1]), PermanentError),
        (web.Response(body=b"<html>"), PermanentError),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), PermanentError),
    ],
)
async def test_no_token_to_be_had(egress: Egress, answer: web.Response, kind: type[AttemptError]) -> None:
    """The error says that it was about the token, and nothing that was sent for it; a redirect is not followed."""
    async with serving(sequence(answer)) as server:
        with pytest.raises(kind, match="asking for a token") as caught:
            await Puller(egress, server, connection("client"), auth=oauth(server)).pull()
        assert len(server.received) == 1
    assert "s3cret" not in f"{caught.value} {caught.value.excerpt}"

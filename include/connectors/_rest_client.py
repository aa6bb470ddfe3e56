"""Sends the requests of one pull. What proves who we are goes to the origin of `base_url` and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin

from yarl import URL

from include.connectors._auth import ClientCredentials, Proof, proof, token
from include.connectors._rest_config import Config
from include.connectors._rest_fields import to_json
from include.connectors._rest_request import Request, same_origin
from include.egress import parse_url
from include.errors import ConfigError, PermanentError
from include.model import PAGE_CAP, Reply, Source


class Client:
    """The way to one endpoint, for the length of a pull; `headers` are the row's own."""

    def __init__(self, source: Source[Config], headers: Mapping[str, str]) -> None:
        config = source.config
        if config.conn_id is not None and source.connection is None:
            raise ConfigError(f"there is no connection {config.conn_id!r}; add it in Airflow or write another conn_id")
        self._source = source
        self._base = parse_url(config.base_url)
        self._headers = headers
        self._oauth = config.auth if isinstance(config.auth, ClientCredentials) else None
        self._proof = Proof() if self._oauth else proof(config.auth, source.connection, config.base_url)

    async def send(self, request: Request) -> Reply:
        """Return the reply whatever its status; a token that is refused is replaced, once."""
        reply = await self._send(request, fresh_token=False)
        if reply.status == 401 and self._oauth is not None and same_origin(request.target(), self._base):
            reply = await self._send(request, fresh_token=True)
        return reply

    async def _send(self, request: Request, *, fresh_token: bool) -> Reply:
        source, url = self._source, request.target()
        headers: dict[str, str] = {}
        if same_origin(url, self._base):
            await self._prove(fresh_token)
            headers.update(self._headers)
            headers.update(self._proof.headers)
            url = self._proof.added_to(url)
        body = None
        if request.body is not None:
            body = to_json(request.body).encode()
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        return await source.http.request(
            source.config.method,
            str(url),
            headers=headers,
            body=body,
            timeout_seconds=source.timeout_seconds,
            body_cap=PAGE_CAP,
        )

    async def _prove(self, fresh: bool) -> None:
        source = self._source
        if self._oauth is not None and source.connection is not None:
            self._proof = await token(self._oauth, source.connection, source.http, source.timeout_seconds, fresh=fresh)

    def follow(self, request: Request, link: str) -> str:
        """The URL that a link in the reply to a request leads to, without secrets, so that it can be kept.

        A link that leads from https to http at the same host is followed with https: some servers do not know that
        they are behind a proxy.
        """
        try:
            url = parse_url(urljoin(request.url, link))
        except ValueError:
            raise PermanentError(f"{self.line(request)}: the next link is not a URL that can be called") from None
        if self._base.scheme == "https" and url.scheme == "http" and url.is_default_port():
            secure = url.with_scheme("https").with_port(None)
            url = secure if same_origin(secure, self._base) else url
        return str(self._proof.taken_from(url))

    def line(self, request: Request) -> str:
        """A request for messages: neither its path nor its query."""
        return f"{self._source.config.method} {URL(request.url).host_port_subcomponent}"

    def shown(self, request: Request) -> str:
        """A request for previews."""
        return self.redact(f"{self._source.config.method} {request.target()}")

    def redact(self, text: str) -> str:
        """A text without the secrets of this pull."""
        return self._proof.redact(text)

"""The process's HTTP client."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from include.egress.addresses import Network, verdict
from include.egress.failures import FAILURES, failure, send_once
from include.egress.hosts import host_refusal, parse_url, port_refusal
from include.egress.permitted import addresses_by
from include.egress.redirects import MAX_REDIRECTS, REDIRECTS, Hop, redirected
from include.egress.resolver import SystemResolver
from include.errors import PermanentError, RetryableError
from include.model import BODY_CAP, Reply
from include.settings import Settings

USER_AGENT = "Millrace"

# A reply's head is at most this large: 1 MiB in all.
_MAX_HEADERS = 128
_MAX_HEADER_BYTES = 8190
_OF_A_BODY = ("Content-Type",)

# What was said of each address that the current request tried: why it is refused, or None. The socket factory is told
# nothing but the address, and the tasks that race for a connection inherit this variable.
_tried: ContextVar[list[str | None]] = ContextVar("tried")


def egress_of(settings: Settings, *, fresh: bool = False) -> Egress:
    """The way out as the operator set it; `fresh`: each request is sent at most once, on a connection of its own."""
    return Egress(
        allow=settings.egress_allow,
        hosts=settings.egress_hosts,
        ports=settings.egress_ports,
        concurrency=settings.concurrency,
        fresh=fresh,
    )


class Egress:
    """The process's HTTP client: at most `concurrency` connections, none of them to an address that is refused.

    `allow` are special networks that may be reached (`refusal`); `hosts` and `ports`, if given, are the only ones that
    may (`host_refusal`, `port_refusal`). Without `fresh`, a GET, PUT or DELETE whose connection is lost before the
    reply is sent a second time, because a server may always close a connection that is kept.
    """

    def __init__(
        self,
        *,
        allow: tuple[Network, ...] = (),
        hosts: tuple[str, ...] = (),
        ports: tuple[tuple[int, int], ...] = (),
        concurrency: int = 1000,
        fresh: bool = False,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow = allow
        self._hosts = hosts
        self._ports = ports
        self._fresh = fresh
        self._concurrency = concurrency
        self._resolver = resolver or SystemResolver()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection, for good."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        await self._resolver.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        follow_redirects: bool = True,
        body_cap: int = BODY_CAP,
    ) -> Reply:
        """Return the reply whatever its status; raise `RetryableError` or `PermanentError` where there is none.

        `timeout_seconds` covers everything: the wait for a free connection, redirects, reading the body, of which the
        first `body_cap` bytes are kept.
        """
        hop = Hop(method, _target(method, url, params), headers, body)
        self._judge(hop)
        session = self._session or self._open()
        deadline = time.monotonic() + timeout_seconds
        timeout = _timeout(timeout_seconds)
        redirects = 0
        tried: list[str | None] = []
        _tried.set(tried)
        try:
            while True:
                response = await session.request(
                    hop.method,
                    hop.url,
                    headers=hop.headers,
                    data=hop.body,
                    # or a POST without a body would say what type it has
                    skip_auto_headers=None if hop.body is not None else _OF_A_BODY,
                    timeout=timeout,
                    allow_redirects=False,
                )
                if not follow_redirects or response.status not in REDIRECTS or "Location" not in response.headers:
                    return await _read(response, hop.url, body_cap)
                response.release()
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise PermanentError(f"{hop}: redirected more than {MAX_REDIRECTS} times", code=response.status)
                hop = redirected(hop, response.status, response.headers["Location"])
                self._judge(hop)
                timeout = _timeout_at(deadline)
                tried.clear()
        # `from None`, here and below: the client's own messages quote the URL, and tracebacks end in logs.
        except asyncio.TimeoutError:
            raise RetryableError(f"{hop}: timed out after {timeout_seconds:g} s") from None
        except FAILURES as error:
            raise failure(error, hop, tried) from None

    async def addresses(self, host: str, port: int) -> list[str]:
        """As `permitted_addresses`, without blocking."""
        return await addresses_by(self._resolver, host, port, self._allow, self._hosts)

    def _judge(self, hop: Hop) -> None:
        """Refuse a host or a port; addresses are judged when they are connected to."""
        reason = host_refusal(hop.url.raw_host or "", self._hosts) or port_refusal(hop.url.port or 0, self._ports)
        if reason is None and self._hosts and any(name.lower() == "host" for name in hop.headers or ()):
            reason = "a Host header names a host beside the URL's, which MILLRACE_EGRESS_HOSTS forbids"
        if reason is not None:
            raise PermanentError(f"{hop}: refused: {reason}")

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            force_close=self._fresh,
            limit=self._concurrency,
            limit_per_host=0,
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            trust_env=False,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
            max_headers=_MAX_HEADERS,
            middlewares=(send_once,) if self._fresh else (),
        )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one address about to be connected to, or refuse it.

        An `OSError` lets the client go on to the next address of the name, which is judged in its turn.
        """
        family, kind, protocol, _, peer = info
        reason = verdict(str(peer[0]), self._allow)
        _tried.get().append(reason)
        if reason:
            raise OSError(reason)
        return socket.socket(family, kind, protocol)


def _target(method: str, url: str, params: Mapping[str, str] | None) -> URL:
    try:
        target = parse_url(url)
        return target.extend_query(params) if params else target
    except ValueError as error:
        raise PermanentError(f"{method}: {error}") from None


@lru_cache(maxsize=256)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    """A limit on everything; to the client 0 would mean no limit, and it would round 5 s and more up to whole ones."""
    return aiohttp.ClientTimeout(total=max(seconds, 0.001), ceil_threshold=math.inf)


def _timeout_at(deadline: float) -> aiohttp.ClientTimeout:
    """What is left of the limit; not cached, for it is never the same twice."""
    return aiohttp.ClientTimeout(total=max(deadline - time.monotonic(), 0.001), ceil_threshold=math.inf)


async def _read(response: aiohttp.ClientResponse, url: URL, cap: int) -> Reply:
    """Read the body up to the cap, counted after decompression, and drop the connection if there is more."""
    headers = response.headers
    length = response.content_length
    if (
        length is not None
        and length <= cap
        and "Content-Encoding" not in headers
        and "Transfer-Encoding" not in headers
    ):
        return Reply(response.status, headers, await response.read(), False, str(url))
    body = bytearray()
    try:
        while len(body) <= cap and (chunk := await response.content.readany()):
            body += chunk
    finally:
        response.close()  # after a body that was read to its end, the connection is back in the pool already
    return Reply(response.status, headers, bytes(body[:cap]), len(body) > cap, str(url))

"""Where calls may go: the guarded way out of the process.

An address is judged at the moment of connecting to it. So one check covers every way to name a machine: literals in
any spelling, names, names whose answer changes between two look-ups (DNS rebinding), and each hop of a redirect.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from include.errors import AttemptError, PermanentError, RetryableError
from include.model import BODY_CAP, Reply
from include.settings import Settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_REDIRECTS = 5
USER_AGENT = "Millrace"

# The special-purpose registries of IANA (RFC 6890) and what the clouds put their instance metadata on, which holds
# credentials. The first match gives the reason, so the narrow ones come first.
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason)
    for reason, networks in {
        "cloud metadata": (
            "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 "
            "fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 fd00:42::42/128"
        ),
        "unspecified": "0.0.0.0/8 ::/128",
        "loopback": "127.0.0.0/8 ::1/128",
        "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "shared by a carrier (CGNAT)": "100.64.0.0/10",
        "link-local": "169.254.0.0/16 fe80::/10",
        "site-local": "fec0::/10",
        "for documentation": "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
        "for benchmarking": "198.18.0.0/15 2001:2::/48",
        "multicast": "224.0.0.0/4 ff00::/8",
        "broadcast": "255.255.255.255/32",
        "an IPv4-compatible address": "::/96",
        "a local NAT64 address": "64:ff9b:1::/48",
        "a 6to4 address": "192.88.99.0/24 2002::/16",
        "a Teredo address": "2001::/32",
        "discard-only": "100::/64",
        "reserved": "192.0.0.0/24 240.0.0.0/4 2001::/23",
    }.items()
    for network in networks.split()
)
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

_NAME = re.compile(r"[A-Za-z0-9._-]+")  # what is left of a name, or an IPv4 address, once IDNA has spelt it in ASCII
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_A_BODY = ("Content-Type",)
_CROSS_ORIGIN_HEADERS = frozenset({"accept", "user-agent", "content-type"})

# What became of each address that the current request tried: the reason for refusing it, or None. The socket factory
# is told nothing but the address, and the tasks that race for a connection inherit this variable.
_tried: ContextVar[list[str | None]] = ContextVar("tried")


def refusal(address: Address, allowed: Iterable[Network] = ()) -> str | None:
    """Say why calls may not go to an address, or None if they may; a network in `allowed` wins over any reason.

    IPv4 inside IPv6 counts as what it leads to (mapped, RFC 4291; NAT64, RFC 6052) or is refused (the tunnels).
    """
    if any(address in network for network in allowed):
        return None
    if isinstance(address, IPv6Address):
        inner = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped
        if inner is not None:
            return refusal(inner, allowed)
    for network, reason in _SPECIAL:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "reserved"
    return None


def checked(url: URL) -> URL:
    """Return a URL that a call can be made to as it is, or raise `ValueError` that says what to write."""
    if url.scheme not in ("http", "https"):
        raise ValueError("write a URL that starts with http:// or https://")
    host = url.raw_host or ""
    if ":" not in host and not _NAME.fullmatch(host):
        raise ValueError("write a URL with a host, such as https://example.com/path")
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("write the URL without user and password before the host; send them in a header")
    return url


@lru_cache(maxsize=4096)
def parse_url(text: str) -> URL:
    """Return the URL that a text spells, `checked`, or raise `ValueError` that says what to write."""
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("write a valid URL, such as https://example.com/path") from None
    return checked(url)


def permitted_addresses(host: str, port: int, allowed: tuple[Network, ...] = ()) -> list[str]:
    """The addresses of a host that may be connected to, looked up now: connect to these, and look it up no more.

    `PermanentError` if there are none, `RetryableError` if the name cannot be resolved.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RetryableError(f"{host}: the host's name cannot be resolved") from None
    addresses = list(dict.fromkeys(str(peer[0]) for *_, peer in found))
    reasons = {address: refusal(ip_address(address), allowed) for address in addresses}
    permitted = [address for address in addresses if reasons[address] is None]
    if not permitted:
        raise PermanentError(
            f"{host}: refused: {addresses[0]} is {reasons[addresses[0]]}; allow it with MILLRACE_EGRESS_ALLOW"
        )
    return permitted


def egress_of(settings: Settings, *, fresh: bool = False) -> Egress:
    """The way out as the operator set it; `fresh`: with a new connection for each request, so that the client cannot
    send one twice because the connection that it was sent on turned out to be dead.
    """
    return Egress(
        allow=settings.egress_allow,
        hosts=settings.egress_hosts,
        ports=settings.egress_ports,
        concurrency=settings.concurrency,
        fresh=fresh,
    )


class _Hop(NamedTuple):
    """One request of an exchange; redirects lead to the next."""

    method: str
    url: URL
    headers: Mapping[str, str] | None
    body: bytes | None

    def __str__(self) -> str:
        """Method and host: neither the path nor the query nor a header, any of which may hold a secret."""
        return f"{self.method} {self.url.host_port_subcomponent}"


class Egress:
    """The process's HTTP client: at most `concurrency` connections, none of them to an address that is refused."""

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
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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
        hop = _Hop(method, _target(method, url, params), headers, body)
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
                if not follow_redirects or response.status not in _REDIRECTS or "Location" not in response.headers:
                    return await _read(response, hop.url, body_cap)
                response.release()
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise PermanentError(f"{hop}: redirected more than {MAX_REDIRECTS} times", code=response.status)
                hop = _redirected(hop, response.status, response.headers["Location"])
                timeout = _timeout_at(deadline)
                tried.clear()
        # `from None`, here and below: the client's own messages quote the URL, and tracebacks end in logs.
        except asyncio.TimeoutError:
            raise RetryableError(f"{hop}: timed out after {timeout_seconds:g} s") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _failure(error, hop, tried) from None

    async def addresses(self, host: str, port: int) -> list[str]:
        """As `permitted_addresses`, without blocking."""
        return await asyncio.get_running_loop().run_in_executor(None, permitted_addresses, host, port, self._allow)

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            force_close=self._fresh,
            limit=self._concurrency,
            limit_per_host=0,
            ttl_dns_cache=10,
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT},
            trust_env=False,
        )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one address about to be connected to, or refuse it.

        An `OSError` lets the client go on to the next address of the name, which is judged in its turn.
        """
        family, kind, protocol, _, peer = info
        text = str(peer[0])
        try:
            reason = refusal(ip_address(text), self._allow)
        except ValueError:
            reason = "not an address"
        _tried.get().append(reason and f"{text} is {reason}")
        if reason:
            raise OSError(f"{text} is {reason}")
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


def _redirected(hop: _Hop, status: int, location: str) -> _Hop:
    """The request that a redirect asks for (RFC 9110 15.4), with no secret carried to another origin."""
    try:
        url = checked(hop.url.join(URL(location)))
    except ValueError:
        raise PermanentError(f"{hop}: redirected to a URL that cannot be called", code=status) from None
    if hop.url.scheme == "https" and url.scheme == "http":
        raise PermanentError(f"{hop}: redirected from https to http, which is refused", code=status)
    method, headers, body = hop.method, dict(hop.headers or {}), hop.body
    # As browsers do (Fetch 4.4): a DELETE that became a GET would report a success that it is not.
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    if url.origin() != hop.url.origin():
        headers = {name: value for name, value in headers.items() if name.lower() in _CROSS_ORIGIN_HEADERS}
    return _Hop(method, url, headers, body)


def _failure(error: Exception, hop: _Hop, tried: list[str | None]) -> AttemptError:
    """The error that says what to do about a failed exchange; an address refused in vain is for good."""
    if isinstance(error, aiohttp.ClientConnectorError) and tried and tried[0] and all(tried):
        return PermanentError(f"{hop}: refused: {tried[0]}; allow it with MILLRACE_EGRESS_ALLOW")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = getattr(error.certificate_error, "verify_message", None) or "it does not fit the host"
        return PermanentError(f"{hop}: the certificate is not valid: {cause}")
    if isinstance(error, ValueError):
        return PermanentError(f"{hop}: the URL or a header cannot be sent as it is written")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return RetryableError(f"{hop}: the host's name cannot be resolved")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return RetryableError(f"{hop}: the server closed the connection without a reply")
    if isinstance(error, aiohttp.ClientPayloadError):
        return RetryableError(f"{hop}: the reply's body is cut short or garbled")
    if isinstance(error, (aiohttp.ClientResponseError, HttpProcessingError)):
        return RetryableError(f"{hop}: the reply is not valid HTTP")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return RetryableError(f"{hop}: TLS failed")
    if isinstance(error, OSError):
        return RetryableError(f"{hop}: {os.strerror(error.errno).lower() if error.errno else 'the connection failed'}")
    return RetryableError(f"{hop}: the connection failed")

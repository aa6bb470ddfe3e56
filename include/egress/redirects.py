"""One request of an exchange, and the next one that a redirect asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from yarl import URL

from include.egress.hosts import checked
from include.errors import PermanentError

MAX_REDIRECTS = 5

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CROSS_ORIGIN_HEADERS = frozenset({"accept", "user-agent", "content-type"})


class Hop(NamedTuple):
    """One request of an exchange; redirects lead to the next."""

    method: str
    url: URL
    headers: Mapping[str, str] | None
    body: bytes | None

    def __str__(self) -> str:
        """Method and host: neither the path nor the query nor a header, any of which may hold a secret."""
        return f"{self.method} {self.url.host_port_subcomponent}"


def redirected(hop: Hop, status: int, location: str) -> Hop:
    """The request that a redirect asks for (RFC 9110 15.4), with no secret carried to another origin.

    `PermanentError` if it cannot be made, or would go on without TLS where there was TLS.
    """
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
    return Hop(method, url, headers, body)

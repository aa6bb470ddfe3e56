"""Whether a request comes from a page of ours, which a browser says and a page cannot forge.

`Sec-Fetch-Site` (W3C Fetch Metadata) where the browser sends it, else `Origin` (RFC 6454). What proxies add, such as
`X-Forwarded-Host`, is not looked at: anybody can send it. Behind one that changes `Host`, Airflow's `[api] base_url`
says where our pages are.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request

_DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None of what is no URL with all three, such as `null`."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme and parts.hostname else None


def is_ours(request: Request, base_url: str) -> bool | None:
    """Whether a page of ours sent it; None if nothing says where it comes from, as with programs."""
    site, written = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and written is None:
        return None
    if site == "same-origin":
        return True
    origin = origin_of(written or "")
    if origin is None:
        return False
    if origin == origin_of(base_url):
        return True
    # A proxy may take TLS off, so that https there is http here; never the other way round.
    is_like_this = origin[0] in (request.url.scheme, "https")
    return site is None and is_like_this and origin == origin_of(f"{origin[0]}://{request.headers.get('host', '')}")

"""Which hosts and ports calls may be asked to go to, before any address is known."""

from __future__ import annotations

import re
from functools import lru_cache

from yarl import URL

from include.host import vetted_host

# The clouds' own names for their instance metadata. On their machines they lead to addresses that are refused; this
# holds where something else answers for them.
_METADATA = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.azure.com",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.tencentyun.com",
        "metadata.oraclecloud.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "api.metadata.cloud.ibm.com",
        "rancher-metadata",
    }
)

# What browsers block for HTTP (Fetch 2.9, "bad port"): other protocols live there and would read a request as theirs.
_BAD = """
    0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113
    115 117 119 123 135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554
    556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665
    6666 6667 6668 6669 6679 6697 10080
"""
_BAD_PORTS = frozenset(int(port) for port in _BAD.split())

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def checked(url: URL) -> URL:
    """Return a URL that a call can be made to as it is, or raise `ValueError` that says what to write."""
    if url.scheme not in ("http", "https"):
        raise ValueError("write a URL that starts with http:// or https://")
    if not url.raw_host:
        raise ValueError("write a URL with a host, such as https://example.com/path")
    vetted_host(url.raw_host)
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("write the URL without user and password before the host; send them in a header")
    return url


@lru_cache(maxsize=4096)
def parse_url(text: str) -> URL:
    """Return the URL that a text spells, `checked`, or raise `ValueError` that says what to write."""
    text = text.strip()
    if _CONTROL.search(text):  # which parsers skip, each in its own way
        raise ValueError("write the URL without tabs, line breaks and other control characters")
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("write a valid URL, such as https://example.com/path") from None
    return checked(url)


def host_refusal(host: str, hosts: tuple[str, ...] = ()) -> str | None:
    """Say why calls may not go to a host, or None if they may; both are spelled as by `plain_host`.

    If `hosts` are given, they are the only ones: each a name, an address, or `*.` and a name for all that are below it.
    """
    name = host.removesuffix(".")
    if name in _METADATA:
        return f"{name} is cloud metadata; allow its address by itself with MILLRACE_EGRESS_ALLOW, and write that"
    if hosts and not any(name == one or (one.startswith("*.") and name.endswith(one[1:])) for one in hosts):
        return f"{name} is not among the hosts in MILLRACE_EGRESS_HOSTS"
    return None


def port_refusal(port: int, ports: tuple[tuple[int, int], ...] = ()) -> str | None:
    """Say why HTTP calls may not go to a port, or None if they may.

    If `ports` are given, as first and last of each span, they are the only ones; else all may be called but those that
    browsers block.
    """
    if ports:
        is_among = any(first <= port <= last for first, last in ports)
        return None if is_among else f"port {port} is not among the ports in MILLRACE_EGRESS_PORTS"
    if port in _BAD_PORTS:
        return f"port {port} is for another protocol than HTTP; allow it with MILLRACE_EGRESS_PORTS"
    return None

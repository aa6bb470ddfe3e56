"""The one spelling of a host, by which hosts are compared and looked up."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from yarl import URL

# What IDNA leaves of a name (RFC 1035 2.3.4 for the lengths), with the underscore that private networks like.
_NAME = re.compile(r"(?=.{1,253}\.?\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def plain_host(text: str) -> str:
    """Return the one spelling of a host: a name as DNS has it, in lower case, or an address, without brackets.

    A dot at the end of a name stays, for it says where to look it up. `ValueError` says what to write, as `vetted_host`
    does.
    """
    try:
        host = URL.build(scheme="http", host=text.removeprefix("[").removesuffix("]")).raw_host
    except ValueError:
        raise ValueError("write a valid host, such as example.com") from None
    return vetted_host(host or "")


def vetted_host(host: str) -> str:
    """Return a host that a URL has brought to ASCII and lower case, or raise `ValueError` that says what to write.

    A name that ends in a number is an address (WHATWG URL 3.5). But what only `inet_aton` reads as one (`127.1`,
    `0x7f.1`, `2130706433`) is refused: who reads it otherwise than we do goes elsewhere than we think. So are zones of
    IPv6 addresses, which name an interface of whoever reads them.
    """
    try:
        if ":" in host:
            return str(IPv6Address(host if "%" not in host else ""))
        if not _NAME.fullmatch(host):
            raise ValueError("write a valid host, such as example.com")
        if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
            return str(IPv4Address(host))
    except AddressValueError:
        raise ValueError("write the host's address as 192.0.2.1 or 2001:db8::1 are written") from None
    return host

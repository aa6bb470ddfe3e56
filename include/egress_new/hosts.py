"""Which hosts and ports calls may be asked to go to, before any address is known; and the one spelling of a host."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from yarl import URL

# Names of the clouds' own for their instance metadata. On their machines they lead to addresses that are refused; this
# holds where something else answers for them.
_METADATA_NAMES = frozenset(
    "metadata metadata.google.internal metadata.goog metadata.azure.internal metadata.azure.com instance-data"
    " instance-data.ec2.internal metadata.tencentyun.com metadata.oraclecloud.com metadata.platformequinix.com"
    " metadata.packet.net api.metadata.cloud.ibm.com rancher-metadata".split()
)

# What the Fetch standard blocks for HTTP (2.9, "bad port"): there, other protocols would take a request for theirs.
_BAD_PORTS = frozenset(
    (0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109)
    + (110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530)
    + (531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190)
    + (5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080)
)

_NAME = re.compile(r"(?=.{1,254}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")  # what IDNA leaves of a name, RFC 1035
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def plain_host(text: str) -> str:
    """Return the one spelling of a host: a name as DNS has it, in lower case, or an address without brackets.

    A dot at the end stays, for it says where to look a name up. `ValueError` says what to write; the many ways that
    `inet_aton` reads a number (`127.1`, `0x7f.1`, `2130706433`) are refused as URLs ask for (WHATWG URL, 3.5), and so
    are zones of IPv6 addresses.
    """
    try:
        return _plain(URL.build(scheme="http", host=text.removeprefix("[").removesuffix("]")).raw_host or "")
    except ValueError:
        raise ValueError("write a host's name or address") from None


def _plain(host: str) -> str:
    """As `plain_host`, for a host that is spelled in ASCII and lower case already."""
    if ":" in host:
        try:
            return str(IPv6Address(host)) if "%" not in host else ""
        except AddressValueError:
            raise ValueError("write an IPv6 address such as [2001:db8::1]") from None
    if not _NAME.fullmatch(host):
        raise ValueError("write a URL with a host, such as https://example.com/path")
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("write an IPv4 address as four decimal numbers, such as 192.0.2.1") from None
    return host

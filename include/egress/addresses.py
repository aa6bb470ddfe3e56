"""Which addresses calls may go to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

CLOUD_METADATA = "cloud metadata"

# The special-purpose registries of IANA (RFC 6890) and what the clouds put their instance metadata on, which holds
# credentials. The first match gives the reason, so the narrow ones come first.
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason)
    for reason, networks in {
        CLOUD_METADATA: (
            "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 169.254.0.23/32 169.254.42.42/32 "
            "100.100.100.200/32 168.63.129.16/32 192.0.0.192/32 "
            "fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128 fd00:42::42/128 fe80::a9fe:a9fe/128"
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
_METADATA = frozenset(network.network_address for network, reason in _SPECIAL if reason == CLOUD_METADATA)
_PUBLIC_IPV6 = IPv6Network("2000::/3")

# How networks of IPv6 hold an IPv4 address: from which bits, counted from the lowest, its octets are taken.
_LOW = (24, 16, 8, 0)
_NAT64 = IPv6Network("64:ff9b::/96")
_EMBEDDINGS: tuple[tuple[IPv6Network, tuple[tuple[int, int, int, int], ...]], ...] = (
    (IPv6Network("::/96"), (_LOW,)),
    (IPv6Network("::ffff:0:0:0/96"), (_LOW,)),  # RFC 2765
    # RFC 8215 leaves it to each network how long its prefix is; RFC 6052 2.2 skips bits 64 to 71.
    (IPv6Network("64:ff9b:1::/48"), ((72, 64, 48, 40), (64, 48, 40, 32), (48, 40, 32, 24), _LOW)),
    (IPv6Network("2002::/16"), ((104, 96, 88, 80),)),
)


def refusal(address: Address, allowed: Iterable[Network] = ()) -> str | None:
    """Say why calls may not go to an address, or None if they may; a network in `allowed` wins over any reason.

    But what leads to a cloud's metadata must be allowed by itself, as a network of one address: who allows a wide
    network does not think of that. IPv4 inside IPv6 counts as what it leads to (mapped, RFC 4291; NAT64, RFC 6052) or
    is refused (the tunnels).
    """
    if isinstance(address, IPv6Address) and address.scope_id:
        address = IPv6Address(int(address))  # with its zone, an address is equal to no other
    inner = _leads_to(address)
    ways = (address,) if inner is None else (address, inner)
    is_metadata = any(way in _METADATA for way in (*ways, *_embedded(address)))
    for network in allowed:
        if (not is_metadata or network.num_addresses == 1) and any(way in network for way in ways):
            return None
    if is_metadata:
        return CLOUD_METADATA
    target = ways[-1]
    for network, reason in _SPECIAL:
        if target in network:
            return reason
    if isinstance(target, IPv6Address) and target not in _PUBLIC_IPV6:
        return "reserved"
    return None


def _leads_to(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to an IPv6 one end up at, if there is no doubt about it."""
    if isinstance(address, IPv4Address):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Every IPv4 address that packets to an IPv6 one may end up at, by any tunnel or translator."""
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    for network, layouts in _EMBEDDINGS:
        if address in network:
            for layout in layouts:
                yield IPv4Address(bytes(bits >> shift & 0xFF for shift in layout))
    if address.teredo is not None:
        yield from address.teredo


def verdict(text: str, allowed: Iterable[Network] = ()) -> str | None:
    """Say why calls may not go to what a look-up found, and how to allow it; None if they may."""
    try:
        reason = refusal(ip_address(text), allowed)
    except ValueError:
        return f"{text} is not an address"
    if reason is None:
        return None
    by_itself = " by itself" if reason == CLOUD_METADATA else ""
    return f"{text} is {reason}; allow it{by_itself} with MILLRACE_EGRESS_ALLOW"

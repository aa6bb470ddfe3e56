"""Which addresses are special, in whatever disguise, and what an allowance opens."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.egress import refusal


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - an address, not a bind
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("fd12:3456::1", "private"),
        ("100.64.0.1", "shared by a carrier (CGNAT)"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.170.2", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("192.0.0.192", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("fd20:ce::254", "cloud metadata"),
        ("192.0.2.1", "for documentation"),
        ("2001:db8::1", "for documentation"),
        ("3fff::1", "for documentation"),
        ("198.18.0.1", "for benchmarking"),
        ("198.19.255.255", "for benchmarking"),
        ("2001:2::1", "for benchmarking"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("192.0.0.8", "reserved"),
        ("4000::1", "reserved"),
        ("5f00::1", "reserved"),
        ("100::1", "discard-only"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "cloud metadata"),
        ("::127.0.0.1", "an IPv4-compatible address"),
        ("::8.8.8.8", "an IPv4-compatible address"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::7f00:1", "a local NAT64 address"),
        ("2002:7f00:1::", "a 6to4 address"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "a Teredo address"),
        ("8.8.8.8", None),
        ("172.32.0.1", None),
        ("100.128.0.1", None),
        ("2606:4700:4700::1111", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::8.8.8.8", None),
    ],
)
def test_each_special_address_is_refused_for_its_own_reason(address: str, reason: str | None) -> None:
    """Every block of the special-purpose registries is refused, IPv4 inside IPv6 included, and the public is not."""
    assert refusal(ip_address(address)) == reason


@settings(deadline=None)
@given(st.ip_addresses())
def test_what_is_not_global_is_refused(address: IPv4Address | IPv6Address) -> None:
    """No address that Python's own table calls non-global may be called."""
    plain = (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address
    if not plain.is_global or plain.is_multicast:
        assert refusal(address) is not None


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_ipv4_in_ipv6_is_no_way_round(address: IPv4Address) -> None:
    """An IPv4 address is judged the same when it is mapped or reached through NAT64, and never gets milder."""
    assert refusal(IPv6Address(0xFFFF << 32 | int(address))) == refusal(address)
    assert refusal(IPv6Address(0x64FF9B << 96 | int(address))) == refusal(address)
    assert refusal(IPv6Address(int(address))) is not None
    assert refusal(IPv6Address(0x2002 << 112 | int(address) << 80)) is not None


def test_an_allowed_network_wins() -> None:
    """What the operator allows may be called, mapped spellings included, and nothing beside it."""
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
    assert refusal(ip_address("10.1.2.3"), allowed) is None
    assert refusal(ip_address("::ffff:10.1.2.3"), allowed) is None
    assert refusal(ip_address("fd00::1"), allowed) is None
    assert refusal(ip_address("10.2.0.1"), allowed) == "private"
    assert refusal(ip_address("127.0.0.1"), allowed) == "loopback"


METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::a9fe:a9fe")
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize("text", METADATA)
def test_cloud_metadata_is_allowed_by_its_own_address_alone(text: str) -> None:
    """However wide an allowance is, what hands out a machine's credentials stays refused until it is named itself."""
    address = ip_address(text)
    width = address.max_prefixlen
    for length in (0, 8, 16, width - 1):
        assert refusal(address, (ip_network(f"{text}/{length}", strict=False),)) == "cloud metadata"
    assert refusal(address, EVERYTHING) == "cloud metadata"
    assert refusal(address, (*EVERYTHING, ip_network(f"{text}/{width}"))) is None


@pytest.mark.parametrize(
    "text",
    [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe:0:ffff:ffff:ffff",
        "2001:0:102:304:0:ffff:5601:5601",
        "fe80::a9fe:a9fe%eth0",
    ],
)
def test_a_tunnel_is_no_way_to_cloud_metadata(text: str) -> None:
    """An allowance of everything opens no IPv6 address that holds a metadata address, in whatever layout."""
    assert refusal(ip_address(text), EVERYTHING) == "cloud metadata"


def test_an_allowance_of_everything_opens_the_rest() -> None:
    """What is not metadata may be called if the operator says so."""
    for text in ("127.0.0.1", "::1", "10.0.0.1", "fd00::1", "fe80::1%eth0", "2002:7f00:1::", "240.0.0.1", "4000::1"):
        assert refusal(ip_address(text), EVERYTHING) is None

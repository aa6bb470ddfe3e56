"""Thousands of made-up URLs find no way to a special address."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from include.errors import PermanentError, RetryableError
from tests.way_out import Names, recorder

# As the registries of IANA have them, and written down here anew.
SPECIAL_4 = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
    192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 255.255.255.255/32
    169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 168.63.129.16/32
"""
SPECIAL_6 = """
    ::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32 2002::/16
    3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8 fd00:ec2::254/128 fd20:ce::254/128
"""
PUBLIC, PUBLIC_ADDRESS = "example.com", "93.184.215.14"


# Where in a URL some parser looks for the host, HOST; half of these are refused as they are written.
URLS = r"""
    http://HOST/  HTTPS://HOST  http://HOST:8080/?a#b  http:\\HOST\  http:/HOST/  http:HOST  http:///HOST/  //HOST/
    http://@HOST/  http://PUBLIC@HOST/  http://PUBLIC:80@HOST/  http://PUBLIC%40HOST/  http://PUBLIC\@HOST/
    http://a@b@HOST/  http://HOST\@PUBLIC/  http://HOST#@PUBLIC/  http://HOST?@PUBLIC/  http://HOST;.PUBLIC/
    http://HOST,PUBLIC/  http://HOST%00/  http://HOST%00.PUBLIC/  http://HOST%20.PUBLIC/
    http://HOST:/  http://HOST:+80/  http://HOST:８０/  http://HOST:0080/  http://HOST:80:80/
"""
SPLIT = ("\t", "\r\n", "\x00", " ", "\u00ad", "\u200b")  # what some parsers skip in the middle of a host


def digits_from(first: int) -> dict[int, int]:
    """A table that replaces the digits by others."""
    return {ord("0") + digit: first + digit for digit in range(10)}


def ipv4_spellings(address: IPv4Address) -> list[str]:
    """An address in every spelling that some parser reads as that address."""
    number, octets, plain = int(address), address.packed, str(address)
    a, b, c, d = octets
    high, low = number >> 16, number & 0xFFFF
    wide = ("::ffff:", "::", "64:ff9b::", "::ffff:0:", "64:ff9b:1::", "0:0:0:0:0:FFFF:")
    return [
        *(plain, f"{plain}.", str(number), hex(number), f"0X{number:X}", f"0{number:o}", f"0x{number:016x}"),
        *(f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{low}", f"0x{a:x}.{number & 0xFFFFFF}", f"0{a:o}.0x{b:x}.{c}.{d}"),
        *(".".join(format(octet, form) for octet in octets) for form in ("#04X", "#x", "04o", "03d", "010d")),
        *(plain.replace(".", dot) for dot in ("。", "．", "｡", "%2e")),
        *(plain.translate(digits_from(first)) for first in (0xFF10, 0x1D7CE, 0x0660)),
        *(f"{number + 2**32}", plain.replace("1", "①").replace("2", "②"), f"%{ord(plain[0]):x}{plain[1:]}"),
        *(f"[{prefix}{plain}]" for prefix in wide),
        *(f"[{prefix}{high:x}:{low:X}]" for prefix in wide),
        *(f"[2002:{high:x}:{low:x}::1]", f"[2001:0:{high:x}:{low:x}:0:ffff:f5ff:fffe]"),
    ]


def ipv6_spellings(address: IPv6Address) -> list[str]:
    """As `ipv4_spellings`."""
    long, short = address.exploded, str(address)
    return [
        *(f"[{short}]", f"[{long}]", f"[{long.upper()}]", f"[{long.translate(digits_from(0xFF10))}]"),
        *(f"[{short}%{zone}]" for zone in ("lo", "25lo", "1", "")),
        *(short, f"[{short}].", f"%5b{short}%5d", f"[v6.{short}]", f"[[{short}]]", f"［{short}］"),
    ]


def urls(host: str, rng: random.Random) -> list[str]:
    """A host in every place in which some parser looks for it."""
    place = rng.randint(1, max(1, len(host) - 1))
    split = [f"http://{host[:place]}{between}{host[place:]}/" for between in SPLIT]
    return [*(url.replace("HOST", host).replace("PUBLIC", PUBLIC) for url in URLS.split()), f" http://{host} ", *split]


def within(network: str, rng: random.Random) -> IPv4Address | IPv6Address:
    """The first, the last or any address of a network."""
    parsed = ip_network(network)
    return rng.choice((parsed[0], parsed[-1], parsed[rng.randrange(parsed.num_addresses)]))


def special_urls(rng: random.Random) -> Iterator[str]:
    """Addresses of every special network in every spelling, each in some URL; and names that lead there."""
    for network in (SPECIAL_4 + SPECIAL_6).split():
        for _ in range(10):
            address = within(network, rng)
            hosts = ipv4_spellings(address) if isinstance(address, IPv4Address) else ipv6_spellings(address)
            for host in hosts:
                yield from rng.sample(urls(host, rng), 2)
        yield from urls(f"{rng.choice(('', 'a.', 'A.'))}n-{address.packed.hex()}.example{rng.choice(('', '.'))}", rng)


PIECES = (
    "http://",
    "https://",
    "http:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "::",
    "[",
    "]",
    "%",
    "%25",
    "%00",
    "#",
    "?",
    ".",
    "。",
)
HOSTS = ("127.0.0.1", "localhost", "0x7f", "1", "10", "2130706433", "::1", "ffff", "8.8.8.8", PUBLIC, "ß", "１", "xn--")
OTHERS = ("80", "a", "-", "_", " ", "é", "😀", "\t", "\n", "\x00", "\u200b", "\u00ad")


def junk(rng: random.Random) -> str:
    some = rng.choices((*PIECES, *HOSTS, *OTHERS), k=rng.randint(1, 9))
    return rng.choice(("http://", "https://", "")) + "".join(some)


class Hexed(Names):
    """Names that hold in hex the address to which they lead; and a public one."""

    def __init__(self) -> None:
        super().__init__({PUBLIC: [PUBLIC_ADDRESS]})

    def find(self, name: str) -> list[str]:
        named = re.search(r"\bn-([0-9a-f]+)\.example", name)
        return [str(ip_address(bytes.fromhex(named[1])))] if named else super().find(name.rstrip("."))


async def test_no_made_up_url_finds_a_way_inside() -> None:
    """Of more than 10,000 URLs that some parser takes for one of a special address, none opens a connection."""
    rng = random.Random(4)
    way_out = recorder(Hexed())
    made = dict.fromkeys(special_urls(rng))
    assert len(made) > 10_000
    said: Counter[str] = Counter()
    for url in made:
        with pytest.raises((PermanentError, RetryableError)) as caught:
            await way_out.request("GET", url, timeout_seconds=30)
        said[str(caught.value).partition(" is ")[2].partition(";")[0]] += 1
        assert way_out.peers == [], f"{url!r} leads inside"
    await way_out.close()
    assert said.keys() >= {"loopback", "private", "link-local", "cloud metadata", "multicast", "a 6to4 address"}


async def test_no_junk_finds_a_way_inside() -> None:
    """What is strewn together from pieces of URLs leads to what is public, if anywhere."""
    rng = random.Random(5)
    way_out = recorder(Hexed())
    for _ in range(10_000):
        url = junk(rng)
        with pytest.raises((PermanentError, RetryableError)):
            await way_out.request("GET", url, timeout_seconds=30)
        assert all(ip_address(peer).is_global for peer in way_out.peers), f"{url!r} leads to {way_out.peers[-1]}"
        del way_out.peers[:-1]
    await way_out.close()
    assert way_out.peers, "the test sees no calls"


async def test_no_way_inside_for_other_protocols() -> None:
    """Nor does a made-up host of a connection become an address that is special."""
    rng = random.Random(6)
    way_out = recorder(Hexed())
    found: set[str] = set()
    for url in [*special_urls(rng), *(junk(rng) for _ in range(10_000))]:
        host = url.partition("//")[2].rstrip("/")
        with suppress(PermanentError, RetryableError):
            found.update(await way_out.addresses(host, 25))
    await way_out.close()
    assert PUBLIC_ADDRESS in found, "the test finds nothing"
    assert all(ip_address(address).is_global for address in found), sorted(found)

"""Calls go where they may, and nowhere else; what comes back is bounded; what fails says what to do about it."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from include.egress import BODY_CAP, MAX_REDIRECTS, Egress, _Hop, _redirected, refusal
from include.errors import PermanentError, RetryableError
from tests.fake_http import ok, redirect, sending, serving

LOOPBACK = (ip_network("127.0.0.1/32"),)


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The way out as these tests need it: 127.0.0.1 is allowed, and no other special address."""
    egress = Egress(allow=LOOPBACK, concurrency=10)
    yield egress
    await egress.close()


@pytest_asyncio.fixture
async def strict() -> AsyncIterator[Egress]:
    """The way out as it is by default."""
    egress = Egress()
    yield egress
    await egress.close()


class Names(AbstractResolver):
    """A name server under the test's control; a name that it does not know cannot be resolved."""

    def __init__(self, names: Mapping[str, list[str]]) -> None:
        self.names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.names[host]
        ]

    async def close(self) -> None:
        pass


# -- addresses ---------------------------------------------------------------------------------------------------------


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


# -- connecting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "127.0.0.1.",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "2130706433",
        "017700000001",
        "0",
        "0.0.0.0",  # noqa: S104 - an address, not a bind
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
    ],
)
async def test_no_spelling_of_this_machine_is_connected_to(strict: Egress, host: str) -> None:
    """However a URL spells the loopback, nothing arrives there and trying again is pointless."""
    async with serving() as server:
        with pytest.raises(PermanentError):
            await strict.request("GET", server.url(host=host), timeout_seconds=5)
        assert server.received == []


async def test_a_refusal_says_what_and_how_to_allow_it(strict: Egress) -> None:
    """The message names the address, the reason and the setting."""
    with pytest.raises(PermanentError) as caught:
        await strict.request("GET", "http://127.0.0.1:1/", timeout_seconds=5)
    assert "refused: 127.0.0.1 is loopback; allow it with MILLRACE_EGRESS_ALLOW" in str(caught.value)


async def test_a_name_with_a_dot_at_its_end_is_the_same_name() -> None:
    """The fully qualified spelling of a name is judged by its address too, whatever the system's resolver thinks."""
    async with serving() as server:
        egress = Egress(resolver=Names({"localhost.": ["127.0.0.1"]}))
        with pytest.raises(PermanentError, match=r"refused: 127\.0\.0\.1 is loopback"):
            await egress.request("GET", server.url(host="localhost."), timeout_seconds=5)
        await egress.close()
        assert server.received == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["::1", "127.0.0.1", "127.0.0.2"]])
async def test_a_public_name_that_leads_inside_is_refused(addresses: list[str]) -> None:
    """Whatever a name server answers, at whatever time, the address itself is judged (DNS rebinding)."""
    async with serving() as server:
        egress = Egress(resolver=Names({"public.example": addresses}))
        with pytest.raises(PermanentError, match=r"refused: .* is (loopback|private)"):
            await egress.request("GET", server.url(host="public.example"), timeout_seconds=5)
        await egress.close()
        assert server.received == []


async def test_a_name_server_cannot_answer_with_another_name() -> None:
    """What is not an address cannot be judged, and so is refused."""
    egress = Egress(resolver=Names({"public.example": ["localhost"]}))
    with pytest.raises(PermanentError, match="localhost is not an address"):
        await egress.request("GET", "http://public.example:1/", timeout_seconds=5)
    await egress.close()


async def test_a_refused_address_is_passed_over_for_an_allowed_one() -> None:
    """A name with a private and an allowed address is called at the allowed one."""
    async with serving() as server:
        egress = Egress(allow=LOOPBACK, resolver=Names({"both.example": ["127.0.0.2", "127.0.0.1"]}))
        reply = await egress.request("GET", server.url(host="both.example"), timeout_seconds=5)
        await egress.close()
    assert reply.status == 200


async def test_an_allowed_address_that_is_down_may_be_up_later() -> None:
    """Where one address is refused and the other does not answer, trying again makes sense."""
    egress = Egress(allow=LOOPBACK, resolver=Names({"both.example": ["10.0.0.1", "127.0.0.1"]}))
    with pytest.raises(RetryableError):
        await egress.request("GET", f"http://both.example:{_closed_port()}/", timeout_seconds=5)
    await egress.close()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("example.com", "http://"),
        ("http:///path", "host"),
        ("http://exa mple.com/", "host"),
        ("http://%6c%6fcalhost/", "host"),
        ("http://user:secret@example.com/", "user and password"),
        ("http://user@example.com/", "user and password"),
        ("http://[::1/", "valid URL"),
        ("http://example.com:99999/", "valid URL"),
        ("http://" + "a" * 64 + ".com/", "cannot be sent"),
    ],
)
async def test_a_url_that_cannot_be_called_says_what_to_write(strict: Egress, url: str, hint: str) -> None:
    """A malformed URL is for good, and its message does not repeat it, for it may hold a password."""
    with pytest.raises(PermanentError, match=hint) as caught:
        await strict.request("GET", url, timeout_seconds=5)
    assert "secret" not in str(caught.value)


# -- redirects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/inside",
        "http://169.254.169.254/latest/meta-data/",
        "//127.0.0.2:{port}/inside",
        "http://user:secret@127.0.0.1:{port}/inside",
        "file:///etc/passwd",
        "http://[",
    ],
)
async def test_a_redirect_is_judged_like_the_first_call(egress: Egress, target: str) -> None:
    """An allowed server cannot send the client to a refused address or another scheme."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": target.format(port=server.port)})

    async with serving(handle) as server:
        with pytest.raises(PermanentError):
            await egress.request("GET", server.url(), timeout_seconds=5)
        assert [request.path for request in server.received] == ["/"]


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", ("GET", b"")),
        (302, "PUT", ("PUT", b"body")),
        (303, "POST", ("GET", b"")),
        (303, "HEAD", ("HEAD", b"")),
        (307, "POST", ("POST", b"body")),
        (308, "PUT", ("PUT", b"body")),
    ],
)
async def test_a_redirect_keeps_or_drops_method_and_body(
    egress: Egress, status: int, method: str, then: tuple[str, bytes]
) -> None:
    """307 and 308 repeat the request; the others ask for a GET, without the body and its type."""
    async with serving({"/a": redirect("b?x=1", status), "/b": ok}) as server:
        body = None if method == "HEAD" else b"body"
        headers = {"content-type": "text/plain", "x-mine": "1"}
        reply = await egress.request(method, server.url("/a"), headers=headers, body=body, timeout_seconds=5)
        last = server.received[-1]
    assert (reply.status, reply.url) == (200, server.url("/b?x=1"))
    assert (last.method, last.body) == then
    assert last.headers["x-mine"] == "1"
    assert (last.headers.get("content-type") == "text/plain") == (then[0] != "GET")


async def test_no_secret_crosses_to_another_origin(egress: Egress) -> None:
    """At another host or port, what the caller set is gone, but for what says nothing of who it is."""
    headers = {
        "Authorization": "Bearer secret",
        "Cookie": "a=secret",
        "X-Api-Key": "secret",
        "Accept": "text/html",
        "Content-Type": "text/plain",
        "User-Agent": "mine",
    }
    async with serving() as other, serving(redirect(other.url(), 307)) as first:
        await egress.request("POST", first.url(), headers=headers, body=b"x", timeout_seconds=5)
        sent, carried = first.received[0].headers, other.received[0].headers
    assert sent["authorization"] == "Bearer secret"
    assert not {"authorization", "cookie", "x-api-key"} & carried.keys()
    assert (carried["accept"], carried["content-type"], carried["user-agent"]) == ("text/html", "text/plain", "mine")


async def test_redirects_end(egress: Egress) -> None:
    """A loop of redirects is followed as far as the limit and then given up for good."""
    async with serving(redirect("/again")) as server:
        with pytest.raises(PermanentError, match="more than 5 times"):
            await egress.request("GET", server.url(), timeout_seconds=5)
        assert len(server.received) == MAX_REDIRECTS + 1


async def test_a_redirect_is_a_reply_to_who_does_not_follow(egress: Egress) -> None:
    """Without `follow_redirects`, and where there is nowhere to go, the 3xx itself comes back."""

    async def nowhere(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302)

    async with serving({"/a": redirect("/b"), "/c": nowhere}) as server:
        reply = await egress.request("GET", server.url("/a"), timeout_seconds=5, follow_redirects=False)
        assert (reply.status, reply.headers["location"]) == (302, "/b")
        assert (await egress.request("GET", server.url("/c"), timeout_seconds=5)).status == 302
        assert len(server.received) == 2


# -- what is sent, what comes back -------------------------------------------------------------------------------------


async def test_a_request_arrives_as_it_was_asked_for(egress: Egress) -> None:
    """Method, headers, body and parameters arrive, and the client names itself."""
    async with serving() as server:
        reply = await egress.request(
            "PATCH", server.url("/p?a=1"), headers={"X-A": "b"}, params={"q": "ü &"}, body=b"{}", timeout_seconds=5
        )
        request = server.received[0]
    assert (request.method, request.path, request.query) == ("PATCH", "/p", "a=1&q=%C3%BC+%26")
    assert (request.headers["x-a"], request.headers["user-agent"], request.body) == ("b", "Millrace", b"{}")
    assert (reply.status, reply.text(), reply.truncated) == (200, "hello", False)
    assert reply.headers["CONTENT-type"].startswith("text/plain")


async def test_no_cookie_comes_back(egress: Egress) -> None:
    """What one call was told to remember is not carried into another's."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Set-Cookie": "a=b"})

    async with serving(handle) as server:
        for _ in range(2):
            await egress.request("GET", server.url(), timeout_seconds=5)
        assert "cookie" not in server.received[1].headers


async def test_the_environment_names_no_proxy(egress: Egress, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect in our place, unjudged, so its variables are not heeded."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving() as server:
        assert (await egress.request("GET", server.url(), timeout_seconds=5)).status == 200


@cache
def _zipped(size: int) -> bytes:
    return gzip.compress(b"x" * size)


@pytest.mark.parametrize(
    ("size", "zipped"),
    [(0, False), (BODY_CAP, False), (BODY_CAP + 1, False), (10, True), (BODY_CAP, True), (20_000_000, True)],
)
async def test_the_body_is_read_up_to_the_cap(egress: Egress, size: int, zipped: bool) -> None:
    """At most the cap is kept, counted after decompression; `truncated` says whether there was more."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        if zipped:
            return web.Response(body=_zipped(size), headers={"Content-Encoding": "gzip"})
        return web.Response(body=b"x" * size)

    async with serving(handle) as server:
        reply = await egress.request("GET", server.url(), timeout_seconds=30)
    assert (len(reply.body), reply.truncated) == (min(size, BODY_CAP), size > BODY_CAP)


async def test_a_body_without_end_is_left(egress: Egress) -> None:
    """A stream that never ends gives its first part, and the connection is dropped."""
    left = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
        finally:
            left.set()

    async with serving(handle) as server:
        reply = await egress.request("GET", server.url(), timeout_seconds=30)
        await left.wait()
    assert (len(reply.body), reply.truncated) == (BODY_CAP, True)


async def test_a_short_body_in_chunks_is_read_to_its_end(egress: Egress) -> None:
    """A body of unknown length is whole, and its connection serves the next call too."""
    peers = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"abc")
        return response

    async with serving(handle) as server:
        for _ in range(3):
            reply = await egress.request("GET", server.url(), timeout_seconds=5)
            assert (reply.body, reply.truncated) == (b"abcabcabc", False)
    assert len(peers) == 1


async def test_head_has_no_body(egress: Egress) -> None:
    """The length that a HEAD announces is not waited for."""
    async with sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n") as server:
        reply = await egress.request("HEAD", server.url(), timeout_seconds=5)
    assert (reply.status, reply.body, reply.truncated) == (200, b"", False)


# -- failures ----------------------------------------------------------------------------------------------------------


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "without a reply"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "cut short|not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nnope", "cut short|not valid HTTP"),
    ],
)
async def test_a_broken_reply_may_be_whole_next_time(egress: Egress, reply: bytes, message: str) -> None:
    """A server that hangs up or talks nonsense is worth another try."""
    async with sending(reply) as server:
        with pytest.raises(RetryableError, match=message):
            await egress.request("POST", server.url(), body=b"x", timeout_seconds=5)


async def test_a_closed_port_may_open(egress: Egress) -> None:
    """A refused connection is worth another try, and the message names method, host and cause."""
    port = _closed_port()
    with pytest.raises(RetryableError) as caught:
        await egress.request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=5)
    assert str(caught.value) == f"GET 127.0.0.1:{port}: connection refused"


async def test_a_name_may_appear() -> None:
    """A name that cannot be resolved is worth another try."""
    egress = Egress(resolver=Names({}))
    with pytest.raises(RetryableError, match=r"GET nowhere\.example: the host's name cannot be resolved"):
        await egress.request("GET", "http://nowhere.example/", timeout_seconds=5)
    await egress.close()


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_the_time_limit_covers_head_and_body(egress: Egress, reply: bytes) -> None:
    """A server that stops, before its reply or in the middle of the body, is left when the time is up."""
    async with sending(reply, then_wait=True) as server:
        with pytest.raises(RetryableError, match=r"timed out after 0\.2 s"):
            await egress.request("GET", server.url(), timeout_seconds=0.2)


async def test_the_time_limit_covers_all_redirects(egress: Egress) -> None:
    """Redirects do not start the clock again: none is followed once the time is up."""

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(status=302, headers={"Location": "/"})

    async with serving(slow) as server:
        with pytest.raises(RetryableError, match=r"timed out after 0\.5 s"):
            await egress.request("GET", server.url(), timeout_seconds=0.5)
        assert len(server.received) < MAX_REDIRECTS


async def test_the_time_limit_covers_the_wait_for_a_connection() -> None:
    """A call that gets no turn within its time is worth another try; `concurrency` bounds the connections."""
    async with sending(b"", then_wait=True) as server:
        egress = Egress(allow=LOOPBACK, concurrency=1)
        first = asyncio.create_task(egress.request("GET", server.url(), timeout_seconds=30))
        await asyncio.sleep(0)
        with pytest.raises(RetryableError, match="timed out"):
            await egress.request("GET", server.url(), timeout_seconds=0.2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await egress.close()


async def test_a_header_cannot_become_two(egress: Egress) -> None:
    """A line break in a header is refused before anything is sent."""
    async with serving() as server:
        with pytest.raises(PermanentError, match="cannot be sent"):
            await egress.request("GET", server.url(), headers={"X": "a\r\nY: b"}, timeout_seconds=5)
        assert server.received == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/?token=hush", "http://10.0.0.1/?token=hush"])
async def test_errors_keep_secrets(egress: Egress, url: str) -> None:
    """Neither a message nor its traceback shows the query or a header."""
    with pytest.raises((RetryableError, PermanentError)) as caught:
        await egress.request(
            "GET", url.format(port=_closed_port()), headers={"Authorization": "hush"}, timeout_seconds=5
        )
    lines = traceback.format_exception_only(type(caught.value), caught.value)
    assert "hush" not in "".join(lines)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(egress: Egress, self_signed: ssl.SSLContext) -> None:
    """Nothing is sent to a server whose certificate is not valid, and trying again does not make it so."""
    async with serving(tls=self_signed) as server:
        with pytest.raises(PermanentError, match=r"the certificate is not valid: self.signed"):
            await egress.request("GET", server.url(), timeout_seconds=5)
        assert server.received == []


async def test_a_port_that_does_not_speak_tls_may_do_so_later(egress: Egress) -> None:
    """A failed handshake is worth another try: it is what a server in the middle of a change does."""
    async with serving() as server:
        with pytest.raises(RetryableError, match="TLS failed"):
            await egress.request("GET", server.url().replace("http:", "https:"), timeout_seconds=5)


def test_a_redirect_does_not_leave_tls() -> None:
    """What began in https is not continued in http, where anyone may read it; the other way is fine."""
    with pytest.raises(PermanentError, match="from https to http"):
        _redirected(_Hop("GET", URL("https://example.com/"), None, None), 302, "http://example.com/")
    hop = _redirected(_Hop("GET", URL("http://example.com/"), {"X-A": "b"}, None), 302, "https://example.com/")
    assert (str(hop.url), hop.headers) == ("https://example.com/", {})

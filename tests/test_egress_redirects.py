"""Each hop of a redirect is judged like the first call, and takes no secret with it."""

from __future__ import annotations

import pytest
from aiohttp import web
from yarl import URL

from include.egress import MAX_REDIRECTS, Egress
from include.egress.redirects import Hop, redirected
from include.errors import PermanentError
from tests.fake_http import ok, redirect, serving
from tests.way_out import egress

__all__ = ["egress"]


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2:{port}/inside",
        "http://169.254.169.254/latest/meta-data/",
        "//127.0.0.2:{port}/inside",
        "http://user:secret@127.0.0.1:{port}/inside",
        "http://0x7f.2:{port}/inside",
        "http://[::ffff:127.0.0.2]:{port}/inside",
        "http://127.0.0.1:{port}\\@127.0.0.2/inside",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://127.0.0.1:25/inside",
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


def test_a_redirect_does_not_leave_tls() -> None:
    """What began in https is not continued in http, where anyone may read it; the other way is fine."""
    with pytest.raises(PermanentError, match="from https to http"):
        redirected(Hop("GET", URL("https://example.com/"), None, None), 302, "http://example.com/")
    hop = redirected(Hop("GET", URL("http://example.com/"), {"X-A": "b"}, None), 302, "https://example.com/")
    assert (str(hop.url), hop.headers) == ("https://example.com/", {})


async def test_a_secret_that_was_dropped_does_not_come_back(egress: Egress) -> None:
    """A redirect to another origin and back brings the caller's secrets to neither."""
    async with serving({"/": ok}) as first:
        async with serving(redirect(first.url())) as other:
            headers = {"Authorization": "secret", "Cookie": "a=secret"}
            async with serving(redirect(other.url())) as start:
                await egress.request("GET", start.url(), headers=headers, timeout_seconds=5)
        assert not {"authorization", "cookie"} & first.received[0].headers.keys()

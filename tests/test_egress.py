"""Calls go where they may, and nowhere else; what is sent arrives as it was asked for."""

from __future__ import annotations

import pytest
from aiohttp import web

from include.egress import Egress
from include.errors import PermanentError, RetryableError
from tests.fake_http import serving
from tests.way_out import LOOPBACK, Names, closed_port, egress, strict

__all__ = ["egress", "strict"]


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
        await strict.request("GET", "http://127.0.0.1/", timeout_seconds=5)
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
        await egress.request("GET", "http://public.example/", timeout_seconds=5)
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
        await egress.request("GET", f"http://both.example:{closed_port()}/", timeout_seconds=5)
    await egress.close()


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

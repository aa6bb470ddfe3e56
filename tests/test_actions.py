"""What each kind that speaks HTTP sends, and what it makes of the reply."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from ipaddress import ip_network
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from include.actions._verdict import EXCERPT_CHARACTERS, judge, retry_after
from include.egress import BODY_CAP, Egress
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Output, Reply
from include.registry import action
from tests.fake_http import Handler, redirect, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


async def run(egress: Egress, kind: str, payload: dict[str, Any]) -> Output:
    """One attempt, from the payload as it is in the row."""
    found = action(kind)
    config = found.parse(payload)
    return await found.act(Call(config=config, key="job-1-0", due=NOW, attempt=1, timeout_seconds=10, http=egress))


def answer(status: int = 200, text: str = "hello", **headers: str) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, headers=headers)

    return handle


# -- the verdict -------------------------------------------------------------------------------------------------------


def reply(status: int, body: bytes = b"text", **headers: str) -> Reply:
    return Reply(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body, False, "http://h/?k=s"
    )


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_success(status: int) -> None:
    """The output has the status, the beginning of the body, and a line without the query."""
    output = judge(reply(status), "GET", NOW)
    assert (output.line, output.code, output.excerpt) == (f"GET h {status}", status, "text")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_not_now_is_retried(status: int) -> None:
    """A status that says "not now" is worth another try, after the wait that it asks for."""
    with pytest.raises(RetryableError) as caught:
        judge(reply(status, Retry_After="7"), "POST", NOW)
    assert (caught.value.code, caught.value.excerpt, caught.value.after_seconds) == (status, "text", 7)
    assert str(caught.value) == f"POST h {status}"


@pytest.mark.parametrize("status", [101, 300, 302, 304, 400, 401, 403, 404, 410, 422])
def test_every_other_status_is_final(status: int) -> None:
    """A status that another try would not change is given up on."""
    with pytest.raises(PermanentError) as caught:
        judge(reply(status), "GET", NOW)
    assert (caught.value.code, caught.value.excerpt) == (status, "text")


def test_an_excerpt_can_be_stored() -> None:
    """It is capped, and holds neither NUL nor what is not UTF-8."""
    output = judge(reply(200, b"\x00\xff" + b"x" * 10_000), "GET", NOW)
    assert output.excerpt == "\ufffd\ufffd" + "x" * (EXCERPT_CHARACTERS - 2)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("00007", 7),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 5000, 3600),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30),
        ("Sun Mar  1 12:00:30 2026", 30),
        ("Mon, 02 Mar 2026 12:00:00 GMT", 3600),
        ("Sun, 01 Mar 2026 11:59:59 GMT", None),
        ("Sun, 31 Feb 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_in_every_form(value: str | None, seconds: float | None) -> None:
    """Seconds and the three forms of a date count, at most an hour; what is past or garbled asks for nothing."""
    assert retry_after(value, NOW) == seconds


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\w{3}, -?\d+ \w{3} -?\d+ \d+:\d+:\d+ [+-]?\w+"))
def test_no_header_breaks_the_verdict(value: str) -> None:
    """Whatever a server writes into `Retry-After`, the wait is between nothing and an hour."""
    wait = retry_after(value, NOW)
    assert wait is None or 0 <= wait <= 3600


# -- ping --------------------------------------------------------------------------------------------------------------


async def test_ping_fetches_and_follows(egress: Egress) -> None:
    """A ping is a GET; where it is sent elsewhere, it goes there."""
    async with serving({"/a": redirect("/b"), "/b": answer()}) as server:
        output = await run(egress, "ping", {"url": server.url("/a?token=s")})
        assert [(request.method, request.path) for request in server.received] == [("GET", "/a"), ("GET", "/b")]
    assert (output.line, output.code, output.excerpt) == (f"GET 127.0.0.1:{server.port} 200", 200, "hello")


@pytest.mark.parametrize(
    ("status", "expected", "error"),
    [
        (404, 404, None),
        (503, [200, 503], None),
        (301, 301, None),
        (200, 404, PermanentError),
        (204, [200, 201], PermanentError),
        (500, 404, RetryableError),
        (403, 404, PermanentError),
    ],
)
async def test_ping_expects_the_statuses_it_is_given(
    egress: Egress, status: int, expected: object, error: type[Exception] | None
) -> None:
    """Exactly the expected statuses are success; the others fail as they would anyway, and a 2xx for good."""
    async with serving(answer(status, text="" if status == 204 else "x")) as server:
        payload = {"url": server.url(), "expect_status": expected}
        if error is None:
            assert (await run(egress, "ping", payload)).code == status
        else:
            with pytest.raises(error, match=f"{status}: expected "):
                await run(egress, "ping", payload)


async def test_ping_looks_for_a_text(egress: Egress) -> None:
    """A body without the text is a failure that is retried, with what came back."""
    async with serving(answer(text="all systems go")) as server:
        assert (await run(egress, "ping", {"url": server.url(), "expect_body": "systems"})).code == 200
        with pytest.raises(RetryableError, match="the body does not contain 'down'") as caught:
            await run(egress, "ping", {"url": server.url(), "expect_body": "down"})
    assert (caught.value.code, caught.value.excerpt) == (200, "all systems go")


async def test_ping_says_how_far_it_looked(egress: Egress) -> None:
    """Where the body was not read to its end, the message says so."""
    async with serving(answer(text="x" * BODY_CAP + "needle")) as server:
        with pytest.raises(RetryableError, match=f"the first {BODY_CAP} bytes of the body do not contain 'needle'"):
            await run(egress, "ping", {"url": server.url(), "expect_body": "needle"})


# -- http --------------------------------------------------------------------------------------------------------------


async def test_http_sends_what_it_is_told(egress: Egress) -> None:
    """Method, headers, parameters and a JSON body arrive; True is spelt as JSON does."""
    async with serving() as server:
        payload = {
            "url": server.url("/p?z=0"),
            "method": "put",
            "headers": {"X-A": "b"},
            "params": {"a": True, "b": 2, "c": 1.5, "d": "x y"},
            "json": {"ü": [1, None]},
        }
        output = await run(egress, "http", payload)
        request = server.received[0]
    assert (output.line, output.code) == (f"PUT 127.0.0.1:{server.port} 200", 200)
    assert (request.method, request.path, request.query) == ("PUT", "/p", "z=0&a=true&b=2&c=1.5&d=x+y")
    assert (request.body, request.headers["content-type"]) == ('{"ü":[1,null]}'.encode(), "application/json")
    assert request.headers["x-a"] == "b"


@pytest.mark.parametrize(
    ("payload", "body", "content_type"),
    [
        ({"text": "hällo"}, "hällo".encode(), "text/plain; charset=utf-8"),
        ({"text": "<a/>", "headers": {"Content-Type": "text/xml"}}, b"<a/>", "text/xml"),
        ({"json": None}, b"null", "application/json"),
        ({"json": "s"}, b'"s"', "application/json"),
        ({"json": {}, "headers": {"content-type": "application/vnd.api+json"}}, b"{}", "application/vnd.api+json"),
    ],
)
async def test_http_says_what_its_body_is(
    egress: Egress, payload: dict[str, Any], body: bytes, content_type: str
) -> None:
    """The content type follows from the body, unless the user says otherwise; `null` is a body."""
    async with serving() as server:
        await run(egress, "http", {"url": server.url(), "method": "POST", **payload})
        request = server.received[0]
    assert (request.body, request.headers["content-type"]) == (body, content_type)


@pytest.mark.parametrize(
    ("method", "headers", "key"),
    [
        ("GET", {}, None),
        ("POST", {}, "job-1-0"),
        ("DELETE", {}, "job-1-0"),
        ("POST", {"Idempotency-Key": "mine"}, "mine"),
    ],
)
async def test_http_lets_receivers_deduplicate(
    egress: Egress, method: str, headers: dict[str, str], key: str | None
) -> None:
    """What may have an effect carries the occurrence's key, unless the user has one of his own."""
    async with serving() as server:
        await run(egress, "http", {"url": server.url(), "method": method, "headers": headers})
        assert server.received[0].headers.get("idempotency-key") == key


async def test_http_honours_retry_after(egress: Egress) -> None:
    """The wait that a server asks for reaches whoever retries, dates included."""
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=600), usegmt=True)
    async with serving(
        {"/s": answer(429, **{"Retry-After": "12"}), "/d": answer(503, **{"Retry-After": soon})}
    ) as server:
        with pytest.raises(RetryableError) as caught:
            await run(egress, "http", {"url": server.url("/s")})
        assert caught.value.after_seconds == 12
        with pytest.raises(RetryableError) as caught:
            await run(egress, "http", {"url": server.url("/d")})
        assert caught.value.after_seconds is not None
        assert 0 < caught.value.after_seconds <= 600


# -- webhook -----------------------------------------------------------------------------------------------------------


async def test_webhook_is_a_standard_webhook(egress: Egress) -> None:
    """It is a POST of JSON with the occurrence's id and the attempt's time in whole seconds."""
    before = int(time.time())
    async with serving() as server:
        payload = {"url": server.url(), "body": {"a": "ü"}, "headers": {"Authorization": "Bearer x"}}
        output = await run(egress, "webhook", payload)
        request = server.received[0]
    assert (output.line, output.code) == (f"POST 127.0.0.1:{server.port} 200", 200)
    assert (request.method, json.loads(request.body)) == ("POST", {"a": "ü"})
    assert (request.headers["content-type"], request.headers["webhook-id"]) == ("application/json", "job-1-0")
    assert before <= int(request.headers["webhook-timestamp"]) <= int(time.time())
    assert request.headers["authorization"] == "Bearer x"


@pytest.mark.parametrize(("payload", "body"), [({}, b"{}"), ({"body": [1]}, b"[1]"), ({"body": "raw"}, b"raw")])
async def test_webhook_sends_any_body(egress: Egress, payload: dict[str, Any], body: bytes) -> None:
    """Without a body it sends an empty object; a text is sent as it is."""
    async with serving() as server:
        await run(egress, "webhook", {"url": server.url(), **payload})
        assert server.received[0].body == body


async def test_webhook_keeps_its_id_over_attempts(egress: Egress) -> None:
    """Two attempts at an occurrence are one event to the receiver."""
    found = action("webhook")
    async with serving(answer(500)) as server:
        first = Call(found.parse({"url": server.url()}), "job-1-0", NOW, 1, 10, egress)
        for call in (first, replace(first, attempt=2)):
            with pytest.raises(RetryableError):
                await found.act(call)
        assert [request.headers["webhook-id"] for request in server.received] == ["job-1-0", "job-1-0"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_webhook_is_not_redirected(egress: Egress, status: int) -> None:
    """A redirect is a failure for good that says so, and its target receives nothing."""
    async with serving({"/a": redirect("/b", status), "/b": answer()}) as server:
        with pytest.raises(PermanentError, match=f"{status}: the redirect is not followed"):
            await run(egress, "webhook", {"url": server.url("/a")})
        assert [request.path for request in server.received] == ["/a"]


# -- payloads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        ("ping", {}, "url: Field required"),
        ("ping", {"url": "example.com"}, "url: .*http:// or https://"),
        ("ping", {"url": "ftp://example.com"}, "url: .*http:// or https://"),
        ("ping", {"url": "https:///x"}, "url: .*with a host"),
        ("ping", {"url": "https://u:p@example.com"}, "url: .*without user and password"),
        ("ping", {"url": "https://example.com/" + "a" * 2048}, "url: .*2048"),
        ("ping", {"url": "https://example.com", "expect_status": 99}, "expect_status"),
        ("ping", {"url": "https://example.com", "expect_status": []}, "expect_status"),
        ("ping", {"url": "https://example.com", "expect_body": ""}, "expect_body"),
        ("ping", {"url": "https://example.com", "mehtod": "GET"}, "mehtod: Extra inputs"),
        ("http", {"url": "https://example.com", "method": "BREW"}, "method: .*'GET'"),
        ("http", {"url": "https://example.com", "json": 1, "text": "a"}, "json or text, not both"),
        ("http", {"url": "https://example.com", "params": {"a": [1]}}, "params.a: .*write a text, a number"),
        ("http", {"url": "https://example.com", "headers": {"host": "x"}}, "headers: .*leave out host"),
        ("http", {"url": "https://example.com", "headers": {"Content-Length": "1"}}, "leave out Content-Length"),
        ("http", {"url": "https://example.com", "headers": {"Transfer-Encoding": "x"}}, "leave out Transfer-Encoding"),
        ("http", {"url": "https://example.com", "headers": {"Connection": "x"}}, "leave out Connection"),
        ("http", {"url": "https://example.com", "headers": {"X-A": "a\r\nHost: b"}}, "in one line"),
        ("http", {"url": "https://example.com", "headers": {"X A": "a"}}, "not a header name"),
        ("http", {"url": "https://example.com", "headers": {"X-A\n": "a"}}, "not a header name"),
        ("http", {"url": "https://example.com", "headers": {"X-A": "1", "x-a": "2"}}, "only once"),
        ("webhook", {"url": "https://example.com", "headers": {"Webhook-Id": "x"}}, "leave out Webhook-Id"),
        ("webhook", {"url": "https://example.com", "headers": {"host": "x"}}, "leave out host"),
        ("webhook", {"url": "https://example.com", "body": 3}, "body: .*an object, a list or a text"),
    ],
)
def test_a_payload_that_does_not_fit_says_what_to_write(kind: str, payload: dict[str, Any], message: str) -> None:
    """A wrong payload is refused before any call, by the field's name and with the remedy."""
    with pytest.raises(ConfigError, match=message):
        action(kind).parse(payload)


@pytest.mark.parametrize("kind", ["ping", "http", "webhook"])
def test_a_kind_describes_itself(kind: str) -> None:
    """Each has a one-line summary and a closed schema that explains every field, under the name that rows use."""
    found = action(kind)
    schema = found.config.model_json_schema()
    assert found.summary.endswith(".")
    assert schema["additionalProperties"] is False
    assert all(field.get("description") for field in schema["properties"].values())
    assert "json_body" not in schema["properties"]

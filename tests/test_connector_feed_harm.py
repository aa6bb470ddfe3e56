"""What a feed connector makes of replies that are no feed, and that a feed cannot harm whoever reads it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any

import psutil
import pytest

from include.egress import Egress
from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.model import PAGE_CAP, Connection
from include.registry import source
from tests.fake_http import serving
from tests.feed_source import egress, feed, item, payload, pull, pulled

__all__ = ["egress"]


@pytest.mark.parametrize(
    ("body", "kind"), [("<html><p>Hi</p></html>", "text/html"), ('{"a": 1}', "application/json"), ("", "text/plain")]
)
async def test_what_is_no_feed_is_refused(egress: Egress, body: str, kind: str) -> None:
    """The error says what came instead."""
    async with serving(feed(body, Content_Type=kind)) as server:
        with pytest.raises(
            PermanentError, match=rf"GET 127\.0\.0\.1:{server.port}: .* not a feed \({kind}\)"
        ) as caught:
            await pull(egress, server)
    assert "hush" not in str(caught.value)


async def test_a_body_that_names_a_file_or_a_url_is_not_opened(egress: Egress) -> None:
    """What came is the feed, or nothing is."""
    for body in ("{url}", __file__, "file:///etc/passwd"):
        async with serving() as target, serving(feed(body.format(url=target.url()))) as server:
            with pytest.raises(PermanentError, match="not a feed"):
                await pull(egress, server)
        assert target.received == []


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LONG = "&a;" * 1000
BOMBS = {
    "nested": f'<!DOCTYPE rss [<!ENTITY l0 "lol">{LAUGHS}]>{item("<item><title>&l9;</title></item>")}',
    "long": '\n<!DOCTYPE rss [\n<!ENTITY a "'
    + "A" * 100_000
    + '">\n]>\n'
    + item(f"<item><title>{LONG}</title></item>"),
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", BOMBS)
async def test_entities_do_not_grow(egress: Egress, name: str) -> None:
    """A feed whose entities would grow without bound is refused, or read without them."""
    try:
        page = await pulled(egress, '<?xml version="1.0"?>' + BOMBS[name])
    except PermanentError as error:
        assert "too large" in str(error)  # noqa: PT017 - either way is good
    else:
        assert len(json.dumps(payload(page))) < 1000


async def test_external_entities_are_not_read(egress: Egress) -> None:
    """Neither a file nor a URL that a feed declares as an entity gets into a record."""
    async with serving() as target:
        for system in ("file:///etc/hostname", target.url()):
            doctype = f'<?xml version="1.0"?>\n<!DOCTYPE rss [\n<!ENTITY x SYSTEM "{system}">\n]>\n'
            page = await pulled(egress, doctype + item("<item><guid>1</guid><title>[&x;]</title></item>"))
            assert payload(page)["title"] == "[&x;]"
    assert target.received == []


async def test_a_pull_can_be_cancelled_while_a_feed_is_parsed(egress: Egress) -> None:
    """A feed that takes minutes to parse holds up nobody, and no process is left when its pull is cancelled."""
    parsers: list[psutil.Process] = []
    async with serving(feed(item(f"<item><author>{'a' * 1_000_000}</author></item>"))) as server:
        task = asyncio.ensure_future(pull(egress, server))
        while not parsers and not task.done():
            await asyncio.sleep(0.01)
            parsers = [child for child in psutil.Process().children() if "_feed_parse.py" in str(child.cmdline())]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not any(parser.is_running() for parser in parsers)


@pytest.mark.parametrize("status", [404, 410, 401, 403])
async def test_a_status_that_stays_is_permanent(egress: Egress, status: int) -> None:
    """The error has the status."""
    async with serving(feed("gone", status)) as server:
        with pytest.raises(PermanentError) as caught:
            await pull(egress, server)
    assert caught.value.code == status


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_a_status_that_passes_is_retryable(egress: Egress, status: int) -> None:
    """The error has the status and the wait that was asked for."""
    async with serving(feed("later", status, Retry_After="7")) as server:
        with pytest.raises(RetryableError) as caught:
            await pull(egress, server)
    assert (caught.value.code, caught.value.after_seconds) == (status, 7)


async def test_429_is_a_limit(egress: Egress) -> None:
    """Being told to wait is an error of its own."""
    async with serving(feed("slow down", 429, Retry_After="30")) as server:
        with pytest.raises(RateLimitedError) as caught:
            await pull(egress, server)
    assert caught.value.after_seconds == 30


async def test_a_feed_that_is_too_large_is_refused(egress: Egress) -> None:
    """Half a feed is not read."""
    async with serving(feed(b" " * (PAGE_CAP + 1))) as server:
        with pytest.raises(PermanentError, match="larger than 8 MiB"):
            await pull(egress, server)


@pytest.mark.parametrize(
    ("login", "sent"), [("bob", "Basic " + b64encode(b"bob:secret1").decode()), (None, "Bearer secret1")]
)
async def test_a_connection_proves_who_we_are(egress: Egress, login: str | None, sent: str) -> None:
    """Login and password are HTTP basic, a password alone is a bearer token; the row's headers go with them."""
    async with serving(feed(item(""))) as server:
        connection = Connection("c", login=login, password="secret1")
        await pull(egress, server, connection=connection, headers={"X-Team": "a", "accept": "text/xml"})
    headers = server.received[0].headers
    assert (headers["authorization"], headers["x-team"], headers["accept"]) == (sent, "a", "text/xml")


async def test_a_connection_that_is_missing_is_named(egress: Egress) -> None:
    """Nothing is fetched without the connection that the row names."""
    async with serving(feed(item(""))) as server:
        with pytest.raises(ConfigError, match="no connection 'absent'"):
            await pull(egress, server, conn_id="absent")
    assert server.received == []


@pytest.mark.parametrize(
    "config",
    [
        {"url": "file:///etc/passwd"},
        {"url": "/etc/passwd"},
        {"url": "https://bob:pw@h.example/"},
        {"uri": "x"},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"X": "a\r\nY: b"}},
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, Any]) -> None:
    """What could not be fetched, or would hold a secret, is an error of the row."""
    with pytest.raises(ConfigError):
        source("feed").parse({"url": "https://h.example/feed", **config})

"""What a feed's entries become, and that a feed cannot harm whoever reads it."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import JsonValue

from include.egress import Egress
from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.model import PAGE_CAP, Connection, Page, Source
from include.registry import source
from tests.fake_http import Handler, Server, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)

RSS_091 = """<?xml version="1.0"?>
<!DOCTYPE rss PUBLIC "-//Netscape Communications//DTD RSS 0.91//EN" "http://127.0.0.1:9/rss-0.91.dtd">
<rss version="0.91"><channel><title>News</title>
<item><title>Two</title><link>http://news.example/2</link><description>Second</description></item>
<item><title>One</title><link>http://news.example/1</link></item>
</channel></rss>"""
RSS_10 = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="http://r.example/"><title>R</title></channel>
<item rdf:about="http://r.example/a"><title>A</title><link>http://r.example/a</link>
<dc:date>2026-01-02T03:04:05+02:00</dc:date><dc:creator>Ada</dc:creator><dc:subject>maths</dc:subject></item></rdf:RDF>"""
RSS_20 = """<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Pod</title>
<item><title>Ünï &amp; code</title><link>http://p.example/7</link><guid isPermaLink="false">ep-7</guid>
<description>Short</description><content:encoded><![CDATA[<p onclick="x()">Long</p><script>evil()</script>]]></content:encoded>
<author>bob@p.example (Bob)</author><category>one</category><category>two</category>
<pubDate>Sun, 01 Mar 2026 10:00:00 -0200</pubDate>
<enclosure url="http://p.example/7.mp3" type="audio/mpeg" length="12345"/></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><id>urn:feed</id>
<entry><id>urn:uuid:1</id><title>T</title><link href="posts/1"/><published>2026-02-01T00:00:00Z</published>
<updated>2026-02-02T00:00:00.5+01:00</updated><summary>S</summary>
<author><name>Eve</name><email>eve@a.example</email><uri>http://eve.example/</uri></author>
<category term="t" label="Topic"/></entry></feed>"""


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


def feed(text: str | bytes, status: int = 200, **headers: str) -> Handler:
    """Serve a body; it was not modified if the request knows its ETag."""
    body = text.encode() if isinstance(text, str) else text
    headers = {"Content-Type": "application/xml", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def handle(request: web.Request) -> web.StreamResponse:
        if "ETag" in headers and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304)
        return web.Response(status=status, body=body, headers=headers)

    return handle


def item(text: str) -> str:
    return f"<rss version='2.0'><channel><title>x</title>{text}</channel></rss>"


async def pull(
    egress: Egress, server: Server, cursor: JsonValue = None, connection: Connection | None = None, **config: Any
) -> Page | None:
    """One pull, from the configuration as it is in the row; the cursor goes through JSON, as it does there."""
    kind = source("feed")
    named = {} if connection is None else {"conn_id": connection.id}
    parsed = kind.parse({"url": server.url("/blog/feed.xml?token=hush"), **named, **config})
    assert kind.runs_on == "triggerer"
    given = Source(parsed, json.loads(json.dumps(cursor)), egress, connection, NOW, 10)
    async with aclosing(kind.pull(given)) as pages:
        found = [page async for page in pages]
    assert len(found) <= 1
    return found[0] if found else None


async def pulled(egress: Egress, text: str | bytes, **headers: str) -> Page:
    async with serving(feed(text, **headers)) as server:
        page = await pull(egress, server)
    assert page is not None
    json.dumps(page.cursor)
    return page


def payload(page: Page, index: int = 0) -> dict[str, Any]:
    found = page.records[index].payload
    assert isinstance(found, dict)
    return found


async def test_rss_091_is_read(egress: Egress) -> None:
    """An entry without a guid has its link for a key, and the DTD that the feed names is not fetched."""
    page = await pulled(egress, RSS_091)
    assert [(record.key, record.payload) for record in page.records] == [
        ("http://news.example/1", {"title": "One", "link": "http://news.example/1"}),
        ("http://news.example/2", {"title": "Two", "link": "http://news.example/2", "summary": "Second"}),
    ]


async def test_rss_10_is_read(egress: Egress) -> None:
    """RDF is a feed; Dublin Core's elements are the entry's author, tags and time, in UTC."""
    page = await pulled(egress, RSS_10)
    assert page.about["format"] == "rss10"
    assert page.records[0].key == "http://r.example/a"
    assert payload(page)["updated"] == "2026-01-02T01:04:05Z"
    assert (payload(page)["authors"], payload(page)["tags"]) == ([{"name": "Ada"}], ["maths"])


async def test_rss_20_is_read(egress: Egress) -> None:
    """Every field is where the documentation says, and what could run in a browser is not."""
    page = await pulled(egress, RSS_20)
    assert page.records[0].key == "ep-7"
    assert page.records[0].payload == {
        "id": "ep-7",
        "title": "Ünï & code",
        "link": "http://p.example/7",
        "summary": "Short",
        "content": "<p>Long</p>",
        "authors": [{"name": "Bob", "email": "bob@p.example"}],
        "tags": ["one", "two"],
        "published": "2026-03-01T12:00:00Z",
        "enclosures": [{"url": "http://p.example/7.mp3", "type": "audio/mpeg", "length": 12345}],
    }


async def test_atom_is_read(egress: Egress) -> None:
    """A relative link is resolved against the feed's URL, without its query, which may be a secret."""
    async with serving(feed(ATOM)) as server:
        page = await pull(egress, server)
    assert page is not None
    assert page.records[0].payload == {
        "id": "urn:uuid:1",
        "title": "T",
        "link": server.url("/blog/posts/1"),
        "summary": "S",
        "authors": [{"name": "Eve", "email": "eve@a.example", "url": "http://eve.example/"}],
        "tags": ["Topic"],
        "published": "2026-02-01T00:00:00Z",
        "updated": "2026-02-01T23:00:00Z",
    }
    assert "hush" not in repr(page)


@pytest.mark.parametrize("order", ["123", "321", "213"])
async def test_the_oldest_entry_comes_first(egress: Egress, order: str) -> None:
    """Records are stored in the order of publication, whatever the order in the feed."""
    entries = (f"<item><guid>{n}</guid><pubDate>0{n} Mar 2026 10:00:00 GMT</pubDate></item>" for n in order)
    page = await pulled(egress, item("".join(entries)))
    assert [str(payload(page, index)["published"])[:10] for index in range(3)] == [f"2026-03-0{n}" for n in (1, 2, 3)]


async def test_an_entry_without_guid_and_link_has_no_key(egress: Egress) -> None:
    """Such an entry is told apart by its content."""
    page = await pulled(egress, item("<item><title>only</title></item>"))
    assert (page.records[0].key, page.records[0].payload) == (None, {"title": "only"})


async def test_a_feed_is_not_fetched_again_if_it_is_as_it_was(egress: Egress) -> None:
    """What the server said about its version is sent back, and there is no page for 304."""
    async with serving(feed(ATOM, ETag='"v1"', Last_Modified="Sun, 01 Mar 2026 10:00:00 GMT")) as server:
        first = await pull(egress, server)
        assert first is not None
        assert await pull(egress, server, first.cursor) is None
        assert await pull(egress, server, first.cursor, url=server.url("/other")) is not None
    plain, known, other = (request.headers for request in server.received)
    assert known["if-none-match"] == '"v1"'
    assert known["if-modified-since"] == "Sun, 01 Mar 2026 10:00:00 GMT"
    assert "if-none-match" not in plain
    assert "if-none-match" not in other, "another URL is another feed"


async def test_a_body_that_is_the_same_gives_no_page(egress: Egress) -> None:
    """Where the server cannot tell whether the feed has changed, the body can."""
    async with serving(feed(ATOM)) as server:
        first = await pull(egress, server)
        assert first is not None
        assert await pull(egress, server, first.cursor) is None
    async with serving(feed(ATOM.replace("urn:uuid:1", "urn:uuid:2"))) as changed:
        again = await pull(egress, changed, first.cursor)
    assert again is not None
    assert again.records[0].key == "urn:uuid:2"


async def test_a_feed_without_entries_is_a_feed(egress: Egress) -> None:
    """An empty feed gives an empty page, so that its version is known."""
    page = await pulled(egress, item(""), ETag='"empty"')
    assert list(page.records) == []
    assert isinstance(page.cursor, dict)
    assert page.cursor["etag"] == '"empty"'


async def test_a_broken_feed_with_entries_is_read(egress: Egress) -> None:
    """What is not well-formed is read as far as it goes, and a preview says what is wrong with it."""
    page = await pulled(egress, "<rss version='2.0'><channel><item><guid>1</guid><title>a & b &eacute;</title></item>")
    assert payload(page)["title"] == "a & b é"
    assert page.about["flaw"]


@pytest.mark.parametrize(
    "text", ["<items>no</items>", "<links>no</links>", "<authors>no</authors>", "<tags>a,b</tags>"]
)
async def test_an_unknown_element_does_not_take_the_place_of_a_field(egress: Egress, text: str) -> None:
    """Elements of no standard cannot break an entry."""
    page = await pulled(egress, item(f"<item><guid>1</guid>{text}</item>"))
    assert page.records[0].key is not None


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1"])
async def test_other_encodings_are_read(egress: Egress, charset: str) -> None:
    """The encoding is the one that the feed declares."""
    text = f"<?xml version='1.0' encoding='{charset}'?>" + item("<item><guid>1</guid><title>Käse</title></item>")
    assert payload(await pulled(egress, text.encode(charset)))["title"] == "Käse"


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
        async with serving() as target:
            async with serving(feed(body.format(url=target.url()))) as server:
                with pytest.raises(PermanentError, match="not a feed"):
                    await pull(egress, server)
        assert target.received == []


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "nested": f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY l0 "lol">{LAUGHS}]>' + item("<item><title>&l9;</title></item>"),
    "long": '<?xml version="1.0"?>\n<!DOCTYPE rss [\n<!ENTITY a "' + "A" * 100_000 + '">\n]>\n'
    + item(f"<item><title>{'&a;' * 1000}</title></item>"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
async def test_entities_do_not_grow(egress: Egress, name: str) -> None:
    """A feed whose entities would grow without bound is refused, or read without them."""
    try:
        page = await pulled(egress, BOMBS[name])
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
    async with serving(feed(ATOM)) as server:
        connection = Connection("c", login=login, password="secret1")
        await pull(egress, server, connection=connection, headers={"X-Team": "a", "accept": "text/xml"})
    headers = server.received[0].headers
    assert (headers["authorization"], headers["x-team"], headers["accept"]) == (sent, "a", "text/xml")


async def test_a_connection_that_is_missing_is_named(egress: Egress) -> None:
    """Nothing is fetched without the connection that the row names."""
    async with serving(feed(ATOM)) as server:
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

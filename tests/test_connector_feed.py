"""What a feed's entries become, and when a feed is fetched."""

from __future__ import annotations

import pytest

from include.egress import Egress
from tests.fake_http import serving
from tests.feed_source import egress, feed, item, payload, pull, pulled

__all__ = ["egress"]

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
<description>Short</description>
<content:encoded><![CDATA[<p onclick="x()">Long</p><script>evil()</script>]]></content:encoded>
<author>bob@p.org (Bob)</author><category>one</category><category>two</category>
<pubDate>Sun, 01 Mar 2026 10:00:00 -0200</pubDate>
<enclosure url="http://p.example/7.mp3" type="audio/mpeg" length="12345"/></item></channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>A</title><id>urn:feed</id>
<entry><id>urn:uuid:1</id><title>T</title><link href="posts/1"/><published>2026-02-01T00:00:00Z</published>
<updated>2026-02-02T00:00:00.5+01:00</updated><summary>S</summary>
<author><name>Eve</name><email>eve@a.example</email><uri>http://eve.example/</uri></author>
<category term="t" label="Topic"/></entry></feed>"""


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
        "authors": [{"name": "Bob", "email": "bob@p.org"}],
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

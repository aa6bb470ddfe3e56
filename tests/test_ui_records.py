"""The pages of records: what is shown of a log, and how it is searched."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator

import pytest

from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER
from tests.log_rows import add_connector, append
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def shop(db: DictConnection) -> int:
    """Alice's connector, which has no records yet."""
    return add_connector(db, "shop", owner="alice")


def test_an_empty_page_says_what_to_do_first(pages: Pages, db: DictConnection) -> None:
    """Without connectors there is a button for the first; then one is to be chosen; then records are to come."""
    assert "Create the first connector" in pages.get("/records").text
    assert "Create the first connector" not in pages.as_(VIEWER).get("/records").text
    connector = add_connector(db, "shop", owner="alice")
    assert "Whose records?" in pages.get("/records").text
    assert "shop has no records yet" in pages.get("/records", connector=connector).text


def test_records_are_shown_the_newest_first(pages: Pages, db: DictConnection, shop: int) -> None:
    """Position, key, and payload, as text and not as HTML; a page has fifty, and a link to the next."""
    append(db, shop, [{"title": f"<i>{number:02}</i>"} for number in range(1, 53)])
    page = pages.get("/records", connector=shop).text
    assert page.index(f"/records/{shop}/52") < page.index(f"/records/{shop}/51")
    assert "&lt;i&gt;52&lt;/i&gt;" in page
    assert "<i>" not in page
    assert f"/records/{shop}/2" + '"' not in page
    link = html.unescape(page.partition('rel="next" href="')[2].partition('"')[0])
    second = pages.get(link.removeprefix("/ui")).text
    assert f'/records/{shop}/2"' in second
    assert "First page" in second


def test_payloads_are_searched(pages: Pages, db: DictConnection, shop: int) -> None:
    """A text finds the records that have it, a key its versions; where none has it, that is said."""
    append(db, shop, [{"title": "alpha"}, {"title": "beta"}])
    found = pages.get("/records", connector=shop, search="bet").text
    assert "beta" in found
    assert "alpha" not in found
    assert "alpha" in pages.get("/records", connector=shop, key="k1").text
    assert "Nothing matches" in pages.get("/records", connector=shop, search="gamma").text


def test_a_search_that_has_not_ended_leads_on(pages: Pages, db: DictConnection, shop: int) -> None:
    """Where the newest 5,000 records have no match, there is a way to look further back."""
    db.execute(
        "select append_records(%s, (select jsonb_agg(jsonb_build_object('key', 'k' || n, 'payload', 'p' || n))"
        " from generate_series(1, 5050) n))",
        (shop,),
    )
    page = pages.get("/records", connector=shop, search="p7").text
    while "Nothing among these" in page:
        link = html.unescape(page.partition('rel="next" href="')[2].partition('"')[0])
        page = pages.get(link.removeprefix("/ui")).text
    assert "p7" in page


def test_one_record_is_shown_whole(pages: Pages, db: DictConnection, shop: int) -> None:
    """Its payload as JSON, with the way to those beside it; a position without a record is said."""
    append(db, shop, [{"n": 1}, {"order": {"paid": True, "text": "<b>"}}, {"n": 3}])
    page = pages.get(f"/records/{shop}/2").text
    for part in ("&#34;paid&#34;: true", "&lt;b&gt;", f'/records/{shop}/1"', f'/records/{shop}/3"', "k2"):
        assert part in page
    for path in (f"/records/{shop}/4", f"/records/{shop}/0", f"/records/{shop}/{2**70}", f"/records/{2**70}/1"):
        assert pages.get(path).status_code in (404, 422)


def test_large_payloads_are_cut_in_the_list_only(pages: Pages, db: DictConnection, shop: int) -> None:
    """The list stays readable, and the page of the record has all of it."""
    append(db, shop, [{"text": "x" * 20_000 + "end"}])
    assert "xend" not in pages.get("/records", connector=shop).text
    assert "xend" in pages.get(f"/records/{shop}/1").text


def test_what_is_cut_shows_its_beginning(pages: Pages, db: DictConnection, shop: int) -> None:
    """Keys and payloads without a blank in them are cut as others are, and lead to all of it."""
    items = json.dumps([{"key": "k" * 300, "payload": {"text": "x" * 300}}])
    db.execute("select append_records(%s, %s)", (shop, items))
    page = pages.get("/records", connector=shop).text
    assert f">{'k' * 59}…</a>" in page
    assert f"{'x' * 150}" in page.partition("<summary>")[2].partition("</summary>")[0]
    link = html.unescape(page.partition('<td><a href="')[2].partition('"')[0])
    assert f"/records/{shop}/1" in pages.get(link.removeprefix("/ui")).text


def test_the_versions_of_a_key_are_not_searched(pages: Pages, db: DictConnection, shop: int) -> None:
    """The versions of a key are found by their index, all of them: nothing needs to be looked through."""
    db.execute("update connector set dedupe = 'content'")
    items = json.dumps([{"key": "k", "payload": number} for number in range(60)])
    db.execute("select append_records(%s, %s)", (shop, items))
    versions = pages.get("/records", connector=shop, key="k").text
    assert 'rel="next"' in versions
    assert "5,000 records" not in versions


def test_others_records_are_not_there(pages: Pages, db: DictConnection, shop: int) -> None:
    """Bob finds neither the list nor the record, and cannot choose the connector; an admin can."""
    append(db, shop, [{"secret": "of alice"}])
    bob = pages.as_(BOB)
    assert bob.get("/records", connector=shop).status_code == 404
    assert bob.get(f"/records/{shop}/1").status_code == 404
    assert "shop" not in bob.get("/records").text
    assert "of alice" in pages.as_(ADMIN).get("/records", connector=shop).text


def test_connectors_of_one_name_are_told_apart(pages: Pages, db: DictConnection, shop: int) -> None:
    """Who sees those of several owners sees whose each is; a name that is there once stands alone."""
    bobs, news = add_connector(db, "shop", owner="bob"), add_connector(db, "news", owner="bob")
    page = pages.as_(ADMIN).get("/records", connector=bobs).text
    assert f'<option value="{shop}">shop (alice)</option>' in page
    assert f'<option value="{bobs}" selected>shop (bob)</option>' in page
    assert f'<option value="{news}">news</option>' in page
    assert f'<option value="{shop}">shop</option>' in pages.get("/records").text


@pytest.mark.parametrize("connector", ["x", "-1", "9" * 30, "0"])
def test_a_connector_that_cannot_be_is_said(pages: Pages, connector: str) -> None:
    """An address that somebody has written is answered with a page that says what is wrong."""
    assert pages.get("/records", connector=connector).status_code in (404, 422)


def test_where_there_are_too_many_to_list_a_connector_is_named(pages: Pages, db: DictConnection, shop: int) -> None:
    """Its name, or its number, is typed; who sees several of one name chooses among them."""
    many = "select 'a ' || number, 'webhook', 'alice' from generate_series(1, 500) as number"
    db.execute(f"insert into connector (name, kind, owner) {many}".encode())
    append(db, shop, [{"title": "the only one"}])
    assert '<input name="connector"' in pages.get("/records").text
    for said in ("shop", str(shop)):
        assert "the only one" in html.unescape(pages.get("/records", connector=said).text)
    assert "No connector has “zz”" in pages.get("/records", connector="zz").text
    add_connector(db, "shop", owner="bob")
    assert "the only one" in pages.get("/records", connector="shop").text
    both = pages.as_(ADMIN).get("/records", connector="shop").text
    assert "Which connector?" in both
    assert "shop (alice)" in both
    assert "shop (bob)" in both


def test_a_large_record_is_cut_and_can_be_had_as_a_whole(pages: Pages, db: DictConnection, shop: int) -> None:
    """The page shows the beginning of it, and leads to all of it as JSON."""
    payload = {"items": [{"number": number} for number in range(60_000)]}
    append(db, shop, [payload])
    page = pages.get(f"/records/{shop}/1").text
    assert len(page) < 150_000
    assert "the rest is not shown" in page
    assert f'<a href="/api/v1/connectors/{shop}/records/1" download' in page

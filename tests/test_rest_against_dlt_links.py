"""Links and cursors to the next page: our `rest` connector makes the requests of dlt 1.31 and gives its records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict

from tests.paged_api import (
    FIVE,
    HOLE,
    ITEMS,
    Answer,
    Api,
    Asked,
    Case,
    Pages,
    after,
    always,
    but,
    by_name,
    here,
    more,
    numbered,
    paged,
    rows,
    token,
)

if TYPE_CHECKING:
    from tests.dlt_peer import Peers

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]

ENDS_EMPTY: Pages = (rows(1, 2), rows(3, 4), [])
AT = numbered("n")


def linked(pages: Pages = FIVE, link: str = "/api/items?n={}", place: Callable[[Asked], int] = AT) -> Api:
    return paged(pages, place, {**ITEMS, "next": after(link)})


def by_json(**fields: Any) -> dict[str, Any]:
    return {"path": "items", "paginator": {"type": "json_link", **fields}}


def by_header(**fields: Any) -> dict[str, Any]:
    return {"path": "items", "paginator": {"type": "header_link", **fields}}


def by_cursor(**fields: Any) -> dict[str, Any]:
    return {"path": "items", "paginator": {"type": "cursor", "cursor_path": "next", **fields}}


JSON_LINKS = [
    Case("by name only", {"path": "items", "paginator": "json_link"}, linked(), 5),
    Case("an absolute URL", by_json(), linked(link="{origin}/api/items?n={}"), 5),
    Case("relative to the folder", by_json(), linked(link="items?n={}"), 5),
    Case("only a query", by_json(), linked(link="?n={}"), 5),
    Case("one folder up", {**by_json(), "path": "old/items"}, linked(link="../items?n={}"), 5),
    Case("another path", by_json(),
         linked(link="/elsewhere/{}", place=lambda asked: int(asked.path[-1:]) if asked.path[-1].isdigit() else 0), 5),
    Case("without a scheme", by_json(),
         paged(FIVE, AT, {**ITEMS, "next": lambda at: at.next and f"{at.origin[5:]}/api/items?n={at.next}"}), 5),
    Case("with a fragment", by_json(), linked(link="/api/items?n={}#top"), 5),
    Case("with escapes", by_json(), linked(link="/api/items?n={}&q=a%20b%2Bc%26d&r=a+b&path=%2Fx"), 5),
    Case("with escapes in the path", by_json(), linked(link="/api/a%2Fb%20c?n={}"), 5),
    Case("with what should be escaped", by_json(), linked(link="/api/items?n={}&q=a b|\u00e4"), 5),
    Case("with an empty parameter", by_json(), linked(link="/api/items?n={}&q=&flag"), 5),
    Case("with the same parameter twice", by_json(), linked(link="/api/items?n={}&tag=a&tag=b"), 5),
    Case("params are not sent again", {**by_json(), "params": {"size": 2, "q": "x"}}, linked(), 5),
    Case("params in the link stay", {**by_json(), "params": {"size": 2}}, linked(link="/api/items?n={}&size=2"), 5),
    Case("a query in the path is not sent again", {**by_json(), "path": "items?size=2"}, linked(), 5),
    Case("method and body are", {**by_json(), "method": "POST", "json": {"query": "x"}}, linked(), 5),
    Case("deep in the body", by_json(next_url_path="links.next.href"),
         paged(FIVE, AT, {**ITEMS, "links": {"next": {"href": after("/api/items?n={}")}}}), 5),
    Case("a JSONPath with a root", by_json(next_url_path="$.links.next"),
         paged(FIVE, AT, {**ITEMS, "links": {"next": after("/api/items?n={}")}}), 5),
    Case("a filter", by_json(next_url_path="links[?(@.rel=='next')].href"),
         paged(FIVE, AT, {**ITEMS, "links": lambda spot: [{"rel": "self", "href": "/"}] + (
             [{"rel": "next", "href": f"/api/items?n={spot.next}"}] if spot.next else [])}), 5),
    Case("after a redirect: against what was asked for", by_json(),
         but(linked(link="?n={}"), {1: Answer(None, 302, {"Location": "/elsewhere/items"})}), 5),
    Case("no link at all", by_json(), always({"items": rows(1, 2)}), 2),
    Case("the body is an array", by_json(), always(rows(1, 2)), 2),
    Case("an empty page in the middle", by_json(), linked(HOLE), 4),
    Case("an empty last page", by_json(), linked(ENDS_EMPTY), 4),
    Case("an empty first page", by_json(), linked(([], *FIVE)), 5),
    Case("a link that is a number", by_json(), always({"items": rows(1, 2), "next": 2}), 0),
]  # fmt: skip

HEADER_LINKS = [
    Case("by name only", {"path": "items", "paginator": "header_link"},
         paged(FIVE, AT, here, {"Link": after('<{origin}/api/items?n={}>; rel="next"')}), 5),
    Case("relative", by_header(), paged(FIVE, AT, here, {"Link": after('</api/items?n={}>; rel="next"')}), 5),
    Case("among others", by_header(),
         paged(FIVE, AT, here, {"Link": after('</>; rel="first", </api/items?n={}>; rel="next"; title="a, b"',
                                              '</>; rel="first"')}), 5),
    Case("without quotes, in any case of letters", by_header(),
         paged(FIVE, AT, here, {"link": after("</api/items?n={}>;rel=next")}), 5),
    Case("another relation", by_header(links_next_key="following"),
         paged(FIVE, AT, here, {"Link": after('</api/items?n={}>; rel="following"', '</x>; rel="next"')}), 5),
    Case("with a comma", by_header(),
         paged(FIVE, AT, here, {"Link": after('</api/items?n={}&fields=a,b>; rel="next"')}), 5),
    Case("with a parameter before the relation", by_header(),
         paged(FIVE, AT, here, {"Link": after('</api/items?n={}>; title="x"; rel="next"')}), 5),
    Case("two headers", by_header(), but(always(rows(3, 5)), {1: Answer(rows(1, 2), headers=CIMultiDict(
        [("Link", '</api/items?n=0>; rel="first"'), ("Link", '</api/items?n=1>; rel="next"')]))}), 5),
    Case("two of one relation", by_header(), but(always(rows(3, 5)), {1: Answer(rows(1, 2), headers={
        "Link": '</api/one>; rel="next", </api/other>; rel="next"'})}), 5),
    Case("no header", by_header(), always(rows(1, 2)), 2),
    Case("a header without a relation", by_header(), always(rows(1, 2), Link="</api/items?n=1>"), 2),
    Case("an empty page in the middle", by_header(),
         paged(HOLE, AT, here, {"Link": after('</api/items?n={}>; rel="next"')}), 4),
    Case("params are not sent again", {**by_header(), "params": {"size": 2}},
         paged(FIVE, AT, here, {"Link": after('</api/items?n={}>; rel="next"')}), 5),
]  # fmt: skip

CURSORS = [
    Case("by name only", {"path": "items", "paginator": "cursor"},
         paged(FIVE, token("cursor"), {**ITEMS, "cursors": {"next": after("c{}")}}), 5),
    Case("another name", by_cursor(cursor_param="after"),
         paged(FIVE, token("after"), {**ITEMS, "next": after("c{}")}), 5),
    Case("ends with an empty text", by_cursor(), paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}", "")}), 5),
    Case("ends with false", by_cursor(), paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}", False)}), 5),
    Case("ends with 0", by_cursor(),
         paged(FIVE, numbered("cursor"), {**ITEMS, "next": lambda spot: spot.next or 0}), 5),
    Case("a number", by_cursor(), paged(FIVE, numbered("cursor"), {**ITEMS, "next": lambda spot: spot.next}), 5),
    Case("a number with a fraction", by_cursor(),
         paged(FIVE, lambda asked: int(float(asked.params.get("cursor", 0))),
               {**ITEMS, "next": lambda spot: spot.next and spot.next / 1}), 5),
    Case("with letters that must be escaped", by_cursor(),
         paged(FIVE, lambda asked: int(asked.params.get("cursor", "0")[:1]),
               {**ITEMS, "next": after("{}==&x=+/ %20\u00e4")}), 5),
    Case("missing", by_cursor(), always({"items": rows(1, 2)}), 2),
    Case("the last record's id",
         by_cursor(cursor_path="items[-1].id", cursor_param="after", stop_after_empty_page=True),
         paged(FIVE, lambda asked: (int(asked.params.get("after", 0)) + 1) // 2, ITEMS), 5),
    Case("of every record: the first counts", by_cursor(cursor_path="items[*].after"),
         paged([rows(1, 2, after="c1"), rows(3, 4)], token("cursor"), ITEMS), 4),
    Case("an empty page in the middle", by_cursor(), paged(HOLE, token("cursor"), {**ITEMS, "next": after("c{}")}), 4),
    Case("an empty page in the middle ends it", by_cursor(stop_after_empty_page=True),
         paged(HOLE, token("cursor"), {**ITEMS, "next": after("c{}")}), 2),
    Case("an empty last page", by_cursor(), paged(ENDS_EMPTY, token("cursor"), {**ITEMS, "next": after("c{}")}), 4),
    Case("has more", by_cursor(has_more_path="more"),
         paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}", "c9"), "more": more}), 5),
    Case("has more, as text", by_cursor(has_more_path="more"),
         paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}", "c9"), "more": after("yes", "false")}), 5),
    Case("has more, without a cursor", by_cursor(has_more_path="more"), always({"items": rows(1, 2), "more": True}), 2),
    Case("has more is missing", by_cursor(has_more_path="more"), always({"items": rows(1, 2), "next": "c1"}), 0),
    Case("has more is missing on an empty page", by_cursor(has_more_path="more", stop_after_empty_page=True),
         but(always({"items": rows(1, 2), "next": "c1", "more": True}), {2: Answer({"items": []})}), 2),
    Case("in the body", {**by_cursor(cursor_body_path="cursor"), "method": "POST", "json": {"query": "x"}},
         paged(FIVE, token("/cursor"), {**ITEMS, "next": after("c{}")}), 5),
    Case("deep in the body",
         {**by_cursor(cursor_body_path="page.cursor"), "method": "POST", "json": {"page": {"size": 2}}},
         paged(FIVE, token("/page.cursor"), {**ITEMS, "next": after("c{}")}), 5),
    Case("in a body that is not there", {**by_cursor(cursor_body_path="page.cursor"), "method": "POST"},
         paged(FIVE, token("/page.cursor"), {**ITEMS, "next": after("c{}")}), 5),
    Case("a number in the body", {**by_cursor(cursor_body_path="cursor"), "method": "POST"},
         paged(FIVE, numbered("/cursor"), {**ITEMS, "next": lambda spot: spot.next}), 5),
    Case("params are sent again", {**by_cursor(), "params": {"size": 2, "q": "x"}},
         paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}), 5),
    Case("a param of its own name is the first", {**by_cursor(), "params": {"cursor": "c1"}},
         paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}), 3),
    Case("the run after it begins anew", by_cursor(),
         (paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}),
          paged((*FIVE, rows(6, 9)), token("cursor"), {**ITEMS, "next": after("c{}")})), 14),
    Case("a query in the path is sent again", {**by_cursor(), "path": "items?size=2"},
         paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}), 5),
]  # fmt: skip

HEADER_CURSORS = [
    Case("by name only", {"path": "items", "paginator": "header_cursor"},
         paged(FIVE, token("cursor"), here, {"next": after("c{}")}), 5),
    Case("other names",
         {"path": "items", "paginator": {"type": "header_cursor", "cursor_key": "X-Next", "cursor_param": "from"}},
         paged(FIVE, token("from"), here, {"x-next": after("c{}")}), 5),
    Case("an empty page in the middle", {"path": "items", "paginator": "header_cursor"},
         paged(HOLE, token("cursor"), here, {"next": after("c{}")}), 4),
    Case("no header", {"path": "items", "paginator": "header_cursor"}, always(rows(1, 2)), 2),
    Case("params are sent again", {"path": "items", "paginator": "header_cursor", "params": {"size": 2}},
         paged(FIVE, token("cursor"), here, {"next": after("c{}")}), 5),
]  # fmt: skip


@pytest.mark.parametrize("case", JSON_LINKS, ids=by_name)
async def test_links_in_the_body(peers: Peers, case: Case) -> None:
    """A link in the body is followed as dlt follows it: against the URL before it, with nothing of its query."""
    await peers.agree(case)


@pytest.mark.parametrize("case", HEADER_LINKS, ids=by_name)
async def test_links_in_the_header(peers: Peers, case: Case) -> None:
    """The `Link` header (RFC 8288) is read as dlt reads it."""
    await peers.agree(case)


@pytest.mark.parametrize("case", CURSORS, ids=by_name)
async def test_cursors_in_the_body(peers: Peers, case: Case) -> None:
    """A cursor from the body goes where dlt puts it, beside what was asked for already."""
    await peers.agree(case)


@pytest.mark.parametrize("case", HEADER_CURSORS, ids=by_name)
async def test_cursors_in_a_header(peers: Peers, case: Case) -> None:
    """A cursor from a header goes where dlt puts it, beside what was asked for already."""
    await peers.agree(case)

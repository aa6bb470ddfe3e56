"""Page numbers and offsets: our `rest` connector makes the requests of dlt 1.31 and gives its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.paged_api import (
    FIVE,
    FOUR,
    HOLE,
    ITEMS,
    Answer,
    Case,
    after,
    always,
    but,
    by_name,
    more,
    numbered,
    paged,
    rows,
)

if TYPE_CHECKING:
    from tests.dlt_peer import Peers

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]


def pages(**fields: Any) -> dict[str, Any]:
    return {"path": "items", "paginator": {"type": "page_number", **fields}}


def offset(**fields: Any) -> dict[str, Any]:
    return {"path": "items", "paginator": {"type": "offset", "limit": 2, **fields}}


PAGE_NUMBERS = [
    Case("by name only, base 0", {"path": "items", "paginator": "page_number"},
         paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), 5),
    Case("total pages, base 0", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), 5),
    Case("total pages, base 1", pages(base_page=1), paged(FIVE, numbered("page", 1), {**ITEMS, "total": 3}), 5),
    Case("the last page exactly full", pages(base_page=1), paged(FOUR, numbered("page", 1), {**ITEMS, "total": 2}), 4),
    Case("one page", pages(base_page=1), paged([rows(1, 2)], numbered("page", 1), {**ITEMS, "total": 1}), 2),
    Case("nothing at all", pages(base_page=1), paged([[]], numbered("page", 1), {**ITEMS, "total": 0}), 0),
    Case("the total is text", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": "3"}), 5),
    Case("the total is a float", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": 3.0}), 5),
    Case("the total is true", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": True}), 2),
    Case("the total lies deep", pages(total_path="meta.paging.pages"),
         paged(FIVE, numbered("page"), {**ITEMS, "meta": {"paging": {"pages": 3}}}), 5),
    Case("the total shrinks on the way", pages(),
         but(paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), {2: Answer({"items": rows(3, 4), "total": 2})}), 4),
    Case("the total is missing", pages(), paged(FIVE, numbered("page"), ITEMS), 0),
    Case("the total is null", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": None}), 0),
    Case("the total is no number", pages(), paged(FIVE, numbered("page"), {**ITEMS, "total": "many"}), 0),
    Case("the total is missing on the second page", pages(),
         but(paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), {2: Answer({"items": rows(3, 4)})}), 2),
    Case("the total is missing on an empty page", pages(),
         but(paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), {2: Answer({"items": []})}), 2),
    Case("no total: until an empty page", pages(total_path=None), paged(FIVE, numbered("page"), ITEMS), 5),
    Case("no total, the last page exactly full", pages(total_path=None), paged(FOUR, numbered("page"), ITEMS), 4),
    Case("an empty page in the middle ends it", pages(), paged(HOLE, numbered("page"), {**ITEMS, "total": 3}), 2),
    Case("an empty page in the middle does not end it", pages(stop_after_empty_page=False),
         paged(HOLE, numbered("page"), {**ITEMS, "total": 3}), 4),
    Case("an empty last page", pages(), paged((*FOUR, []), numbered("page"), {**ITEMS, "total": 3}), 4),
    Case("another name, another start", pages(page_param="p", page=2, base_page=1),
         paged(FIVE, numbered("p", 1), {**ITEMS, "total": 3}), 3),
    Case("page 0 of a base of 1", pages(page=0, base_page=1),
         paged(([], *FIVE), numbered("page"), {**ITEMS, "total": 3}), 0),
    Case("at most a page number, base 0", pages(total_path=None, maximum_page=2),
         paged(FIVE, numbered("page"), ITEMS), 4),
    Case("at most a page number, base 1", pages(base_page=1, total_path=None, maximum_page=2),
         paged(FIVE, numbered("page", 1), ITEMS), 2),
    Case("at most a page number, and a total", pages(base_page=1, maximum_page=3),
         paged(FIVE, numbered("page", 1), {**ITEMS, "total": 3}), 4),
    Case("a maximum of 0", pages(total_path=None, maximum_page=0), paged(FIVE, numbered("page"), ITEMS), 2),
    Case("has more", pages(total_path=None, has_more_path="more"),
         paged(FIVE, numbered("page"), {**ITEMS, "more": more}), 5),
    Case("has more, as text", pages(total_path=None, has_more_path="more"),
         paged(FIVE, numbered("page"), {**ITEMS, "more": after("True", "no")}), 5),
    Case("has more, as other text", pages(total_path=None, has_more_path="more"),
         paged(FIVE, numbered("page"), {**ITEMS, "more": after("maybe")}), 0),
    Case("has more, as a number", pages(total_path=None, has_more_path="more"),
         paged(FIVE, numbered("page"), {**ITEMS, "more": 1}), 0),
    Case("has more is missing", pages(total_path=None, has_more_path="more"), paged(FIVE, numbered("page"), ITEMS), 0),
    Case("has more, but the total says no", pages(has_more_path="more"),
         paged(FIVE, numbered("page"), {**ITEMS, "more": True, "total": 2}), 4),
    Case("in the body", {**pages(page_body_path="page", base_page=1), "method": "POST", "json": {"query": "x"}},
         paged(FIVE, numbered("/page", 1), {**ITEMS, "total": 3}), 5),
    Case("deep in the body",
         {**pages(page_body_path="paging.at.page"), "method": "POST", "json": {"paging": {"size": 2}}},
         paged(FIVE, numbered("/paging.at.page"), {**ITEMS, "total": 3}), 5),
    Case("in a body that is not there", {**pages(page_body_path="page"), "method": "POST"},
         paged(FIVE, numbered("/page"), {**ITEMS, "total": 3}), 5),
    Case("params beside it", {**pages(), "params": {"q": "a b&c", "size": 2, "ratio": 0.5}},
         paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), 5),
    Case("a param of its own name", {**pages(), "params": {"page": 7}},
         paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), 5),
    Case("a query in the path beside it", {**pages(), "path": "items?kind=a"},
         paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), 5),
    Case("its own parameter in the path", {**pages(page_param="p"), "path": "items?p=9"},
         always({"items": rows(1, 2), "total": 2}), 4),
]  # fmt: skip

OFFSETS = [
    Case("total", offset(), paged(FIVE, numbered("offset", step=2), {**ITEMS, "total": 5}), 5),
    Case("the last page exactly full", offset(), paged(FOUR, numbered("offset", step=2), {**ITEMS, "total": 4}), 4),
    Case("nothing at all", offset(), paged([[]], numbered("offset", step=2), {**ITEMS, "total": 0}), 0),
    Case("the total is text", offset(), paged(FIVE, numbered("offset", step=2), {**ITEMS, "total": "5"}), 5),
    Case("the total is text that is no whole number", offset(),
         paged(FIVE, numbered("offset", step=2), {**ITEMS, "total": "5.0"}), 0),
    Case("the total is missing", offset(), paged(FIVE, numbered("offset", step=2), ITEMS), 0),
    Case("the total is an array", offset(), paged(FIVE, numbered("offset", step=2), {**ITEMS, "total": [5]}), 0),
    Case("the first of many totals", offset(total_path="counts[*].n"),
         paged(FIVE, numbered("offset", step=2), {**ITEMS, "counts": [{"n": 5}, {"n": 0}]}), 5),
    Case("no total: until an empty page", offset(total_path=None), paged(FIVE, numbered("offset", step=2), ITEMS), 5),
    Case("no total, the last page exactly full", offset(total_path=None),
         paged(FOUR, numbered("offset", step=2), ITEMS), 4),
    Case("short pages do not end it", offset(), paged((rows(1, 1), rows(3, 3), rows(5, 5)),
         numbered("offset", step=2), {**ITEMS, "total": 5}), 3),
    Case("an empty page in the middle ends it", offset(),
         paged(HOLE, numbered("offset", step=2), {**ITEMS, "total": 6}), 2),
    Case("an empty page in the middle does not end it", offset(stop_after_empty_page=False),
         paged(HOLE, numbered("offset", step=2), {**ITEMS, "total": 6}), 4),
    Case("an empty last page", offset(), paged((*FOUR, []), numbered("offset", step=2), {**ITEMS, "total": 9}), 4),
    Case("other names, another start", offset(offset_param="skip", limit_param="take", offset=2),
         paged(FIVE, numbered("skip", step=2), {**ITEMS, "total": 5}), 3),
    Case("at most an offset", offset(total_path=None, maximum_offset=4),
         paged(FIVE, numbered("offset", step=2), ITEMS), 4),
    Case("at most an odd offset", offset(total_path=None, maximum_offset=3),
         paged(FIVE, numbered("offset", step=2), ITEMS), 4),
    Case("has more", offset(total_path=None, has_more_path="paging.more"),
         paged(FIVE, numbered("offset", step=2), {**ITEMS, "paging": {"more": more}}), 5),
    Case("has more is null", offset(total_path=None, has_more_path="more"),
         paged(FIVE, numbered("offset", step=2), {**ITEMS, "more": None}), 0),
    Case("has more, but the page is empty", offset(total_path=None, has_more_path="more"),
         paged(HOLE, numbered("offset", step=2), {**ITEMS, "more": True}), 2),
    Case("has more, and an empty page does not end it",
         offset(total_path=None, has_more_path="more", stop_after_empty_page=False),
         paged(HOLE, numbered("offset", step=2), {**ITEMS, "more": more}), 4),
    Case("in the body",
         {**offset(offset_body_path="from", limit_body_path="size"), "method": "POST", "json": {"query": {"a": 1}}},
         paged(FIVE, numbered("/from", step=2), {**ITEMS, "total": 5}), 5),
    Case("the offset in the body, the limit in the query", {**offset(offset_body_path="page.from"), "method": "POST"},
         paged(FIVE, numbered("/page.from", step=2), {**ITEMS, "total": 5}), 5),
    Case("the offset in the query, the limit in the body",
         {**offset(limit_body_path="page.size"), "method": "POST", "json": {"page": {"sort": "id"}}},
         paged(FIVE, numbered("offset", step=2), {**ITEMS, "total": 5}), 5),
    Case("a limit of one", offset(limit=1),
         paged((rows(1, 1), rows(2, 2)), numbered("offset"), {**ITEMS, "total": 2}), 2),
]  # fmt: skip


@pytest.mark.parametrize("case", PAGE_NUMBERS, ids=by_name)
async def test_page_numbers(peers: Peers, case: Case) -> None:
    """Pages are asked for by number as dlt asks for them, up to the page where it stops."""
    await peers.agree(case)


@pytest.mark.parametrize("case", OFFSETS, ids=by_name)
async def test_offsets(peers: Peers, case: Case) -> None:
    """Pages are asked for by offset as dlt asks for them, up to the page where it stops."""
    await peers.agree(case)

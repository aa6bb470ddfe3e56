"""What is left to be found out, the paginator and the records, is found as dlt 1.31 finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.paged_api import (
    FIVE,
    FOUR,
    ITEMS,
    Answer,
    Case,
    after,
    always,
    but,
    by_name,
    here,
    numbered,
    paged,
    rows,
    token,
)

if TYPE_CHECKING:
    from tests.dlt_peer import Peers

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]

AT = numbered("n")
NEXT = after("/api/items?n={}")
LINK = {"Link": after('</api/items?n={}>; rel="next"')}
AUTO = {"path": "items", "paginator": "auto"}
SINGLE = {"path": "items", "paginator": "single_page"}

PAGINATORS = [
    Case("nothing said", {"path": "items"}, paged(FIVE, AT, here, LINK), 5),
    Case("auto", AUTO, paged(FIVE, AT, here, LINK), 5),
    Case("auto, as an object", {"path": "items", "paginator": {"type": "auto"}}, paged(FIVE, AT, here, LINK), 5),
    Case("the header comes before the body", AUTO,
         paged(FIVE, AT, {**ITEMS, "next": after("/api/nowhere?n={}")}, LINK), 5),
    Case("a path in the body", AUTO, paged(FIVE, AT, {**ITEMS, "next": NEXT}), 5),
    Case("a URL in the body", AUTO, paged(FIVE, AT, {**ITEMS, "next": after("{origin}/api/items?n={}")}), 5),
    Case("deep in the body", AUTO, paged(FIVE, AT, {"meta": {"links": {"next": NEXT}}, **ITEMS}), 5),
    Case("in upper case", AUTO, paged(FIVE, AT, {**ITEMS, "NextPage": NEXT}), 5),
    Case("as an object with href", AUTO, paged(FIVE, AT, {**ITEMS, "_links": {"next": {"href": NEXT}}}), 5),
    Case("as an object with url", AUTO, paged(FIVE, AT, {**ITEMS, "next": {"title": "x", "url": NEXT}}), 5),
    Case("the first key that fits", AUTO,
         paged(FIVE, AT, {"a": {"next_url": NEXT}, "next": "/api/nowhere", **ITEMS}), 5),
    Case("a null is no link, the one after it is", AUTO, paged(FIVE, AT, {"next": None, "nextLink": NEXT, **ITEMS}), 5),
    Case("a link before a total", AUTO, paged(FIVE, AT, {"total_pages": 1, **ITEMS, "next": NEXT}), 5),
    Case("a cursor", AUTO, paged(FIVE, token("cursor"), {**ITEMS, "next_cursor": after("c{}")}), 5),
    Case("a cursor deep in the body", AUTO, paged(FIVE, token("cursor"), {**ITEMS, "meta": {"next": after("c{}")}}), 5),
    Case("a cursor that is a number", AUTO,
         paged(FIVE, numbered("cursor"), {**ITEMS, "next": lambda spot: spot.next}), 5),
    Case("a cursor that is empty", AUTO, always({"items": rows(1, 2), "next": ""}), 2),
    Case("a cursor whose name has a hyphen", AUTO,
         paged(FIVE, token("cursor"), {**ITEMS, "next-cursor": after("c{}")}), 5),
    Case("a relative link counts as a cursor", AUTO,
         paged(FIVE, lambda asked: int(asked.params.get("cursor", "0")[-1]), {**ITEMS, "next": after("items/{}")}), 5),
    Case("a total of pages", AUTO, paged(FIVE, numbered("page"), {**ITEMS, "total_pages": 3}), 5),
    Case("a total of pages, deep, in camel case", AUTO,
         paged(FIVE, numbered("page"), {**ITEMS, "meta": {"totalPages": 3}}), 5),
    Case("a total of pages, as text", AUTO, paged(FIVE, numbered("page"), {**ITEMS, "pages": "3"}), 5),
    Case("a total of pages that is no number", AUTO, paged(FIVE, numbered("page"), {**ITEMS, "pages": "many"}), 2),
    Case("a total of pages comes before a cursor", AUTO,
         paged(FIVE, numbered("page"), {"next": after("c{}"), **ITEMS, "total_pages": 3}), 5),
    Case("one page of one", AUTO, always({"items": rows(1, 2), "total_pages": 1}), 2),
    Case("a total that is none of pages", AUTO, always({"items": rows(1, 2), "total": 9, "page_count": 9}), 2),
    Case("nothing to go by: a single page", AUTO, always({"items": rows(1, 2), "page": 1}), 2),
    Case("an array: a single page", AUTO, always(rows(1, 2)), 2),
    Case("a link on the second page only", AUTO,
         but(paged(FIVE, AT, {**ITEMS, "next": NEXT}), {1: Answer({"items": rows(1, 2)})}), 2),
    Case("a null link on the first page", AUTO, always({"items": rows(1, 2), "next": None}), 2),
    Case("an empty first page", AUTO, paged(([], *FOUR), AT, {**ITEMS, "next": NEXT}), 4),
    Case("a key in the records", AUTO, always({"items": [{"id": 1, "next": "/x"}]}), 1),
    Case("what was found stays", AUTO,
         but(paged(FIVE, AT, {**ITEMS, "next": NEXT}), {2: Answer({"items": rows(3, 4), "nextLink": "/other"})}), 4),
    Case("for POST too", {**AUTO, "method": "POST", "json": {"a": 1}}, paged(FIVE, AT, {**ITEMS, "next": NEXT}), 5),
]  # fmt: skip

FOUND: list[tuple[str, Any, int]] = [
    ("an array", rows(1, 3), 3),
    ("an empty array", [], 0),
    ("a known name", {"meta": {"tags": [1]}, "data": rows(1, 2)}, 2),
    ("a known name after an unknown one", {"errors": [], "results": rows(1, 2)}, 2),
    ("the first of two known names", {"rows": rows(1, 1), "items": rows(2, 4)}, 1),
    ("a known name in upper case is unknown", {"Items": rows(1, 2), "warnings": []}, 2),
    ("an unknown name", {"count": 2, "cars": rows(1, 2)}, 2),
    ("the first of two unknown names", {"cars": rows(1, 2), "boats": rows(3, 5)}, 2),
    ("deep in first place", {"response": {"cars": rows(1, 2)}, "boats": rows(3, 5)}, 2),
    ("three deep", {"a": {"b": {"c": rows(1, 2)}}}, 2),
    ("four deep is too deep", {"a": {"b": {"c": {"d": rows(1, 2)}}}}, 1),
    ("a known name three deep", {"a": {"b": {"items": rows(1, 2)}}, "boats": rows(3, 5)}, 2),
    ("an empty array under a known name", {"tags": rows(1, 2), "items": []}, 0),
    ("meta", {"meta": [1, 2], "cars": rows(1, 3)}, 2),
    ("no array", {"id": 7, "name": "x"}, 1),
    ("an array in a single object", {"id": 7, "tags": ["a", "b"]}, 2),
    ("an empty object", {}, 1),
    ("null", None, 0),
    ("a text", "text", 1),
    ("a number", 5, 1),
    ("false", False, 1),
    ("texts and numbers", ["a", 1, 1.5, True, ""], 5),
    ("a null among records", [{"id": 1}, None, {"id": 2}], 3),
    ("arrays", [[1, 2], [3]], 2),
    ("one array", [[1, 2]], 1),
    ("one text", ["a"], 1),
    ("unicode and long numbers", [{"name": "\u00e4\u4e2d\U0001f600", "n": 2**63, "f": 0.1, "e": 1e300}], 1),
    ("the same record twice", [{"id": 1}, {"id": 1}], 2),
]  # fmt: skip

SELECTED: list[tuple[str, str, Any, int]] = [
    ("by name", "data", {"items": [0], "data": rows(1, 2)}, 2),
    ("deep", "result.data", {"result": {"data": rows(1, 2)}}, 2),
    ("with a root", "$.result.data", {"result": {"data": rows(1, 2)}}, 2),
    ("everything", "$", rows(1, 3), 3),
    ("everything, of an object", "$", {"data": rows(1, 2)}, 1),
    ("each of an array", "data[*]", {"data": rows(1, 3)}, 3),
    ("each of an array of one", "data[*]", {"data": rows(1, 1)}, 1),
    ("each of an empty array", "data[*]", {"data": []}, 0),
    ("a field of each", "edges[*].node", {"edges": [{"node": {"id": 1}}, {"node": {"id": 2}}]}, 2),
    ("a field of each, if one has it", "edges[*].node", {"edges": [{"node": {"id": 1}}, {}]}, 1),
    ("a field of one that is an array", "edges[*].tags", {"edges": [{"tags": [1, 2]}]}, 2),
    ("a field of two that are arrays", "edges[*].tags", {"edges": [{"tags": [1, 2]}, {"tags": [3]}]}, 2),
    ("one by its place", "data[0]", {"data": rows(1, 3)}, 1),
    ("the last", "data[-1:]", {"data": rows(1, 3)}, 1),
    ("some by their places", "data[1:3]", {"data": rows(1, 4)}, 2),
    ("some by what they hold", "data[?(@.id > 1)]", {"data": rows(1, 3)}, 2),
    ("any depth", "$..id", {"a": {"id": 1}, "b": [{"id": 2}]}, 2),
    ("every field", "data.*", {"data": {"a": {"id": 1}, "b": {"id": 2}}}, 2),
    ("a name with a hyphen", "'my-data'", {"my-data": rows(1, 2)}, 2),
    ("a name with a dot", "result['a.b']", {"result": {"a.b": rows(1, 2)}}, 2),
    ("two names", "a,b", {"a": {"id": 1}, "b": {"id": 2}}, 2),
    ("a single object", "data", {"data": {"id": 1}}, 1),
    ("a text", "data", {"data": "x"}, 1),
    ("zero", "data", {"data": 0}, 1),
    ("null", "data", {"data": None}, 0),
    ("missing", "data", {"items": rows(1, 2)}, 0),
    ("missing in an array", "data", rows(1, 2), 0),
    ("an empty array", "data", {"data": []}, 0),
    ("an array in an array", "data", {"data": [[1, 2]]}, 1),
    ("nulls", "data", {"data": [None, {"id": 1}]}, 2),
    ("a null alone", "data", {"data": [None]}, 1),
]  # fmt: skip

STAYS = [
    Case("what was found on the first page is looked for on the next", {"path": "items", "paginator": "json_link"},
         but(paged(FIVE, AT, {"cars": here, "next": NEXT}),
         {2: Answer({"boats": rows(8, 9), "next": "/api/items?n=2"})}), 3),
    Case("a first page without an array: the others count whole", {"path": "items", "paginator": "json_link"},
         but(paged(FIVE, AT, {**ITEMS, "next": NEXT}), {1: Answer({"next": "/api/items?n=1"})}), 3),
    Case("the selector misses on the second page",
         {"path": "items", "paginator": "json_link", "data_selector": "items"},
         but(paged(FIVE, AT, {**ITEMS, "next": NEXT}), {2: Answer({"next": "/api/items?n=2"})}), 3),
    Case("a page that misses is empty and ends it",
         {"path": "items", "paginator": "page_number", "data_selector": "items"},
         but(paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), {2: Answer({"total": 3})}), 2),
    Case("a page of a single object is not empty",
         {"path": "items", "paginator": "page_number", "data_selector": "items"},
         but(paged(FIVE, numbered("page"), {**ITEMS, "total": 3}), {2: Answer({"items": {"id": 3}, "total": 3})}), 4),
]  # fmt: skip


@pytest.mark.parametrize("case", PAGINATORS, ids=by_name)
async def test_the_paginator_is_found(peers: Peers, case: Case) -> None:
    """`auto` takes the paginator that dlt takes for the first page, and stays with it."""
    await peers.agree(case)


@pytest.mark.parametrize(("name", "body", "gives"), FOUND, ids=[name for name, *_ in FOUND])
async def test_the_records_are_found(peers: Peers, name: str, body: Any, gives: int) -> None:
    """Without a `data_selector`, the records are what dlt takes for them."""
    await peers.agree(Case(name, SINGLE, always(body), gives))


@pytest.mark.parametrize(("name", "selector", "body", "gives"), SELECTED, ids=[name for name, *_ in SELECTED])
async def test_the_records_are_selected(peers: Peers, name: str, selector: str, body: Any, gives: int) -> None:
    """`data_selector` is the JSONPath that it is to dlt; what it selects becomes records as there."""
    await peers.agree(Case(name, {**SINGLE, "data_selector": selector}, always(body), gives))


@pytest.mark.parametrize("case", STAYS, ids=by_name)
async def test_records_on_later_pages(peers: Peers, case: Case) -> None:
    """Where the records lie is settled by the first page, whatever the others look like."""
    await peers.agree(case)

"""URLs, parameters, bodies, placeholders, and what comes back instead of a page: as dlt 1.31 makes and takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.paged_api import (
    FIVE,
    ITEMS,
    Answer,
    Api,
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

ONE = always(rows(1, 2))
SINGLE = {"path": "items", "paginator": "single_page"}
BY_PAGE = {"path": "items", "paginator": {"type": "page_number", "total_path": "pages"}}
PAGES = paged(FIVE, numbered("page"), {**ITEMS, "pages": 3})
NOW_AND_THEN: tuple[Api, Api] = (always([{"id": 1, "at": 7}]), always([{"id": 2, "at": 8}]))

URLS = [
    Case("base and path", {**SINGLE, "base_url": "/v1", "path": "items"}, ONE, 2),
    Case("a base that ends with a slash", {**SINGLE, "base_url": "/v1/", "path": "items"}, ONE, 2),
    Case("a path that begins with one", {**SINGLE, "base_url": "/v1", "path": "/items"}, ONE, 2),
    Case("both", {**SINGLE, "base_url": "/v1/", "path": "/items"}, ONE, 2),
    Case("a path that ends with one", {**SINGLE, "base_url": "/v1", "path": "items/"}, ONE, 2),
    Case("an empty path", {**SINGLE, "base_url": "/v1/items", "path": ""}, ONE, 2),
    Case("an empty path, and a base that ends with a slash", {**SINGLE, "base_url": "/v1/items/", "path": ""}, ONE, 2),
    Case("a base without a path", {**SINGLE, "base_url": "", "path": "items"}, ONE, 2),
    Case("a base with a query", {**SINGLE, "base_url": "/v1?key=a", "path": ""}, ONE, 2),
    Case("a path with a query", {**SINGLE, "path": "items?kind=a&kind=b"}, ONE, 2),
    Case("a path with a query, and params", {**SINGLE, "path": "items?kind=a", "params": {"size": 2}}, ONE, 2),
    Case("a path with escapes", {**SINGLE, "path": "items/a%2Fb%20c"}, ONE, 2),
    Case("a path with what should be escaped", {**SINGLE, "path": "items/a b\u00e4"}, ONE, 2),
    Case("a path with dots", {**SINGLE, "path": "items/v1.0/~me"}, ONE, 2),
    Case("a path with a colon", {**SINGLE, "path": "items:search"}, ONE, 2),
]  # fmt: skip

PARAMETERS: list[tuple[str, Any]] = [
    ("texts", {"q": "a b&c=d+e%20", "\u00e4": "\u00fc", "empty": ""}),
    ("numbers", {"n": 5, "f": 0.5, "big": 2**60, "minus": -1}),
    ("null: not sent", {"a": None, "b": 1}),
    ("many", {"tag": ["a", "b"], "n": [1, 2]}),
    ("an empty list", {"tag": [], "b": 1}),
    ("doubled braces", {"filter": '{{"a": 1}}'}),
]  # fmt: skip

BODIES = [
    Case("a body", {**SINGLE, "method": "POST", "json": {"a": [1, 2.5, True, None, "\u00e4"], "b": {"c": {}}}}, ONE, 2),
    Case("an empty body", {**SINGLE, "method": "POST", "json": {}}, ONE, 2),
    Case("no body", {**SINGLE, "method": "POST"}, ONE, 2),
    Case("a body with GET", {**SINGLE, "json": {"a": 1}}, ONE, 2),
    Case("doubled braces", {**SINGLE, "method": "POST", "json": {"q": "{{ me {{ id }} }}"}}, ONE, 2),
]  # fmt: skip

FROM_5 = {"cursor_path": "at", "initial_value": 5}
START, LAST = "{incremental.start_value}", "{incremental.last_value}"
INITIAL, END = "{incremental.initial_value}", "{incremental.end_value}"


def since(request: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An endpoint with placeholders in its request, which begins with 5."""
    return {**SINGLE, **request, "incremental": {**FROM_5, **more}}


PLACEHOLDERS = [
    Case("in params", since({"params": {"q": f"at>={START}", "s": START}}), NOW_AND_THEN, 2),
    Case("each of them", since({"params": {"s": START, "l": LAST, "i": INITIAL, "e": END}}, end_value=9),
         NOW_AND_THEN, 2),
    Case("the initial value stays", since({"params": {"q": INITIAL, "l": LAST}}), NOW_AND_THEN, 2),
    Case("in the path", since({"path": f"items/since/{START}/all"}), NOW_AND_THEN, 2),
    Case("in the body, as a number where it stands alone",
         since({"method": "POST", "json": {"a": START, "b": [f"x{START}"], "c": {"d": START}}}), NOW_AND_THEN, 2),
    Case("beside start_param", since({"params": {"q": START}}, start_param="from"), NOW_AND_THEN, 2),
    Case("less the lag", since({"params": {"q": START, "l": LAST}}, initial_value=1, lag=2), NOW_AND_THEN, 2),
    Case("twice in one text", since({"params": {"q": f"{START}..{END}"}}, end_value=9), NOW_AND_THEN, 2),
    Case("on every page", since({**BY_PAGE, "params": {"q": START}}, cursor_path="id", initial_value=0),
         (PAGES, PAGES), 5),
    Case("the newest of a page is not the start of the next",
         since({**BY_PAGE, "params": {"q": LAST}}, cursor_path="id", initial_value=0), PAGES, 5),
    Case("beside doubled braces", since({"params": {"q": f'{{{{"at": {START}}}}}'}}), NOW_AND_THEN, 2),
    Case("in a name", since({"params": {f"at[{START}]": "x"}}), NOW_AND_THEN, 2),
    Case("null in the body, where there is no value yet",
         since({"method": "POST", "json": {"a": START}}, initial_value=None), NOW_AND_THEN, 2),
    Case("at the end of the path: one record", {"path": f"items/{START}", "incremental": FROM_5},
         always({"id": 1, "at": 7, "tags": [1, 2], "next": "/x"}), 1),
    Case("at the end of the path, with a paginator", since({**BY_PAGE, "path": f"items/{START}"}),
         always({"id": 1, "at": 7, "tags": [1, 2], "pages": 1}), 1),
    Case("at the end of the path, with a selector",
         {"path": f"items/{START}", "data_selector": "items", "incremental": FROM_5},
         always({"items": [{"id": 1, "at": 7}, {"id": 1, "at": 8}], "next": "/x"}), 2),
    Case("a single brace", {**SINGLE, "params": {"q": "{"}}, ONE, 0),
    Case("a name that there is not", {**SINGLE, "params": {"q": "{nothing}"}}, ONE, 0),
    Case("none without incremental", {**SINGLE, "params": {"q": START}}, ONE, 0),
]  # fmt: skip

SPENT = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
BUSY = Answer({"error": "slow down"}, 429, {"Retry-After": "1"})
TRIED_AGAIN = [
    Case("429 on the first page", BY_PAGE, but(PAGES, {1: BUSY}), 5),
    Case("429 in the middle", BY_PAGE, but(PAGES, {2: BUSY}), 5),
    Case("429 again and again", BY_PAGE, but(PAGES, {2: BUSY, 3: BUSY, 5: BUSY}), 5),
    Case("429 in the middle of links", {"path": "items", "paginator": "json_link", "params": {"size": 2}},
         but(paged(FIVE, numbered("n"), {**ITEMS, "next": after("/api/items?n={}")}), {2: BUSY, 4: BUSY}), 5),
    Case("429 in the middle of cursors", {"path": "items", "paginator": {"type": "cursor", "cursor_path": "next"}},
         but(paged(FIVE, token("cursor"), {**ITEMS, "next": after("c{}")}), {2: BUSY, 4: BUSY}), 5),
    Case("429 in the middle of what is found out", {"path": "items"},
         but(paged(FIVE, token("cursor"), {"cars": here, "next": after("c{}")}), {1: BUSY, 3: BUSY}), 5),
    Case("429 in the middle of an incremental run",
         {**BY_PAGE, "incremental": {"cursor_path": "id", "initial_value": 0, "start_param": "since"}},
         but(PAGES, {2: BUSY}), 5),
    Case("429 in the middle of a body", {**BY_PAGE, "method": "POST", "json": {"a": 1}}, but(PAGES, {2: BUSY}), 5),
    Case("429 without a word on when", BY_PAGE, but(PAGES, {2: Answer(None, 429)}), 5),
    Case("429 until a date that is past", BY_PAGE,
         but(PAGES, {2: Answer(None, 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})}), 5),
    Case("429 with an offer that is none", BY_PAGE, but(PAGES, {2: Answer(None, 429, {"Retry-After": "soon"})}), 5),
    Case("503 in the middle", BY_PAGE, but(PAGES, {2: Answer(b"<html>", 503)}), 5),
    Case("500 in the middle", BY_PAGE, but(PAGES, {2: Answer(None, 500)}), 5),
    Case("the limit is spent after each page", BY_PAGE,
         paged(FIVE, numbered("page"), {**ITEMS, "pages": 3}, SPENT), 5),
    Case("500 for ever", BY_PAGE, always(None, 500), 0),
    Case("429 for ever", BY_PAGE, always(None, 429), 0),
]  # fmt: skip

GIVEN_UP = [
    Case("404", BY_PAGE, always(None, 404), 0),
    Case("404 in the middle", BY_PAGE, but(PAGES, {2: Answer({"error": "gone"}, 404)}), 2),
    Case("401 in the middle", BY_PAGE, but(PAGES, {2: Answer({"error": "who?"}, 401)}), 2),
    Case("no JSON", BY_PAGE, always(b"<html></html>", Content_Type="text/html"), 0),
    Case("no JSON in the middle", BY_PAGE, but(PAGES, {2: Answer(b"{")}), 2),
    Case("nothing at all", SINGLE, always(b""), 0),
]  # fmt: skip

READ = [
    Case("a redirect", SINGLE, but(ONE, {1: Answer(None, 302, {"Location": "/api/other?x=1"})}), 2),
    Case("a redirect of a POST", {**SINGLE, "method": "POST", "json": {"a": 1}},
         but(ONE, {1: Answer(None, 302, {"Location": "/api/other?x=1"})}), 2),
    Case("a redirect that keeps the body", {**SINGLE, "method": "POST", "json": {"a": 1}},
         but(ONE, {1: Answer(None, 307, {"Location": "/api/other?x=1"})}), 2),
    Case("JSON under another name", SINGLE, always(b'[{"id": 1}]', Content_Type="text/plain"), 1),
    Case("a byte order mark", SINGLE, always(b'\xef\xbb\xbf[{"id": 1}]'), 1),
    Case("another charset", SINGLE,
         always('["\u00e4"]'.encode("latin-1"), Content_Type="application/json; charset=iso-8859-1"), 1),
    Case("a name twice: the last counts", SINGLE, always(b'[{"id": 1, "id": 2}]'), 1),
    Case("NaN", SINGLE, always(b"[NaN]"), 0),
]  # fmt: skip


def ignoring(**condition: Any) -> dict[str, Any]:
    """Pages, of which responses that fulfil the condition are ignored."""
    return {**BY_PAGE, "response_actions": [{**condition, "action": "ignore"}]}


EITHER = [{"status_code": 410, "action": "ignore"}, {"status_code": 404, "action": "ignore"}]
ACTIONS = [
    Case("by status", ignoring(status_code=404), always({"items": rows(1, 2)}, 404), 0),
    Case("by status in the middle: the end", ignoring(status_code=404), but(PAGES, {2: Answer(None, 404)}), 2),
    Case("another status", ignoring(status_code=404), but(PAGES, {2: Answer(None, 403)}), 2),
    Case("by content", ignoring(content="no more"), but(PAGES, {3: Answer({"message": "no more items"})}), 4),
    Case("by content, though it has records", ignoring(content='"id": 4'), PAGES, 2),
    Case("by status and content: one fits", ignoring(status_code=404, content="over"),
         but(PAGES, {2: Answer({"message": "away"}, 404)}), 2),
    Case("by status and content: both fit", ignoring(status_code=404, content="over"),
         but(PAGES, {2: Answer({"message": "over"}, 404)}), 2),
    Case("the first that fits", {**BY_PAGE, "response_actions": EITHER}, but(PAGES, {3: Answer(None, 404)}), 4),
    Case("and the run after it begins anew", ignoring(status_code=404), (but(PAGES, {2: Answer(None, 404)}), PAGES), 7),
    Case("a 200 can be ignored", ignoring(status_code=200), ONE, 0),
]  # fmt: skip


@pytest.mark.parametrize("case", URLS, ids=by_name)
async def test_urls(peers: Peers, case: Case) -> None:
    """The URL is put together as dlt does it."""
    await peers.agree(case)


@pytest.mark.parametrize(("name", "params"), PARAMETERS, ids=[name for name, _ in PARAMETERS])
async def test_parameters(peers: Peers, name: str, params: dict[str, Any]) -> None:
    """Parameters are spelled in the query as dlt spells them."""
    await peers.agree(Case(name, {**SINGLE, "params": params}, ONE, 2))


@pytest.mark.parametrize("case", BODIES, ids=by_name)
async def test_bodies(peers: Peers, case: Case) -> None:
    """`json` is sent as it is, with the type that says so."""
    await peers.agree(case)
    [theirs], [ours] = await peers.dlt(case), await peers.ours(case)
    assert ours.headers[0].get("content-type") == theirs.headers[0].get("content-type")


async def test_headers(peers: Peers) -> None:
    """`headers` are sent with every request, and placeholders in them are filled in."""
    headers = {"X-Version": "2", "X-Since": "from {incremental.start_value}", "Accept": "application/json"}
    case = Case("", {**BY_PAGE, "headers": headers, "incremental": {"cursor_path": "id", "initial_value": 0}}, PAGES, 5)
    await peers.agree(case)
    [theirs], [ours] = await peers.dlt(case), await peers.ours(case)
    for found, expected in zip(ours.headers, theirs.headers, strict=True):
        assert {name: found[name.lower()] for name in headers} == {name: expected[name.lower()] for name in headers}
        assert found["x-since"] == "from 0"


@pytest.mark.parametrize("case", PLACEHOLDERS, ids=by_name)
async def test_placeholders(peers: Peers, case: Case) -> None:
    """The placeholders that we know mean what they mean to dlt."""
    await peers.agree(case)


@pytest.mark.parametrize("case", TRIED_AGAIN, ids=by_name)
async def test_what_is_tried_again(peers: Peers, case: Case) -> None:
    """Where dlt waits and asks again, we end the pull and go on from the last page; the requests are the same."""
    await peers.agree(case)


@pytest.mark.parametrize("case", GIVEN_UP, ids=by_name)
async def test_what_is_given_up(peers: Peers, case: Case) -> None:
    """What dlt does not try again ends our pull too; what came before it is kept."""
    await peers.agree(case)


@pytest.mark.parametrize("case", READ, ids=by_name)
async def test_what_is_read(peers: Peers, case: Case) -> None:
    """Redirects are followed as dlt follows them, and what is JSON to dlt is JSON to us."""
    await peers.agree(case)


@pytest.mark.parametrize("case", ACTIONS, ids=by_name)
async def test_response_actions(peers: Peers, case: Case) -> None:
    """A response that `response_actions` ignores ends the pages without an error."""
    await peers.agree(case)

"""`incremental`: our `rest` connector asks for what dlt 1.31 asks for, run after run, and gives what dlt gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import JsonValue

from tests.paged_api import Answer, Api, Asked, Case, by_name

if TYPE_CHECKING:
    from tests.dlt_peer import Peers

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]

PAGES = {"path": "changes", "paginator": {"type": "page_number", "total_path": "pages"}}


def since(initial: JsonValue = None, **more: JsonValue) -> dict[str, Any]:
    """An endpoint whose records carry `at`, pulled from `since` on."""
    given = {"initial_value": initial} if initial is not None else {}
    return {**PAGES, "incremental": {"cursor_path": "at", "start_param": "since", **given, **more}}


def feed(*items: dict[str, Any], ask: bool = True) -> Api:
    """Two items a page; with `ask`, the API leaves out what lies before `since` or not before `until`, as text."""

    def answer(asked: Asked) -> Answer:
        low, high = asked.params.get("since") or "", asked.params.get("until") or "\uffff"
        chosen = [item for item in items if not ask or low <= str(item["at"]) < high]
        page = int(asked.params.get("page", 0))
        return Answer({"items": chosen[2 * page : 2 * page + 2], "pages": (len(chosen) + 1) // 2})

    return answer


def at(*times: JsonValue, **more: JsonValue) -> list[dict[str, Any]]:
    """Records by their times; each has its time as id, unless it is given one."""
    return [{"id": f"i{time}", "at": time, **more} for time in times]


def hour(number: int, day: int = 1) -> str:
    return f"2026-03-{day:02d}T{number:02d}:00:00Z"


FIRST = [
    Case("no initial value: no parameter", since(), feed(*at(1, 2, 3)), 3),
    Case("an initial value", since(2), feed(*at(1, 2, 3, 4)), 3),
    Case("an initial value that the API does not heed", since(2), feed(*at(1, 2, 3, 4), ask=False), 3),
    Case("an initial value of 0", since(0), feed(*at(0, 1)), 2),
    Case("a float", since(1.5), feed(*at(1.5, 2.5, 1.25), ask=False), 2),
    Case("whole numbers and floats", since(2), feed(*at(1.5, 2, 2.0, 3, 2.5), ask=False), 4),
    Case("times as text", since(hour(2)), feed(*at(hour(1), hour(2), hour(3))), 2),
    Case("dates as text", since("2026-03-02"), feed(*at("2026-03-01", "2026-03-02", "2026-03-03")), 2),
    Case("no start parameter: what is too old is dropped",
         {**PAGES, "incremental": {"cursor_path": "at", "initial_value": 2}},
         feed(*at(1, 2, 3)), 2),
    Case("deep in the record",
         {**PAGES, "incremental": {"cursor_path": "meta.at", "start_param": "since", "initial_value": 2}},
         feed(*[{"id": n, "meta": {"at": n}} for n in (1, 2, 3)], ask=False), 2),
    Case("a JSONPath",
         {**PAGES, "incremental": {"cursor_path": "$.dates[*]", "start_param": "since", "initial_value": 2}},
         feed(*[{"id": n, "dates": [n, 0]} for n in (1, 2, 3)], ask=False), 2),
    Case("a name with a hyphen",
         {**PAGES, "incremental": {"cursor_path": "'last-seen'", "start_param": "since", "initial_value": 2}},
         feed(*[{"id": n, "last-seen": n} for n in (1, 2, 3)], ask=False), 2),
    Case("an end", since(2, end_value=4, end_param="until"), feed(*at(1, 2, 3, 4, 5)), 2),
    Case("an end that the API does not heed", since(2, end_value=4, end_param="until"),
         feed(*at(1, 2, 3, 4, 5), ask=False), 2),
    Case("an end without a parameter", since(2, end_value=4), feed(*at(1, 2, 3, 4, 5)), 2),
    Case("an end without a beginning", since(end_value=4, end_param="until"), feed(*at(1, 2)), 0),
    Case("an end before the beginning", since(5, end_value=4, end_param="until"), feed(*at(1, 2)), 0),
    Case("an end of another type", since(5, end_value="soon", end_param="until"), feed(*at(1, 2)), 0),
    Case("ascending: no further than the end", since(1, end_value=3, row_order="asc"),
         feed(*at(1, 2, 3, 4, 5, 6), ask=False), 2),
    Case("ascending, without an end", since(3, row_order="asc"), feed(*at(1, 2, 3, 4, 5, 6), ask=False), 4),
    Case("ascending, the end in the middle of a page", since(1, end_value=4, row_order="asc"),
         feed(*at(1, 2, 3, 4, 5, 6), ask=False), 3),
    Case("ascending, the page with the end is read whole", since(1, end_value=3, row_order="asc"),
         feed(*at(1, 2, 3, 2, 1, 1), ask=False), 3),
    Case("descending: no further than the beginning", since(4, row_order="desc"),
         feed(*at(6, 5, 4, 3, 2, 1), ask=False), 3),
    Case("descending, the page with the beginning is read whole", since(4, row_order="desc"),
         feed(*at(6, 5, 3, 4, 9, 9), ask=False), 3),
    Case("descending, the beginning is the last of its page", since(3, row_order="desc"),
         feed(*at(6, 5, 4, 3, 2, 1), ask=False), 4),
    Case("descending, with an end", since(2, end_value=5, row_order="desc"),
         feed(*at(6, 5, 4, 3, 2, 1, 0), ask=False), 3),
    Case("a page of nothing but old ones does not end it", since(3), feed(*at(1, 2, 3, 4), ask=False), 2),
    Case("a param of its name gives way", {**since(2), "params": {"since": "x", "until": 9}}, feed(*at(1, 2, 3)), 2),
]  # fmt: skip

NEXT = [
    Case("from the newest", since(), (feed(*at(1, 2, 3)), feed(*at(1, 2, 3, 4, 5))), 5),
    Case("from the newest of a run without order", since(),
         (feed(*at(3, 1, 2)), feed(*at(3, 1, 2, 5, 4), ask=False)), 5),
    Case("three runs", since(1), (feed(*at(0, 1)), feed(*at(0, 1, 2)), feed(*at(0, 1, 2, 3))), 3),
    Case("nothing new", since(), (feed(*at(1, 2, 3)), feed(*at(1, 2, 3)), feed(*at(1, 2, 3, 4))), 4),
    Case("nothing at all", since(), (feed(), feed(), feed(*at(1))), 1),
    Case("nothing at all, with an initial value", since(5), (feed(), feed(*at(1)), feed(*at(7)), feed(*at(7, 8))), 2),
    Case("another of the same time", since(), (feed(*at(1, 2)), feed(*at(1, 2), {"id": "new", "at": 2})), 3),
    Case("a changed one of the same time", since(), (feed(*at(1, 2)), feed(*at(1), *at(2, name="new"))), 3),
    Case("one that changed and is newer", {**since(), "primary_key": "id"},
         (feed(*at(1, 2)), feed(*at(2), {"id": "i1", "at": 3})), 3),
    Case("one that comes too late is dropped", since(), (feed(*at(1, 3)), feed(*at(1, 2, 3), ask=False)), 2),
    Case("times as text", since(hour(1)), (feed(*at(hour(1), hour(2))), feed(*at(hour(1), hour(2), hour(3)))), 3),
    Case("with an end: every run is the same", {**since(2, end_value=4, end_param="until"), "primary_key": "id"},
         (feed(*at(1, 2, 3, 4)), feed(*at(1, 2, 3, 4))), 4),
    Case("descending", {**since(1, row_order="desc"), "primary_key": "id"},
         (feed(*at(3, 2, 1), ask=False), feed(*at(7, 6, 5, 4, 3, 2, 1), ask=False)), 7),
    Case("no start parameter", {**PAGES, "incremental": {"cursor_path": "at"}},
         (feed(*at(1, 2)), feed(*at(1, 2, 3, 4))), 4),
    Case("a lag in numbers", since(lag=2), (feed(*at(1, 2, 5)), feed(*at(2, 3, 4, 5, 6), ask=False)), 7),
    Case("a lag in numbers that the API heeds", since(lag=2), (feed(*at(1, 2, 5)), feed(*at(2, 3, 4, 5, 6))), 7),
    Case("a lag with a fraction, of whole numbers", since(lag=1.5), (feed(*at(1, 5)), feed(*at(2, 3, 4, 5))), 5),
    Case("a lag of floats", since(lag=1), (feed(*at(1.5, 5.5)), feed(*at(4.0, 4.5, 5.5))), 4),
    Case("a lag not beyond the initial value", since(4, lag=9), (feed(*at(4, 5)), feed(*at(3, 4, 5, 6))), 5),
    Case("a lag in seconds", since(lag=3600),
         (feed(*at(hour(1), hour(5))), feed(*at(hour(3), hour(4), hour(5), hour(6)))), 5),
    Case("a lag in seconds, with an offset", since(lag=7200),
         (feed(*at("2026-03-02T01:00:00+02:00")),
          feed(*at("2026-03-01T23:00:00+02:00", "2026-03-02T01:00:00+02:00"))), 3),
    Case("a lag in days", since(lag=2),
         (feed(*at("2026-03-01", "2026-03-05")), feed(*at("2026-03-02", "2026-03-03", "2026-03-05"))), 4),
    Case("a lag of days by the initial value", since("2026-03-01", lag=1),
         (feed(*at(hour(5, 3))), feed(*at(hour(23, 1), hour(1, 2), hour(5, 3)))), 3),
    Case("nothing but old ones: the newest stays", since(),
         (feed(*at(1, 5)), feed(*at(4), ask=False), feed(*at(5, 6))), 3),
    Case("a lag, and nothing new: the newest stays", since(lag=2),
         (feed(*at(1, 5)), feed(*at(4)), feed(*at(3, 4, 5))), 6),
    Case("a lag of a text that is no time", since(lag=2), (feed(*at("a", "b")), feed(*at("b"))), 2),
    Case("a lag of 0", since(lag=0), (feed(*at(1, 2)), feed(*at(1, 2, 3))), 3),
    Case("a lag with an end is none", since(1, end_value=9, lag=2), (feed(*at(1, 5)), feed(*at(1, 5))), 4),
    Case("a lag, descending", {**since(1, row_order="desc", lag=1), "primary_key": "id"},
         (feed(*at(3, 2, 1), ask=False), feed(*at(5, 4, 3, 2, 1, 0), ask=False)), 7),
]  # fmt: skip


@pytest.mark.parametrize("case", FIRST, ids=by_name)
async def test_the_first_run(peers: Peers, case: Case) -> None:
    """What lies outside the range is neither asked for nor given, as in dlt."""
    await peers.agree(case)


@pytest.mark.parametrize("case", NEXT, ids=by_name)
async def test_the_runs_after_it(peers: Peers, case: Case) -> None:
    """A run goes on where dlt goes on, the newest value included, less the lag."""
    await peers.agree(case)

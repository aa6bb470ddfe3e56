"""`incremental` where our `rest` connector differs from dlt 1.31 on purpose: what each of them does, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import JsonValue

from tests.paged_api import Api, Case, here, numbered, paged, rows

if TYPE_CHECKING:
    from tests.dlt_peer import Peers, Run

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]


def pages(*rows: JsonValue) -> Api:
    return paged(rows, numbered("page"), {"items": here, "pages": len(rows)})


def at(*values: JsonValue) -> list[Any]:
    return [{"id": number, "at": value} for number, value in enumerate(values)]


async def both(peers: Peers, *runs: Api, **incremental: JsonValue) -> tuple[list[Run], list[Run]]:
    """What dlt gives, and what we give, run by run."""
    config: dict[str, Any] = {
        "path": "items",
        "paginator": {"type": "page_number", "total_path": "pages"},
        "incremental": {"cursor_path": "at", "start_param": "since", **incremental},
    }
    case = Case("", config, runs, 0)
    return await peers.dlt(case), await peers.ours(case)


WITHOUT: dict[str, list[Any]] = {
    "missing": [{"id": 1}, {"id": 2, "at": 3}],
    "null": [{"id": 1, "at": None}, {"id": 2, "at": 3}],
    "missing in all": [{"id": 1}, {"id": 2}],
    "records that are no objects": [1, "a", None, [1], {"id": 2, "at": 3}],
    "a number among texts": at("b", 3, "c"),
    "a text among numbers": at(1, "x", 3),
}


@pytest.mark.parametrize("records", WITHOUT.values(), ids=WITHOUT)
async def test_a_record_without_a_value_is_kept(peers: Peers, records: list[JsonValue]) -> None:
    """dlt raises, and one odd record holds up all that follow; we keep it, and it does not move where we go on."""
    [theirs], [ours] = await both(peers, pages(records))
    assert theirs.error is not None
    assert ours.error is None
    assert ours.records == records


async def test_digits_are_numbers(peers: Peers) -> None:
    """dlt compares "10" with "9" as texts, and never sees 10; we compare digits as numbers."""
    theirs, ours = await both(peers, pages(at("9")), pages(at("9", "10")))
    assert theirs[1].records == []
    assert ours[1].records == at("9", "10")


async def test_digits_and_numbers_compare(peers: Peers) -> None:
    """dlt cannot compare 3 with an initial value of "2"; we can, since a form in a browser gives texts."""
    [theirs], [ours] = await both(peers, pages(at(1, 2, 3)), initial_value="2")
    assert theirs.error is not None
    assert ours.records == at(1, 2, 3)[1:]


async def test_times_are_instants(peers: Peers) -> None:
    """dlt compares times as texts, and drops what has another offset; we compare instants."""
    later = "2026-03-01T11:30:00Z"
    [theirs], [ours] = await both(peers, pages(at(later)), initial_value="2026-03-01T12:00:00+02:00")
    assert theirs.records == []
    assert ours.records == at(later)


async def test_a_lag_keeps_the_form(peers: Peers) -> None:
    """dlt asks with microseconds where the source has milliseconds; we ask in the source's own form."""
    run = pages(at("2026-03-01T05:00:00.500Z"))
    theirs, ours = await both(peers, run, run, lag=60)
    assert theirs[1].params("since") == ["2026-03-01T04:59:00.500000Z"]
    assert ours[1].params("since") == ["2026-03-01T04:59:00.500Z"]


async def test_descending_past_a_known_one(peers: Peers) -> None:
    """dlt stops at the page that has a record it knows, and loses a new one of the same time on the next page.

    We stop below that time only: what comes twice is stored once, what never comes is lost.
    """
    first = pages([{"id": 2, "at": 2}, {"id": 1, "at": 1}])
    second = pages([{"id": 4, "at": 3}, {"id": 2, "at": 2}], [{"id": 3, "at": 2}, {"id": 1, "at": 1}], rows(8, 9, at=0))
    theirs, ours = await both(peers, first, second, row_order="desc")
    assert [record["id"] for record in theirs[1].records] == [4]
    assert [record["id"] for record in ours[1].records] == [4, 2, 3]
    assert len(ours[1].seen) == 2


async def test_a_primary_key_that_is_missing(peers: Peers) -> None:
    """dlt raises where a newest record has no primary key; to us its content is its key."""
    config = {"path": "items", "paginator": "single_page", "primary_key": "key", "incremental": {"cursor_path": "at"}}
    case = Case("", config, pages(at(1, 2)), 0)
    [theirs], [ours] = await peers.dlt(case), await peers.ours(case)
    assert theirs.error is not None
    assert ours.records == at(1, 2)

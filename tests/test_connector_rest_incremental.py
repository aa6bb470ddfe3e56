"""The `rest` connector pulls only what is new, and never less than that."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from include.connectors._rest_incremental import Incremental, Sieve
from include.egress import Egress
from include.errors import ConfigError, PermanentError
from tests.fake_http import serving
from tests.rest_source import Puller, answering, egress, keys, sequence

__all__ = ["egress"]


def at(*values: Any) -> list[dict[str, Any]]:
    return [{"id": str(number), "at": value} for number, value in enumerate(values)]


def sift(rows: list[Any], last: Any = None, **config: Any) -> tuple[list[Any], Any, bool]:
    """One page, through a pull that begins where one does after `last`: the values kept, the greatest, the end."""
    incremental = Incremental(cursor_path="at", **config)
    kept, greatest, past = Sieve(incremental, incremental.start(last)).sift(rows, None)
    return [row["at"] for row in kept], greatest, past


async def test_the_next_pull_begins_with_the_greatest_value(egress: Egress) -> None:
    """It asks for what is not below that, and the first one for what is not below the initial value."""
    pages = [at("2026-01-05", "2026-01-03"), at("2026-01-04"), at("2026-01-05", "2026-01-06"), []]
    async with serving(sequence(*({"items": page, "total": 2} for page in pages))) as server:
        puller = Puller(
            egress, server, primary_key="id", paginator="page_number", path="x",
            incremental={"cursor_path": "at", "initial_value": "2026-01-01", "start_param": "since"},
        )  # fmt: skip
        await puller.pull()
        assert puller.cursor == {"last": {"at": "2026-01-05"}}
        await puller.pull(puller.cursor, most=1)
        await puller.pull({"last": {"at": "2026-01-06"}})
        assert puller.cursor == {"last": {"at": "2026-01-06"}}
        assert [dict(pair.split("=") for pair in r.query.split("&"))["since"] for r in server.received] == [
            "2026-01-01", "2026-01-01", "2026-01-05", "2026-01-06",
        ]  # fmt: skip


@pytest.mark.parametrize("name", ["offset", "cursor", "json_link"])
@pytest.mark.parametrize("row_order", [None, "asc", "desc"])
async def test_an_interrupted_pull_keeps_its_beginning(egress: Egress, name: str, row_order: str | None) -> None:
    """The greatest value counts only once all is read: stopped after any page, nothing between is passed over."""
    values = sorted(range(100, 130), reverse=row_order == "desc")
    if row_order is None:
        values = values[20:] + values[:20]

    def answer(request: web.Request, _body: Any) -> Any:
        place = int(request.query.get("offset", request.query.get("cursor", request.query.get("at", "0"))))
        assert "at" in request.query or request.query["since"] == "110", "not from where the pull began"
        end = place + 10 if place + 10 < len(values) else None
        link = None if end is None else f"?at={end}"
        found = [{"id": value, "at": value} for value in values[place : place + 10]]
        return {"items": found, "total": 30, "cursors": {"next": end and str(end)}, "next": link}

    paginator = {"type": "offset", "limit": 10} if name == "offset" else name
    incremental = {"cursor_path": "at", "start_param": "since", "row_order": row_order}
    async with serving(answering(answer)) as server:
        puller = Puller(egress, server, primary_key="id", paginator=paginator, incremental=incremental)
        whole = keys(await puller.pull({"last": {"at": 110}}))
        assert sorted(whole) == [str(number) for number in range(110, 130)]
        assert puller.cursor == {"last": {"at": 129}}
        stopped = keys(await puller.pull({"last": {"at": 110}}, most=1))
        while "paging" in (puller.cursor or ()):  # type: ignore[operator]
            stopped += keys(await puller.pull(puller.cursor, most=1))
        assert stopped == whole
        assert puller.cursor == {"last": {"at": 129}}


@pytest.mark.parametrize(
    ("row_order", "config", "requests"),
    [
        ("desc", {}, 2),
        ("asc", {}, 3),
        (None, {}, 3),
        ("asc", {"initial_value": 0, "end_value": 15}, 2),
        ("desc", {"initial_value": 0, "end_value": 15}, 3),
    ],
)
async def test_a_pull_stops_early_in_a_known_order(egress: Egress, row_order: Any, config: Any, requests: int) -> None:
    """In descending order with the first record below the beginning, in ascending order at the end value."""
    values = list(range(29, -1, -1)) if row_order == "desc" else list(range(30))
    incremental = {"cursor_path": "at", "row_order": row_order, **config}
    handler = answering(lambda request, _body: at(*values[int(request.query["offset"]) :][:10]))
    async with serving(handler) as server:
        paginator = {"type": "offset", "limit": 10, "total_path": None, "maximum_offset": 30}
        puller = Puller(egress, server, paginator=paginator, incremental=incremental)
        await puller.pull({"last": {"at": 15}})
        assert len(server.received) == requests
        found = {record.payload["at"] for page in puller.pages for record in page.records}  # type: ignore[index, call-overload]
        assert found == (set(range(15)) if config else set(range(15, 30)))


async def test_a_bounded_pull_has_no_memory(egress: Egress) -> None:
    """With an end value every pull gives the same, and what the pulls without one have reached stays."""
    async with serving(sequence(at(1, 2, 3, 4))) as server:
        incremental = {"cursor_path": "at", "initial_value": 2, "end_value": 4, "lag": 1}
        puller = Puller(egress, server, primary_key="id", incremental=incremental)
        for cursor in (None, {"last": {"at": 3}}):
            assert keys(await puller.pull(cursor)) == ["1", "2"]
            assert puller.cursor == cursor


async def test_the_greatest_value_stays(egress: Egress) -> None:
    """A pull that finds only old records, as one with a lag may, does not take the next one back."""
    async with serving(sequence(at(3), [])) as server:
        puller = Puller(egress, server, incremental={"cursor_path": "at", "lag": 2})
        for _ in range(2):
            await puller.pull({"last": {"at": 5}})
            assert puller.cursor == {"last": {"at": 5}}


async def test_another_field_begins_anew(egress: Egress) -> None:
    """What one field had reached says nothing of another."""
    async with serving(sequence([{"id": 3, "at": 9}])) as server:
        await (puller := Puller(egress, server, incremental={"cursor_path": "at"})).pull()
        await (other := Puller(egress, server, incremental={"cursor_path": "id"})).pull(puller.cursor)
        assert other.cursor == {"last": {"id": 3}}


@pytest.mark.parametrize(
    ("start", "values", "kept", "greatest"),
    [
        (5, [4, 5, 6, 5.5], [5, 6, 5.5], 6),
        ("5", ["4", "10", 6], ["10", 6], "10"),
        (5, [None, 4, 7], [None, 7], 7),
        (None, [3, 1], [3, 1], 3),
        (None, [], [], None),
        (None, [None], [None], None),
        (5, [6, "x", True, [9], {"a": 1}, float("inf")], [6, "x", True, [9], {"a": 1}, float("inf")], 6),
        ("b", ["a", "b", "c"], ["b", "c"], "c"),
        ("0a", ["12", "09", "1b"], ["12", "1b"], "1b"),
        ("2026-01-02", ["2026-01-01T23:59:59Z", "2026-01-02T00:00Z"], ["2026-01-02T00:00Z"], "2026-01-02T00:00Z"),
        ("2026-01-01T00:00:00Z", ["2025-12-31T23:30:00-01:00", "2026-01-01T00:30:00+01:00"],
         ["2025-12-31T23:30:00-01:00"], "2025-12-31T23:30:00-01:00"),
        ("2026-01-01T00:00:00Z", ["2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00"],
         ["2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00"], "2026-01-01T00:00:00.5Z"),
        ("2026-01-01T00:00:00Z", ["2026-01-01 00:00:01.123456789+0000", "never"],
         ["2026-01-01 00:00:01.123456789+0000", "never"], "2026-01-01 00:00:01.123456789+0000"),
        ("2026-01-01", ["2026-01-02", "2026-13-01"], ["2026-01-02", "2026-13-01"], "2026-01-02"),
    ],
)  # fmt: skip
def test_values_compare_as_what_they_are(start: Any, values: Any, kept: Any, greatest: Any) -> None:
    """Numbers as numbers, times as instants, texts as texts; what is none of that is kept and moves nothing."""
    assert sift(at(*values), start) == (kept, greatest, False)


@pytest.mark.parametrize(
    ("start", "values"),
    [(5, ["x", "y"]), ("2026-01-01", [1767225600]), ("b", [1, 2]), (5, [True, {}]), (None, [True])],
)
def test_values_that_never_compare(start: Any, values: Any) -> None:
    """If a whole page has nothing to compare, the configuration is wrong, and nobody would notice otherwise."""
    with pytest.raises(PermanentError, match="write an initial_value of the source's own form"):
        sift(at(*values), start)


def test_records_that_are_no_objects() -> None:
    """They have no value, so they are kept."""
    incremental = Incremental(cursor_path="at", initial_value=1)
    assert Sieve(incremental, 1).sift(["x", 5, None], None) == (["x", 5, None], None, False)


@pytest.mark.parametrize(
    ("initial", "last", "lag", "start"),
    [
        (None, 100, 10, 90),
        (None, 100, 0.5, 99),
        (None, 1.5, 0.25, 1.25),
        (None, "100", 10, "90"),
        (95, 100, 10, 95),
        (None, "2026-01-02T00:00:00Z", 3600, "2026-01-01T23:00:00Z"),
        (None, "2026-01-02T00:00:00.250Z", 0.5, "2026-01-01T23:59:59.750Z"),
        (None, "2026-01-02T00:00:00.123456789+02:00", 60, "2026-01-01T23:59:00.123456000+02:00"),
        (None, "2026-01-02 00:00", 60, "2026-01-01 23:59"),
        (None, "2026-01-02T00", 3600, "2026-01-01T23"),
        (None, "2026-01-02T00:00:00-0530", 60, "2026-01-01T23:59:00-0530"),
        (None, "2026-03-02", 2, "2026-02-28"),
        (None, "2026-03-02", 1.5, "2026-02-28"),
        ("2026-03-01", "2026-03-02", 2, "2026-03-01"),
        ("2026-01-01", "2026-03-02T15:30:00Z", 2, "2026-02-28T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "2026-03-02", 3600, "2026-03-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", 3600, "2026-01-01T00:00:00Z"),
        ("x", 100, 10, 90),
        (None, None, 10, None),
        (7, None, 10, 7),
    ],
)
def test_lag(initial: Any, last: Any, lag: float, start: Any) -> None:
    """A pull begins so much earlier, written as the source writes it, but never before the initial value."""
    assert Incremental(cursor_path="at", initial_value=initial, lag=lag).start(last) == start


@pytest.mark.parametrize(("last", "lag"), [("abc", 1), ("2026-01-01", 10**9), ("0001-01-01T00:00:00Z", 1)])
def test_a_lag_that_leads_nowhere(last: str, lag: float) -> None:
    """A text has no earlier one, and time has a beginning."""
    with pytest.raises(ConfigError, match="incremental: "):
        Incremental(cursor_path="at", lag=lag).start(last)


MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1))
ZONES = st.integers(-12 * 60, 12 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.builds(lambda moment, zone: moment.replace(tzinfo=zone), MOMENTS, ZONES), min_size=1), st.data())
def test_no_record_is_below_the_next_beginning_by_mistake(moments: list[datetime], data: st.DataObject) -> None:
    """However the instants are spelt, exactly those before the beginning are left out and the latest is remembered."""
    start = data.draw(st.sampled_from(moments))
    texts = [moment.isoformat() for moment in moments]
    kept, greatest, _ = sift(at(*texts), start.isoformat())
    assert kept == [moment.isoformat() for moment in moments if moment >= start]
    assert datetime.fromisoformat(greatest) == max(moments)

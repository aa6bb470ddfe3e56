"""When clocks change: cron checked by example and against a brute-force reading of the written rule."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.time_zones import zone_named
from tests.schedule_oracle import (
    BY_MINUTE,
    BY_SECOND,
    HOUR,
    MINUTE,
    SECOND,
    TICK,
    Expression,
    at,
    calm,
    expected,
    expressions,
    listed,
    plan,
    slow,
    walk,
)


@calm
@given(expression=expressions(seconds=False), place=st.sampled_from(BY_MINUTE))
def test_nothing_is_skipped_or_added_around_a_clock_change(expression: Expression, place: tuple[str, datetime]) -> None:
    """A cron fires at exactly the minutes that a walk over every minute of the window finds by the written rule."""
    zone, begin = place
    length = 18 * HOUR
    schedule = plan(cron=expression.text, timezone=zone)
    found = list(schedule.between(begin - TICK, begin + length - TICK))
    assert found == expected(expression, walk(zone, begin, length, MINUTE))


@slow
@given(expression=expressions(seconds=True), place=st.sampled_from(BY_SECOND), start=st.integers(0, 9000))
def test_nothing_is_skipped_or_added_second_by_second(
    expression: Expression, place: tuple[str, datetime], start: int
) -> None:
    """With a seconds field the walk goes over every second; the search may begin anywhere in the window."""
    zone, begin = place
    after, length = begin + start * SECOND, 3 * HOUR
    schedule = plan(cron=expression.text, timezone=zone)
    wanted = [found for found in expected(expression, walk(zone, begin, length, SECOND)) if found > after][:40]
    found = list(islice(schedule.between(after, begin + length - SECOND), 40))
    assert found == wanted


WALKS = [(*place, 18 * HOUR) for place in BY_MINUTE] + [(*place, 3 * HOUR) for place in BY_SECOND]


@pytest.mark.parametrize(("zone", "begin", "length"), WALKS)
def test_each_window_of_the_walk_holds_a_clock_change(zone: str, begin: datetime, length: timedelta) -> None:
    """The brute-force comparison looks where it is hard: the offset changes inside every window it walks."""
    first, last = (instant.astimezone(zone_named(zone)) for instant in (begin, begin + length))
    assert first.utcoffset() != last.utcoffset()


BERLIN_GAP = ("2026-03-29 00:00", "2026-03-29 02:00")  # 02:00 +01:00 becomes 03:00 +02:00 at 01:00 UTC
BERLIN_FOLD = ("2026-10-24 23:30", "2026-10-25 02:00")  # 03:00 +02:00 becomes 02:00 +01:00 at 01:00 UTC


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("30 2 * * *", ["03-29 01:00"]),
        ("0 3 * * *", ["03-29 01:00"]),
        ("10,20,50 2 * * *", ["03-29 01:00"]),
        ("30 2,3 * * *", ["03-29 01:00", "03-29 01:30"]),
        ("*/30 * * * *", ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"]),
        ("0 30 2 * * *", ["03-29 01:00"]),
    ],
)
def test_a_wall_time_that_does_not_exist_fires_when_the_gap_ends(cron: str, wanted: list[str]) -> None:
    """Nothing is lost when the clocks go forward, and what falls together is one occurrence."""
    assert listed(plan(cron=cron, timezone="Europe/Berlin"), *BERLIN_GAP) == wanted


@pytest.mark.parametrize(
    ("cron", "wanted"),
    [
        ("30 2 * * *", ["10-25 00:30"]),
        ("0 2,3 * * *", ["10-25 00:00", "10-25 02:00"]),
        ("30 * * * *", ["10-25 00:30", "10-25 01:30"]),
        ("30 */2 * * *", ["10-25 00:30", "10-25 01:30"]),
        ("@hourly", ["10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("*/30 2 * * *", ["10-25 00:00", "10-25 00:30"]),
        ("0 30 * * * *", ["10-25 00:30", "10-25 01:30"]),
    ],
)
def test_a_wall_time_that_comes_twice_fires_twice_only_where_the_hour_is_open(cron: str, wanted: list[str]) -> None:
    """When the clocks go back, an hour field that starts with `*` has no hole; any other fires once."""
    assert listed(plan(cron=cron, timezone="Europe/Berlin"), *BERLIN_FOLD) == wanted


@calm
@given(place=st.sampled_from(BY_MINUTE), start=st.integers(0, 18 * 60), data=st.data())
def test_a_search_may_begin_anywhere(place: tuple[str, datetime], start: int, data: st.DataObject) -> None:
    """Asked from inside a gap's edge, a first pass or a second pass, the next occurrence is still the nearest one."""
    zone, begin = place
    after, steps = begin + start * MINUTE, walk(zone, begin, 18 * HOUR, MINUTE)
    near = steps[min(start + data.draw(st.integers(0, 90)), len(steps) - 1)].wall
    hour_text = data.draw(st.sampled_from(["*", str(near.hour), f"{near.hour},{(near.hour + 2) % 24}"]))
    hours = frozenset(range(24)) if hour_text == "*" else frozenset(map(int, hour_text.split(",")))
    minutes, everything = frozenset({near.minute}), frozenset(range(7))
    expression = Expression(f"{near.minute} {hour_text} * * *", hour_text, frozenset({0}), minutes, hours, everything)
    wanted = [found for found in expected(expression, steps) if found > after]
    until = begin + 18 * HOUR - TICK
    assert list(plan(cron=expression.text, timezone=zone).between(after, until)) == wanted


def test_the_second_pass_of_a_fixed_hour_is_no_occurrence() -> None:
    """Asked in the middle of the repeated hour, an expression with a fixed hour waits for the next day."""
    schedule = plan(cron="30 2 * * *", timezone="Europe/Berlin")
    assert not schedule.is_occurrence(at("2026-10-25 01:30"))
    assert schedule.next_after(at("2026-10-25 01:00")) == at("2026-10-26 01:30")


def test_a_day_that_does_not_exist() -> None:
    """Samoa had no 30 December 2011: its daily run comes at the instant at which that day would have ended."""
    schedule = plan(cron="0 9 * * *", timezone="Pacific/Apia")
    moved = at("2011-12-30 10:00")
    assert list(schedule.between(at("2011-12-29 12:00"), at("2011-12-31 00:00"))) == [
        at("2011-12-29 19:00"),
        moved,
        at("2011-12-30 19:00"),
    ]
    assert schedule.oddity(moved) == "moved from 2011-12-30 09:00, which does not exist"


@pytest.mark.parametrize(
    ("cron", "instant", "wanted"),
    [
        ("30 2 * * *", "2026-03-29 01:00", "moved from 02:30, which does not exist"),
        ("15 30 2 * * *", "2026-03-29 01:00", "moved from 02:30:15, which does not exist"),
        ("*/30 * * * *", "2026-03-29 01:00", None),
        ("0 3 * * *", "2026-03-29 01:00", None),
        ("30 2 * * *", "2026-03-30 00:30", None),
        ("30 * * * *", "2026-10-25 00:30", "first of two"),
        ("30 * * * *", "2026-10-25 01:30", "second of two"),
        ("30 2 * * *", "2026-10-25 00:30", "first of two passes"),
        ("30 3 * * *", "2026-10-25 02:30", None),
    ],
)
def test_oddities_are_named(cron: str, instant: str, wanted: str | None) -> None:
    """A listing can say what a change of the clocks did to an occurrence, and says nothing about ordinary ones."""
    schedule = plan(cron=cron, timezone="Europe/Berlin")
    assert schedule.is_occurrence(at(instant))
    assert schedule.oddity(at(instant)) == wanted


def test_only_cron_has_oddities() -> None:
    """A fixed rate and a single instant do not look at the wall clock."""
    assert plan(every=HOUR, timezone="Europe/Berlin").oddity(at("2026-10-25 00:30")) is None

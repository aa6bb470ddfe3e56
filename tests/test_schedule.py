"""What the rules of `include/schedule.py` promise for every schedule: cron, every, once, by hand."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.schedule import Schedule
from tests.schedule_oracle import (
    ANCHOR,
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    TICK,
    UTC,
    around_changes,
    at,
    calm,
    instants,
    plan,
    schedules,
)


@calm
@given(schedule=schedules(), after=st.one_of(instants, around_changes))
def test_the_next_is_always_later(schedule: Schedule, after: datetime) -> None:
    """`next_after` is strictly later than what it is asked about, in plain UTC, inside the window; nothing between."""
    for _ in range(5):
        found = schedule.next_after(after)
        if found is None:
            return
        assert found > after
        assert found.tzinfo is UTC
        assert schedule.starts_at is None or found >= schedule.starts_at
        assert schedule.ends_at is None or found < schedule.ends_at
        assert schedule.next_after(after + (found - after) / 2) == found
        after = found


@calm
@given(schedule=schedules(), after=st.one_of(instants, around_changes), count=st.integers(0, 12))
def test_the_four_questions_agree(schedule: Schedule, after: datetime, count: int) -> None:
    """`between`, `next_after`, `latest_until` and `is_occurrence` tell one story."""
    found = list(islice(schedule.between(after, after + 3000 * DAY), count + 1))
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(schedule.is_occurrence(one) for one in found)
    assert not any(schedule.is_occurrence(one + TICK) for one in found)
    for number, one in enumerate(found):
        assert schedule.latest_until(one, after) == one
        assert schedule.latest_until(one - TICK, after) == (found[number - 1] if number else None)
        assert schedule.latest_until(one, one) is None


@calm
@given(schedule=schedules(), until=st.one_of(instants, around_changes), back=st.timedeltas(timedelta(0), 1500 * DAY))
def test_the_latest_is_the_last_before(schedule: Schedule, until: datetime, back: timedelta) -> None:
    """However far back `after` lies, nothing follows the answer of `latest_until`; None only if there is nothing."""
    found = schedule.latest_until(until, until - back)
    if found is None:
        assert next(schedule.between(until - back, until), None) is None
    else:
        assert until - back < found <= until
        assert schedule.is_occurrence(found)
        assert next(schedule.between(found, until), None) is None


@calm
@given(schedule=schedules(), offset=st.integers(-23, 23), instant=instants)
def test_the_zone_of_the_question_does_not_matter(schedule: Schedule, offset: int, instant: datetime) -> None:
    """An instant given in another zone, or as a subclass of datetime, gets the same answer."""

    class Odd(datetime):
        """As pendulum's: a datetime whose subtraction gives no plain timedelta."""

        def __sub__(self, other: Any) -> Any:
            raise AssertionError("arithmetic of a subclass was used")

    moved = instant.astimezone(timezone(offset * HOUR))
    odd = Odd.combine(instant.date(), instant.time(), UTC)
    assert schedule.next_after(moved) == schedule.next_after(odd) == schedule.next_after(instant)
    assert type(schedule.next_after(odd)) in (datetime, type(None))


def test_a_naive_instant_is_refused() -> None:
    """An instant without a zone is an error, never a guess at the zone of this machine."""
    for schedule in (plan(cron="0 9 * * *"), plan(every=HOUR), plan(run_at=at("2026-05-01"))):
        with pytest.raises(TypeError):
            schedule.next_after(datetime(2026, 1, 1))


def test_threads_do_not_disturb_each_other() -> None:
    """One parsed expression may be asked from many threads at once: each gets the answer to its own question."""
    schedule = plan(cron="*/7 3-20 * * mon-fri", timezone="Europe/Berlin")
    questions = [at("2026-01-01") + number * 7919 * SECOND for number in range(2000)]
    answers = [schedule.next_after(question) for question in questions]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(schedule.next_after, questions)) == answers
    finally:
        sys.setswitchinterval(usual)


def test_once() -> None:
    """A single instant is due once, at that instant."""
    moment = at("2026-05-01 08:00:00.500000")
    schedule = plan(run_at=moment, starts_at=moment, ends_at=moment + TICK)
    assert list(schedule.between(at("2020-01-01"), at("2030-01-01"))) == [moment]
    assert schedule.next_after(moment) is None
    assert schedule.latest_until(moment - TICK, at("2020-01-01")) is None


def test_by_hand() -> None:
    """A row with no schedule is never due by itself."""
    schedule = plan()
    assert schedule.next_after(ANCHOR) is None
    assert schedule.latest_until(at("2030-01-01"), ANCHOR) is None
    assert not schedule.is_occurrence(ANCHOR)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"every": 5 * SECOND}, True),
        ({"every": MINUTE - TICK}, True),
        ({"every": MINUTE}, False),
        ({"cron": "* * * * *"}, False),
        ({"cron": "0 * * * * *"}, False),
        ({"cron": "0,0 * * * * *"}, False),
        ({"cron": "*/60 * * * * *"}, False),
        ({"cron": "0,30 * * * * *"}, True),
        ({"cron": "* 0 9 * * *"}, True),
        ({"cron": "*/20 * * * * *"}, True),
        ({"cron": "@hourly"}, False),
        ({"run_at": ANCHOR}, False),
        ({}, False),
    ],
)
def test_fast_means_more_than_once_a_minute(fields: dict[str, Any], wanted: bool) -> None:
    """Sixty seconds exactly is not fast; a seconds field counts by what it means, not by how it is written."""
    assert plan(**fields).is_fast is wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"every": 5 * SECOND}, True),
        ({"every": MINUTE}, True),
        ({"every": MINUTE + TICK}, False),
        ({"cron": "* * * * *"}, True),
        ({"cron": "*/1 9-17 * * 1-5"}, True),
        ({"cron": "0 * * * * *"}, True),
        ({"cron": "0,30 0 9 * * *"}, True),
        ({"cron": "0,1 9 * * *"}, False),
        ({"cron": "@hourly"}, False),
        ({"run_at": ANCHOR}, False),
        ({}, False),
    ],
)
def test_minutely_means_every_minute_of_some_hours(fields: dict[str, Any], wanted: bool) -> None:
    """Sixty seconds exactly is minutely, and so is whatever is fast; two minutes of a day that follow are not."""
    assert plan(**fields).is_minutely is wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"every": 5 * SECOND}, "every 5 s"),
        ({"every": timedelta(seconds=1.5)}, "every 1.5 s"),
        ({"every": 90 * MINUTE}, "every 90 min"),
        ({"every": 2 * HOUR}, "every 2 h"),
        ({"every": 7 * DAY}, "every 7 d"),
        ({"cron": "0 9 * * mon-fri", "timezone": "Europe/Berlin"}, "cron 0 9 * * mon-fri (Europe/Berlin)"),
        ({"run_at": at("2026-01-01 09:00")}, "once at 2026-01-01 09:00:00 UTC"),
        ({}, "by hand"),
    ],
)
def test_descriptions_are_short_readings(fields: dict[str, Any], wanted: str) -> None:
    """People read the schedule as they would say it."""
    assert plan(**fields).describe() == wanted


def test_schedules_compare_by_value() -> None:
    """Two rows with the same settings are equal, so that an unchanged schedule is seen as unchanged."""
    first = plan(cron="0 9 * * *")
    assert first == plan(cron="0 9 * * *")
    assert replace(first, jitter=SECOND) != first
    assert first.next_after(datetime.combine(date(2026, 1, 1), datetime.min.time(), UTC)) == at("2026-01-01 09:00")

"""A fixed rate, the window in which a row is due, and jitter."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

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
    at,
    calm,
    instants,
    listed,
    plan,
)


@calm
@given(
    every=st.timedeltas(SECOND, 400 * DAY),
    anchor=instants,
    salt=st.integers(1, 2**62),
    number=st.integers(0, 10**6),
)
def test_every_never_drifts(every: timedelta, anchor: datetime, salt: int, number: int) -> None:
    """Occurrence n is the first plus n times the rate, to the microsecond; the first is within one step of the row."""
    schedule = plan(every=every, anchor=anchor, salt=salt)
    first = schedule.next_after(anchor)
    assert first is not None
    assert anchor < first <= anchor + every
    assert schedule.next_after(anchor - 1000 * DAY) == first
    spread = anchor.replace(microsecond=0) + every - first
    assert spread % timedelta(milliseconds=1) == timedelta(0) or (first - every) <= anchor
    nth = first + number % 1000 * every
    assert schedule.is_occurrence(nth)
    assert schedule.next_after(nth) == nth + every


def test_every_from_starts_at() -> None:
    """With `starts_at` the first occurrence is `starts_at` itself, whenever the row was created and whatever its id."""
    for salt in (1, 2):
        schedule = plan(every=timedelta(seconds=1.5), starts_at=at("2026-02-01 00:00:00.000123"), salt=salt)
        found = list(schedule.between(at("2020-01-01"), at("2026-02-01 00:00:04")))
        assert [f"{one:%S.%f}" for one in found] == ["00.000123", "01.500123", "03.000123"]


def test_every_until_ends_at() -> None:
    """`ends_at` itself is no occurrence, and `latest_until` stays before it."""
    schedule = plan(every=10 * SECOND, starts_at=at("2026-02-01 00:00:00"), ends_at=at("2026-02-01 00:00:30"))
    assert listed(schedule, "2026-01-01", "2027-01-01") == ["02-01 00:00", "02-01 00:00:10", "02-01 00:00:20"]
    assert schedule.latest_until(at("2027-01-01"), at("2020-01-01")) == at("2026-02-01 00:00:20")


def test_cron_window_is_half_open() -> None:
    """For cron too, `starts_at` is the first instant that may fire and `ends_at` the first that may not."""
    schedule = plan(cron="0 * * * *", starts_at=at("2026-02-01 01:00"), ends_at=at("2026-02-01 03:00"))
    assert listed(schedule, "2026-01-01", "2027-01-01") == ["02-01 01:00", "02-01 02:00"]
    assert schedule.latest_until(at("2027-01-01"), at("2020-01-01")) == at("2026-02-01 02:00")


@pytest.mark.parametrize("every", [SECOND, 5 * SECOND, MINUTE, HOUR, DAY])
def test_rows_created_together_are_spread(every: timedelta) -> None:
    """A thousand rows created at one instant get first occurrences all over one step, or one minute if that is less."""
    firsts = [plan(every=every, salt=salt).next_after(ANCHOR) for salt in range(1000)]
    known = [first for first in firsts if first is not None]
    reach = min(every, MINUTE)
    assert max(known) - min(known) > 0.98 * reach
    buckets = [0] * 10
    for first in known:
        buckets[int((first - min(known)) / reach * 10)] += 1
    assert min(buckets) > 50


def test_a_spread_of_almost_one_step_is_not_before_the_row() -> None:
    """Where the spread would put the first occurrence before the row's own creation, it is one step later."""
    for anchor in (at("2026-01-01 12:00:00.999999"), at("2026-01-01 12:00:00.500000")):
        for salt in range(5000):
            first = Schedule(anchor, salt, every=SECOND).next_after(at("2020-01-01"))
            assert first is not None
            assert anchor < first <= anchor + SECOND


def test_the_hash_is_the_same_everywhere() -> None:
    """Spread and jitter are a contract: every process, and every later version, computes the same instants."""
    script = (
        "from datetime import datetime, timedelta, timezone\n"
        "from include.schedule import Schedule\n"
        "t = datetime(2026, 1, 1, tzinfo=timezone.utc)\n"
        "s = Schedule(t, 42, every=timedelta(minutes=5), jitter=timedelta(seconds=10))\n"
        "print(s.next_after(t).isoformat(), s.delay(t))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "2026-01-01T00:04:33.903000+00:00 0:00:02.756089"


@calm
@given(jitter=st.timedeltas(timedelta(0), 2 * DAY), salt=st.integers(0, 2**62), occurrence=instants)
def test_jitter_is_fixed_and_in_range(jitter: timedelta, salt: int, occurrence: datetime) -> None:
    """The delay of an occurrence is the same on every call, in every zone, at least 0 and less than the jitter."""
    schedule = plan(cron="0 0 1 1 *", jitter=jitter, salt=salt)
    delay = schedule.delay(occurrence)
    assert delay == schedule.delay(occurrence.astimezone(ZoneInfo("Asia/Tokyo")))
    assert timedelta(0) <= delay < jitter or delay == jitter == timedelta(0)


def test_jitter_differs_by_row_and_by_occurrence() -> None:
    """Rows with one schedule do not fire together, and one row is not always the last; the occurrence stays nominal."""
    days = [at("2026-01-01") + number * DAY for number in range(50)]
    rows = [plan(cron="0 0 * * *", jitter=HOUR, salt=salt) for salt in range(50)]
    assert len({row.delay(days[0]) for row in rows}) == 50
    assert len({rows[0].delay(day) for day in days}) == 50
    assert rows[0].is_occurrence(days[0])

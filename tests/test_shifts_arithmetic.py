"""What shifts reckon with: where they begin and end, what is owed, and the bell that wakes them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.model import Job
from include.shifts.bell import Bell, utcnow
from include.shifts.owed import first_to_execute, missed
from include.shifts.window import shift_end
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.test_store import add_job, one

UTC = timezone.utc


instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(st.integers(1, 10**12), instants, st.integers(60, 86_400))
def test_shifts_tile_the_time_line(row_id: int, instant: datetime, seconds: int) -> None:
    """Every instant lies in exactly one shift, and shifts are equally long."""
    length = timedelta(seconds=seconds)
    end = shift_end(row_id, instant, length)
    assert instant < end <= instant + length
    assert shift_end(row_id, end - timedelta(microseconds=1), length) == end
    assert shift_end(row_id, end, length) == end + length


@pytest.fixture
def template(db: DictConnection) -> Job:
    add_job(db, every="1 minute", created_at="2025-12-31")
    return job_from_row(one(db, "select * from job"))


@pytest.mark.parametrize("misfire", ["skip", "latest", "all"])
def test_what_is_owed_is_missed_or_executed(template: Job, misfire: str) -> None:
    """Missed and to be executed together are exactly what is owed, in order, and nothing too late is executed."""
    import dataclasses

    now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    @given(st.integers(0, 600), st.integers(0, 20_000))
    def check(minutes: int, max_late_seconds: int) -> None:
        late = timedelta(seconds=max_late_seconds)
        job = dataclasses.replace(template, misfire=misfire, max_lateness=late)  # type: ignore[arg-type]
        since = now - timedelta(minutes=minutes)
        owed = list(job.schedule.between(since, now))
        first = first_to_execute(job, since, now)
        left = [] if first is None else [due for due in owed if due >= first]
        assert list(missed(job, since, now)) + left == owed
        assert all(now - due <= late for due in left)
        assert misfire == "all" or len(left) <= 1

    check()


async def test_a_bell_never_rings_early_and_rings_when_rung() -> None:
    """Sleeping ends at the instant and not before; ringing ends it at once, also before it began."""
    bell = Bell()
    instant = utcnow() + timedelta(milliseconds=50)
    assert not await bell.sleep_until(instant)
    assert utcnow() >= instant
    asyncio.get_running_loop().call_later(0.01, bell.ring)
    assert await bell.sleep_until(utcnow() + timedelta(hours=1))
    bell.ring()
    assert await bell.sleep_until(utcnow() + timedelta(hours=1))

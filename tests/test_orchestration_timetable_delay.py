"""When Airflow makes runs for a fixed delay: only a shift knows when such a row is due, so one is always on duty."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.airflow_system import OF_AIRFLOW, a_job  # isort: split

from include.model import Job
from include.shifts.window import shift_end
from tests.test_orchestration_timetable import AHEAD, DAY, HOUR, SECOND, following, runs, timetable

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW


def dues(job: Job, most: int) -> list[datetime]:
    """When the job's runs are due; not as pendulum's datetimes, whose arithmetic is another."""
    return [datetime.fromisoformat(info.data_interval.end.isoformat()) for info in islice(runs(timetable(job)), most)]


@given(every=st.timedeltas(SECOND, 400 * DAY), id=st.integers(1, 10_000))
@settings(max_examples=30, deadline=None)
def test_each_run_begins_where_the_shift_before_ends(every: timedelta, id: int) -> None:
    """From the first occurrence on there is no gap, however much longer than a shift the delay is."""
    job = a_job(id, every=every, fixed_delay=True, created_at=AHEAD)
    made = dues(job, most=20)
    assert made[0] == job.schedule.next_after(AHEAD)
    for earlier, later in pairwise(made):
        assert later == shift_end(id, earlier, HOUR)


def test_after_a_downtime_the_next_run_begins_at_once() -> None:
    """No shift has been on duty since the border, so one is now, and it is one only."""
    now = datetime.now(timezone.utc)
    job = a_job(every=30 * DAY, fixed_delay=True, created_at=now - 100 * DAY)
    due = timetable(job).next_due(now - DAY, now)
    assert due is not None
    assert now - SECOND < due <= now
    assert timetable(job).next_due(due, now) == shift_end(job.id, due, HOUR)


@pytest.mark.parametrize("hours", [1, 2, 5])
def test_the_end_of_the_schedule_is_the_end_of_its_runs(hours: int) -> None:
    """No shift begins at `ends_at` or later."""
    ends_at = AHEAD + hours * HOUR
    job = a_job(every=SECOND, fixed_delay=True, created_at=AHEAD, starts_at=AHEAD, ends_at=ends_at)
    newest = max(dues(job, most=20))
    assert newest < ends_at <= shift_end(job.id, newest, HOUR)
    assert following(timetable(a_job(every=SECOND, fixed_delay=True, created_at=ends_at, ends_at=ends_at))) is None

"""Jobs that are due every minute: in the triggerer a shift holds many occurrences, on a worker each has a run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pendulum
import pytest
from psycopg.types.json import Jsonb

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.timetables.base import DataInterval, TimeRestriction

from include import registry
from include.model import Job
from include.orchestration.timetable import ShiftTimetable
from include.shifts.window import shift_end
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.test_store import add_job, one

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW]

MINUTE, LEAD, HOUR = timedelta(minutes=1), timedelta(seconds=25), timedelta(hours=1)
SHELL = {"kind": "shell", "payload": Jsonb({"command": "true"})}
WEBHOOK = {"kind": "webhook", "payload": Jsonb({"url": "https://hooks.example.com/x"})}


def job(db: DictConnection, job_id: int) -> Job:
    return job_from_row(one(db, f"select * from job where id = {job_id}"))


def test_only_the_triggerer_holds_many(db: DictConnection) -> None:
    """Sixty seconds in the triggerer: one shift for many; the same on a worker, or a second more: a run for each."""
    rows = {
        "minutely": add_job(db, name="minutely", every="1 minute", **WEBHOOK),
        "cron": add_job(db, name="cron", cron="* * * * *", every=None, **WEBHOOK),
        "slow": add_job(db, name="slow", every="61 seconds", **WEBHOOK),
        "worker": add_job(db, name="worker", every="1 minute", **SHELL),
        "unknown": add_job(db, name="unknown", every="1 minute", kind="wehbook"),
    }
    held = {name for name, job_id in rows.items() if registry.holds_many(job(db, job_id))}
    assert held == {"minutely", "cron", "unknown"}


def runs(table: ShiftTimetable, last: DataInterval | None) -> DataInterval:
    info = table.next_dagrun_info(last_automated_data_interval=last, restriction=TimeRestriction(None, None, False))
    assert info is not None
    return info.data_interval


def due_of(run: DataInterval) -> datetime:
    """As a trigger gets it, which is no pendulum."""
    return datetime.fromisoformat(run.end.isoformat())


@pytest.mark.parametrize("lead", [timedelta(0), LEAD, timedelta(minutes=10)])
def test_shifts_of_an_hour_follow_each_other(db: DictConnection, lead: timedelta) -> None:
    """From the first run on, whenever it is made, each shift begins where the one before ends."""
    row = job(db, add_job(db, every="1 minute", **WEBHOOK))
    table = ShiftTimetable(row.schedule, row.schedule_changed_at, lead, HOUR, continuous=True)
    made = runs(table, None)
    for _ in range(3):
        border = shift_end(row.id, due_of(made), HOUR)
        made = runs(table, made)
        assert timedelta(0) <= made.end - border < MINUTE


@pytest.mark.parametrize("lead", [timedelta(0), LEAD])
def test_a_run_of_one_occurrence_is_not_taken_for_a_shift(db: DictConnection, lead: timedelta) -> None:
    """After such a run (of a worker, where the kind was another one, or of a release before) a shift begins at the next
    occurrence, and not after an hour."""
    row = job(db, add_job(db, every="1 minute", created_at="2026-01-01", **WEBHOOK))
    table = ShiftTimetable(row.schedule, datetime(2026, 1, 1, tzinfo=timezone.utc), LEAD, HOUR, continuous=True)
    due = row.schedule.next_after(datetime.now(timezone.utc) + MINUTE)
    assert due is not None
    shift = runs(table, DataInterval(pendulum.instance(due - lead), pendulum.instance(due)))
    assert shift.end == due + MINUTE
    assert runs(table, shift).end - shift_end(row.id, due_of(shift), HOUR) < MINUTE

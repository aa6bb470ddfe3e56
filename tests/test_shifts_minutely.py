"""Jobs that are due every minute: in the triggerer a shift holds many occurrences, on a worker each has a run."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pendulum
import pytest
from psycopg.types.json import Jsonb

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.timetables.base import DataInterval, TimeRestriction

from include import registry
from include.local.postgres import Postgres
from include.model import Job
from include.orchestration.timetable import ShiftTimetable
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from include.store.rows import job_from_row
from tests.test_store import add_job, one

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW]

MINUTE, LEAD, HOUR = timedelta(minutes=1), timedelta(seconds=25), timedelta(hours=1)
SHELL = {"kind": "shell", "payload": Jsonb({"command": "true"})}
WEBHOOK = {"kind": "webhook", "payload": Jsonb({"url": "https://hooks.example.com/x"})}
AFTER_AN_HOUR = "0014_every_minute"


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


def test_a_kind_that_leaves_the_worker_is_due_within_the_minute(db: DictConnection) -> None:
    """The run that a worker had is not taken for a shift, which would be on duty for an hour."""
    job_id = add_job(db, every="1 minute", created_at="2026-01-01", **SHELL)
    due = job(db, job_id).schedule.latest_until(datetime.now(timezone.utc), datetime(2000, 1, 1, tzinfo=timezone.utc))
    assert due is not None
    made = DataInterval.exact(pendulum.instance(due))
    db.execute("update job set kind = %(kind)s, payload = %(payload)s", WEBHOOK)
    row = job(db, job_id)
    table = ShiftTimetable(row.schedule, row.schedule_changed_at, LEAD, HOUR, registry.holds_many(row))
    info = table.next_dagrun_info(last_automated_data_interval=made, restriction=TimeRestriction(None, None, False))
    assert info is not None
    assert info.data_interval.end <= datetime.now(timezone.utc) + MINUTE * 2


def test_another_payload_leaves_the_schedule_alone(db: DictConnection) -> None:
    """Only another kind begins the schedule anew."""
    job_id = add_job(db, every="1 minute", **WEBHOOK)
    before = job(db, job_id)
    db.execute("update job set payload = %s", (Jsonb({"url": "https://hooks.example.com/y"}),))
    assert job(db, job_id).schedule_changed_at == before.schedule_changed_at
    assert job(db, job_id).schedule_revision == before.schedule_revision


@pytest.fixture
def old_url(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of before, with Airflow's table of runs."""
    name = f"before_{tmp_path.name}"
    server.create_database(name)
    files = tmp_path / "store" / "migrations"
    shutil.copytree(migrations._HERE / "migrations", files)
    (files / f"{AFTER_AN_HOUR}.sql").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_HERE", files.parent)
        migrations.migrate(server.url(name))
    with connect(server.url(name)) as db:
        db.execute("create table public.dag_run (dag_id text, run_type text, data_interval_start timestamptz)")
    return server.url(name)


def test_after_an_upgrade_nothing_waits_for_an_hour(old_url: str) -> None:
    """The schedule of what was a run each minute begins after the newest of them; all other schedules stay."""
    newest = datetime.now(timezone.utc) + timedelta(seconds=5)
    with connect(old_url) as db:
        changed = {
            add_job(db, name=str(when), **{"every": None, **when}): moves
            for when, moves in (
                ({"every": "1 minute"}, True),
                ({"cron": "*/1 9-17 * * 1-5"}, True),
                ({"cron": "0 * * * * *"}, True),
                ({"every": "5 seconds"}, False),
                ({"every": "2 minutes"}, False),
                ({"cron": "*/5 * * * *"}, False),
            )
        }
        for job_id in changed:
            for ago in (MINUTE, timedelta(0)):
                db.execute("insert into public.dag_run values (%s, 'scheduled', %s)", (f"job_{job_id}", newest - ago))
            db.execute("insert into public.dag_run values (%s, 'manual', %s)", (f"job_{job_id}", newest + HOUR))
        before = {job_id: job(db, job_id) for job_id in changed}
        assert migrations.migrate(old_url) == [AFTER_AN_HOUR]
        for job_id, moves in changed.items():
            row = job(db, job_id)
            expected = newest + timedelta(microseconds=1) if moves else before[job_id].schedule_changed_at
            assert row.schedule_changed_at == expected
            assert row.schedule_revision == before[job_id].schedule_revision

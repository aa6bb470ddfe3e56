"""A thousand edits of schedules at random moments, against a model: no ghost, no double, no lost fire."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.timetables.base import TimeRestriction

from include import registry
from include.model import Job
from include.orchestration.timetable import ShiftTimetable
from include.schedule import Schedule
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.store.db import DictConnection, conninfo
from include.store.rows import job_from_row
from tests.shift_stage import add, executions, stage, stand

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.e2e]

JOBS = 50
EDITS = 20
SECOND = timedelta(seconds=1)
_LEAD, _LENGTH = 2 * SECOND, timedelta(hours=1)
_ANY = TimeRestriction(earliest=None, latest=None, catchup=False)
# How long after an edit was committed a shift may not have heard of it, on a machine that is busy.
_DEAF = 5 * SECOND


@dataclass
class Edited:
    """A job and the schedules that it had, each with the instant from which it counted."""

    id: int
    epochs: list[tuple[datetime, Schedule]] = field(default_factory=list)


def any_schedule(choice: random.Random) -> dict[str, Any]:
    """Columns of a schedule: fast, slow, by cron, by interval, once or not at all."""
    columns: dict[str, Any] = {"cron": None, "every": None, "run_at": None}
    kind = choice.choice(["every", "every", "seconds", "seconds", "once", "rare", "hand"])
    if kind == "every":
        columns["every"] = timedelta(milliseconds=choice.choice([1000, 1300, 1700, 2500]))
    elif kind == "seconds":
        columns["cron"] = choice.choice(["* * * * * *", "*/2 * * * * *", "1-59/3 * * * * *"])
    elif kind == "once":
        columns["run_at"] = utcnow() + timedelta(seconds=choice.uniform(0.3, 3))
    elif kind == "rare":
        columns["cron"] = "0 0 1 1 *"
    return columns


async def edit_at_random(job: Edited, post: Post, database_url: str, choice: random.Random) -> None:
    """Replace the schedule again and again, and note what was in force from when on."""
    async with await psycopg.AsyncConnection.connect(
        conninfo(database_url), autocommit=True, row_factory=dict_row
    ) as db:
        columns = {"cron": None, "every": SECOND, "run_at": None}
        for _ in range(EDITS):
            await asyncio.sleep(choice.uniform(0.2, 2))
            # Of two edits while no claim is answered, nobody knows when the first was. This waits with the claims.
            await post.ledger.abandon(0, claim=0)
            before = columns
            while columns == before:
                columns = any_schedule(choice)
            cursor = await db.execute(
                "update job set cron = %(cron)s, every = %(every)s, run_at = %(run_at)s where id = %(id)s returning *",
                {**columns, "id": job.id},
            )
            row = await cursor.fetchone()
            assert row is not None
            job.epochs.append((row["schedule_changed_at"], job_from_row(row).schedule))


async def schedule_as_airflow_does(job: Edited, post: Post, done: asyncio.Event) -> None:
    """Make each run when the timetable of the row, as it is now, says so; a run has a due instant of its own."""
    last, dues, shifts = None, set(), []
    while not done.is_set():
        row: Job | None = await post.ledger.job(job.id)
        assert row is not None
        table = ShiftTimetable(row.schedule, row.schedule_changed_at, _LEAD, _LENGTH, registry.holds_many(row))
        info = table.next_dagrun_info(last_automated_data_interval=last, restriction=_ANY)
        if info is not None and info.run_after <= utcnow():
            last = info.data_interval
            due = datetime.fromisoformat(last.end.isoformat())  # what a trigger gets is no pendulum
            if due not in dues:
                dues.add(due)
                shifts.append(asyncio.create_task(stand(post, job.id, due, f"run {due}")))
        await asyncio.sleep(0.05)
    await asyncio.gather(*shifts)


async def test_an_edited_schedule_replaces_the_old_one_whole(database_url: str, db: DictConnection) -> None:
    """1,000 edits: what fires is due by the schedule in force, once, and what was due has a row in the ledger."""
    async with stage(database_url) as (post, server):
        jobs = [Edited(add(db, server, f"job-{number}", every="1 second", retries=0)) for number in range(JOBS)]
        for job in jobs:
            row = db.execute("select * from job where id = %s", (job.id,)).fetchone()
            assert row is not None
            job.epochs.append((row["schedule_changed_at"], job_from_row(row).schedule))
        done = asyncio.Event()
        scheduler = [asyncio.create_task(schedule_as_airflow_does(job, post, done)) for job in jobs]
        await asyncio.gather(*(edit_at_random(job, post, database_url, random.Random(job.id)) for job in jobs))
        end = utcnow()
        await asyncio.sleep(3)  # what is due by then is executed
        db.execute("delete from job")
        done.set()
        await asyncio.gather(*scheduler, return_exceptions=True)
    keys = [request.headers["webhook-id"] for request in server.received]
    assert len(keys) == len(set(keys)), "no double"
    rows: dict[int, dict[datetime, str]] = {job.id: {} for job in jobs}
    for row in executions(db):
        rows[row["job_id"]][row["scheduled_for"]] = row["status"]
    for job in jobs:
        _check(job, rows[job.id], end)
    assert len(keys) > JOBS * EDITS / 2, "schedules were in force long enough to fire"


def _check(job: Edited, rows: dict[datetime, str], end: datetime) -> None:
    """Compare the ledger with what each schedule asked for while it was in force."""
    changes = [at for at, _ in job.epochs[1:]]
    epochs = [(since, until, schedule) for (since, schedule), until in zip(job.epochs, [*changes, end], strict=True)]
    for due in (due for due, status in rows.items() if status == "success"):
        in_force = [
            schedule
            for since, until, schedule in epochs
            # An instant that was gone by when it was written is executed all the same.
            if (since < due or schedule.run_at == due) and (due <= until + _DEAF or until == end)
        ]
        assert any(schedule.is_occurrence(due) for schedule in in_force), f"job {job.id}: {due} is a ghost"
    for since, until, schedule in epochs:
        # The first seconds of a fast schedule, in which its shift is still on the way, are not owed.
        begun = min((due for due in rows if since < due < until and schedule.is_occurrence(due)), default=until)
        first = since if schedule.run_at is not None else begun
        for due in schedule.between(first, until - timedelta(microseconds=1)):
            assert due in rows, f"job {job.id}: {due} is lost"

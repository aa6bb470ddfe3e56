"""Shifts that meet, relieve each other, or end in the middle: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from include.shifts import job as job_shift
from include.shifts.bell import utcnow
from include.shifts.shift import Shift
from include.shifts.window import shift_end
from include.store.db import DictConnection, connect
from tests.shift_stage import add, executions, never, opened_post, stage, stand, until
from tests.test_store import one

SECOND = timedelta(seconds=1)


async def test_two_processes_on_one_shift_send_each_occurrence_once(database_url: str, db: DictConnection) -> None:
    """Split brain: both are on duty, and the ledger sees to it that each occurrence is sent once."""
    async with stage(database_url) as (first, server), opened_post(database_url) as second:
        job_id = add(db, server, every="1 second")
        shifts = [asyncio.create_task(stand(post, job_id, utcnow())) for post in (first, second)]
        await until(lambda: len(server.received) >= 4)
        db.execute("delete from job")
        await asyncio.gather(*shifts)
        ids = [request.headers["webhook-id"] for request in server.received]
    assert len(ids) == len(set(ids))


async def test_a_cancelled_shift_lets_go(database_url: str, db: DictConnection) -> None:
    """Moved to another process while a call is under way, the execution is taken over at once, with the same key."""
    async with stage(database_url, never) as (first, server), opened_post(database_url) as second:
        due = utcnow()
        job_id = add(db, server, run_at=due)
        shift = asyncio.create_task(stand(first, job_id, due))
        await until(lambda: server.received)
        shift.cancel()
        await asyncio.gather(shift, return_exceptions=True)
        other = asyncio.create_task(stand(second, job_id, due))
        await until(lambda: len(server.received) == 2)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert len({request.headers["webhook-id"] for request in server.received}) == 1


async def test_a_run_that_a_person_ends_is_cancelled(database_url: str, db: DictConnection) -> None:
    """Marked failed in Airflow while it is sending: the row says cancelled, and who did it."""
    async with stage(database_url, never) as (post, server):
        due = utcnow()
        shift = Shift(add(db, server, run_at=due), due, "run", 1)
        task = asyncio.create_task(job_shift.stand(shift, post))
        await until(lambda: server.received)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await job_shift.end(shift, post)
    expected = {"status": "cancelled", "reason": "the run was ended in Airflow"}
    assert one(db, "select status, reason from execution") == expected


async def test_a_new_shift_relieves_the_old_one(database_url: str, db: DictConnection) -> None:
    """At a change of shifts nothing is lost and nothing doubled; the old one ends."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 second", starts_at=utcnow() - SECOND, overlap="allow")
        old = asyncio.create_task(stand(post, job_id, utcnow(), "old"))
        await until(lambda: len(server.received) >= 2)
        newest = max(row["scheduled_for"] for row in executions(db))
        new = asyncio.create_task(stand(post, job_id, newest + 2 * SECOND, "new"))
        assert (await old).state == "success"
        await until(lambda: any(row["dag_run_id"] == "new" for row in executions(db)))
        db.execute("delete from job")
        await new
    rows = [row for row in executions(db) if row["reason"] != "the job was deleted"]
    assert all(later - earlier == SECOND for earlier, later in pairwise(row["scheduled_for"] for row in rows))
    assert {row["status"] for row in rows} == {"success"}


@pytest.mark.parametrize("change", ["every = '1 day'", "every = null", "every = '1 day', every_mode = 'fixed_delay'"])
async def test_what_fell_due_before_its_schedule_changed_is_missed(
    database_url: str, db: DictConnection, change: str
) -> None:
    """Behind with its work when the schedule is changed, a shift names what it had not begun by then."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 second")
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) >= 2)
        with connect(database_url) as other, other.transaction():
            other.execute("select pg_advisory_xact_lock(7::bigint << 56 | %s)", (job_id,))  # claims wait for it
            await asyncio.sleep(2.5)
            db.execute(f"update job set {change}".encode())
        changed_at = one(db, "select schedule_changed_at from job")["schedule_changed_at"]
        await until(lambda: max(row["scheduled_for"] for row in executions(db)) > changed_at - SECOND)
        db.execute("delete from job")
        await shift
    rows = executions(db)
    assert all(later - earlier == SECOND for earlier, later in pairwise(row["scheduled_for"] for row in rows))
    assert sum(row["reason"] == "the schedule was changed before it was executed" for row in rows) >= 2


async def test_a_shift_works_overtime_until_it_is_relieved(database_url: str, db: DictConnection) -> None:
    """With no successor at the border (the scheduler is down) the shift goes on; relieved from elsewhere, it ends."""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server), opened_post(database_url) as elsewhere:
        now = utcnow()
        soon = (i for i in range(1000, 9999) if SECOND < shift_end(i, now, length) - now < 2 * SECOND)
        job_id = add(db, server, id=next(soon), every="1 second")
        border = shift_end(job_id, now, length)
        old = asyncio.create_task(stand(post, job_id, now, "old"))
        await until(lambda: sum(row["scheduled_for"] >= border for row in executions(db)) >= 2)
        new = asyncio.create_task(stand(elsewhere, job_id, utcnow(), "new"))
        assert (await old).state == "success"
        await until(lambda: executions(db)[-1]["dag_run_id"] == "new")
        db.execute("delete from job")
        await new
        ids = [request.headers["webhook-id"] for request in server.received]
    assert len(ids) == len(set(ids))

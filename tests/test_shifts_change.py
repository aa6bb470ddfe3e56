"""Shifts that meet, relieve each other, or end in the middle: nothing is lost and nothing doubled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from include.shifts import job as job_shift
from include.shifts.bell import utcnow
from include.shifts.shift import Shift
from include.shifts.window import shift_end
from include.store.db import DictConnection, connect
from tests.shift_stage import add, executions, known_since, never, opened_post, stage, stand, until
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
        add(db, server, "another, whose revision is the next one")
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) >= 2)
        with connect(database_url) as other, other.transaction():
            other.execute("select pg_advisory_xact_lock(7::bigint << 56 | %s)", (job_id,))  # claims wait for it
            await asyncio.sleep(2.5)
            db.execute(f"update job set {change} where id = {job_id}".encode())
        changed_at = one(db, "select schedule_changed_at from job where id = %s", job_id)["schedule_changed_at"]
        await until(lambda: max(row["scheduled_for"] for row in executions(db)) > changed_at - SECOND)
        db.execute("delete from job")
        await shift
    rows = executions(db)
    assert all(later - earlier == SECOND for earlier, later in pairwise(row["scheduled_for"] for row in rows))
    assert sum(row["reason"] == "the schedule was changed before it was executed" for row in rows) >= 2


@pytest.mark.parametrize("then", [{"every": "2 seconds"}, {"cron": "0 0 1 1 *", "every": None}])
async def test_what_fell_due_before_edits_that_nobody_saw_is_missed(
    database_url: str, db: DictConnection, then: dict[str, Any]
) -> None:
    """Nobody was on duty while the schedule was changed twice: whoever comes next names what each of them owed."""
    async with stage(database_url) as (post, server):
        now = utcnow().replace(microsecond=0)
        job_id = add(db, server, every="1 second", starts_at=now - 20 * SECOND)
        known_since(db, job_id, now - 20 * SECOND, accounted=now - 10 * SECOND)
        db.execute("update job set every = '3 seconds' where id = %s", (job_id,))
        first = one(db, "select schedule_changed_at as at from job")["at"]
        known_since(db, job_id, now - 5 * SECOND)
        db.execute("update audit set new = jsonb_set(new, '{schedule_changed_at}', to_jsonb(%s::text)) where id ="
                   " (select max(id) - 1 from audit)", (str(now - 5 * SECOND),))  # fmt: skip
        assert first > now - SECOND
        columns = ", ".join(f"{name} = %({name})s" for name in then)
        db.execute(f"update job set {columns} where id = {job_id}".encode(), then)
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: [row for row in executions(db) if row["scheduled_for"] > now - 3 * SECOND])
        db.execute("delete from job")
        await shift
    missed = [row["scheduled_for"] for row in executions(db) if "schedule was changed" in str(row["reason"])]
    assert missed[:5] == [now - number * SECOND for number in (9, 8, 7, 6, 5)]
    assert missed[5] == now - 2 * SECOND


async def test_a_schedule_that_could_not_be_does_not_keep_its_job_from_firing(
    database_url: str, db: DictConnection
) -> None:
    """It was written by SQL, and put right: nothing fell due by it, and what it was is no matter any more."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(db, server, every="1 second", starts_at=now - 20 * SECOND)
        known_since(db, job_id, now - 20 * SECOND, accounted=now - 10 * SECOND)
        db.execute("update job set every = null, cron = '0 25 * * *'")
        db.execute("update job set cron = null, every = '1 second'")
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: server.received)
        db.execute("delete from job")
        await shift


async def test_whoever_comes_late_does_not_send_home_who_is_on_duty(database_url: str, db: DictConnection) -> None:
    """A run of hours ago, lost with its process, stands again: the one of now stays."""
    async with stage(database_url, shift_seconds=60) as (post, server):
        now = utcnow()
        job_id = add(db, server, every="6 hours", every_mode="fixed_delay", starts_at=now + 3 * SECOND)
        current = asyncio.create_task(stand(post, job_id, now, "current"))
        await until(lambda: post._duties)
        assert (await stand(post, job_id, now - 300 * SECOND, "of hours ago")).state == "success"
        await until(lambda: server.received)
        db.execute("delete from job")
        await current


async def test_one_that_hangs_does_not_hold_up_the_next_shift(database_url: str, db: DictConnection) -> None:
    """Making up for what is late, one call after another, to a receiver that does not answer: the shift after it is on
    duty all the same."""
    length = timedelta(seconds=60)
    async with stage(database_url, never, shift_seconds=60) as (post, server):
        now = utcnow()
        soon = (i for i in range(1000, 9999) if 2 * SECOND < shift_end(i, now, length) - now < 3 * SECOND)
        starts_at = now.replace(microsecond=0) - 30 * SECOND
        job_id = add(db, server, id=next(soon), every="1 second", misfire="all", overlap="allow", starts_at=starts_at)
        known_since(db, job_id, starts_at - SECOND, accounted=starts_at)
        border = shift_end(job_id, now, length)
        shifts = [asyncio.create_task(stand(post, job_id, due, run)) for due, run in ((now, "old"), (border, "new"))]
        await until(lambda: any(row["dag_run_id"] == "new" for row in executions(db)))
        for shift in shifts:
            shift.cancel()
        await asyncio.gather(*shifts, return_exceptions=True)


async def test_who_comes_after_the_border_is_no_hand_over(database_url: str, db: DictConnection) -> None:
    """Killed shortly before a border, and taken over after it: the shift before it does not fire any more, so the one
    after it begins where the ledger ends."""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server):
        now = utcnow().replace(microsecond=0)
        ids = (i for i in range(1000, 9999) if SECOND <= now - shift_end(i, now - length, length) < 2 * SECOND)
        job_id = add(db, server, id=next(ids), every="1 second", starts_at=now - 100 * SECOND, overlap="allow")
        last = now - 6 * SECOND
        known_since(db, job_id, now - 100 * SECOND, accounted=last - SECOND)
        db.execute(
            "insert into execution (job_id, scheduled_for, status, attempt, dag_run_id, claimed_by, claim)"
            " values (%s, %s, 'running', 1, 'before', gen_random_uuid(), 1)",
            (job_id, last),
        )
        db.execute("insert into lease select claimed_by, now() + interval '1500 ms' from execution where claim = 1")
        shifts = [
            asyncio.create_task(stand(post, job_id, due, run))
            for due, run in ((now - 50 * SECOND, "before"), (now, "after"))
        ]
        await until(lambda: max(row["scheduled_for"] for row in executions(db)) > now + SECOND)
        db.execute("delete from job")
        await asyncio.gather(*shifts)
    assert all(later - earlier == SECOND for earlier, later in pairwise(row["scheduled_for"] for row in executions(db)))
    assert executions(db)[0]["scheduled_for"] == last - SECOND


async def test_a_shift_works_overtime_until_it_is_relieved(database_url: str, db: DictConnection) -> None:
    """With no successor at the border (the scheduler is down) the shift goes on; relieved from elsewhere, it ends."""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server), opened_post(database_url) as elsewhere:
        now = utcnow()
        soon = (i for i in range(1000, 9999) if 4 * SECOND < shift_end(i, now, length) - now < 5 * SECOND)
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

"""What a shift leaves in the middle is taken back, handed on or finished by others; nothing stays `running`."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from include.shifts import job as job_shift
from include.shifts.bell import utcnow
from include.shifts.duty import Duty
from include.shifts.shift import Shift
from include.store.db import DictConnection
from tests.shift_stage import add, executions, known_since, opened_post, stage, stand, until
from tests.test_store import one

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def left_behind(db: DictConnection, job_id: int, due: datetime, **columns: Any) -> None:
    """An execution as it is left by a process that was killed while sending, of a run that is over."""
    given = {
        "job_id": job_id,
        "scheduled_for": due,
        "status": "running",
        "attempt": 1,
        "started_at": due,
        "claimed_by": uuid4(),
        "claim": 7,
        "dag_run_id": "over",
        "try_number": 1,
        **columns,
    }
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    db.execute(f"insert into execution ({names}) values ({marks})".encode(), given)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_claim_under_way_when_its_shift_is_cancelled_is_taken_back(
    database_url: str, db: DictConnection, ended: bool
) -> None:
    """Cancelled before the database has answered, a shift does not leave behind a row that blocks its job for ever."""
    async with stage(database_url) as (post, server), opened_post(database_url) as other:
        job_id, due = add(db, server, every="1 hour"), utcnow()
        shift = Shift(job_id, due, "run", 1, by_hand=True)
        with db.transaction():
            db.execute("select pg_advisory_xact_lock(7::bigint << 56 | %s)", (job_id,))
            task = asyncio.create_task(job_shift.stand(shift, post))
            await until(lambda: one(db, "select count(*) as waits from pg_locks where not granted")["waits"])
            task.cancel()
            await asyncio.sleep(0.1)
        await asyncio.gather(task, return_exceptions=True)
        if ended:
            await job_shift.end(shift, post)
        assert not server.received
        assert [row["status"] for row in executions(db)] == (["cancelled"] if ended else ["running"])
        if not ended:
            assert (await stand(other, job_id, due, "run", by_hand=True)).state == "success"
        assert (await stand(other, job_id, utcnow(), "later", by_hand=True)).state == "success"


@pytest.mark.parametrize("status", ["running", "retrying"])
async def test_what_the_dead_left_is_finished_by_the_next_run(
    database_url: str, db: DictConnection, status: str
) -> None:
    """Of a slow job, too, whose run of then is over and does not come back."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(db, server, every="1 hour", starts_at=now - HOUR, overlap="allow")
        known_since(db, job_id, now - 2 * HOUR)
        left_behind(db, job_id, now - HOUR, status=status)
        assert (await stand(post, job_id, now, "next")).state == "success"
    left, own = executions(db)
    assert (left["status"], left["attempt"], own["status"], own["attempt"]) == ("success", 2, "success", 1)


@pytest.mark.parametrize("every", ["1 second", "1 hour"])
async def test_a_run_by_hand_is_left_to_itself(database_url: str, db: DictConnection, every: str) -> None:
    """What a run by hand was to send only that run knows: no other one takes its execution up, and it does, with it."""
    async with stage(database_url) as (post, server):
        due = utcnow() - MINUTE
        job_id = add(db, server, every=every, starts_at=utcnow(), overlap="allow")
        left_behind(db, job_id, due, dag_run_id="by hand", origin="manual")
        job = await post.ledger.job(job_id)
        assert job is not None
        assert job.schedule.starts_at is not None
        scheduled = asyncio.create_task(stand(post, job_id, job.schedule.starts_at, "scheduled"))
        await until(lambda: any(row["status"] == "success" for row in executions(db)))
        assert executions(db)[0]["status"] == "running"
        conf = {"url": server.url("/of-this-run")}
        assert (await stand(post, job_id, due, "by hand", by_hand=True, conf=conf)).state == "success"
        assert executions(db)[0]["dag_run_id"] == "by hand"
        db.execute("delete from job")
        await scheduled
        assert [request.path for request in server.received].count("/of-this-run") == 1


async def test_catching_up_goes_on_where_the_dead_left_it(database_url: str, db: DictConnection) -> None:
    """With misfire `all`, the owner dead in the middle of it: what it was at and what was to come are all executed."""
    async with stage(database_url) as (post, server):
        start = utcnow() - timedelta(hours=5, minutes=1)
        job_id = add(db, server, every="1 hour", misfire="all", max_lateness="1 day", starts_at=start)
        dues = [start + number * HOUR for number in range(6)]
        known_since(db, job_id, start - SECOND, accounted=dues[0])
        left_behind(db, job_id, dues[1], dag_run_id="run")
        assert (await stand(post, job_id, dues[-1], "run")).state == "success"
        assert len(server.received) == 5
    assert [(row["scheduled_for"], row["status"]) for row in executions(db)] == [(due, "success") for due in dues]


@pytest.mark.e2e
async def test_frozen_before_its_instant_a_shift_sends_nothing_that_was_taken_over(
    database_url: str, db: DictConnection
) -> None:
    """Claimed, then frozen for longer than its lease, it asks again before it sends: meanwhile another has sent it."""
    async with stage(database_url, lease_seconds=2) as (post, server):
        job = await post.ledger.job(add(db, server))
        assert job is not None
        duty = Duty(Shift(job.id, utcnow(), "run", 1), post, job)
        claimed_ahead = asyncio.create_task(duty.execute(utcnow() + SECOND))
        await until(lambda: executions(db))
        db.execute(
            "update execution set status = 'success', attempt = 2, claim = 7, claimed_by = null, finished_at = now()"
        )
        time.sleep(2.2)  # noqa: ASYNC251 - the whole process stands still
        made = await claimed_ahead
        assert not server.received
    assert made is not None
    assert made.line == "success already"
    [row] = executions(db)
    assert (row["status"], row["attempt"]) == ("success", 2)

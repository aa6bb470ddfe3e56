"""Scratch."""
from __future__ import annotations
import asyncio, time
from datetime import timedelta
import pytest
from include.schedule import Schedule
from include.shifts.bell import utcnow
from include.shifts.window import shift_end
from tests.shift_stage import add, executions, stage, stand, until, opened_post
SECOND=timedelta(seconds=1)

def show(rows, server):
    t0=None
    for r in rows:
        t0 = t0 or r["scheduled_for"]
        print((r["scheduled_for"]-t0)/SECOND, r["status"], r["reason"], r["dag_run_id"], r["started_at"] and (r["started_at"]-r["scheduled_for"])/SECOND)
    print(len(server.received))

@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("how", ["is_active", "paused_until"])
async def test_border(database_url, db, elsewhere, how):
    """x"""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server), opened_post(database_url, shift_seconds=60) as other:
        now = utcnow()
        soon = (i for i in range(1000, 9999) if 3*SECOND < shift_end(i, now, length) - now < 4 * SECOND)
        job_id = add(db, server, id=next(soon), every="1 second", starts_at=now.replace(microsecond=0), overlap="allow")
        border = shift_end(job_id, now, length)
        old = asyncio.create_task(stand(post, job_id, now, "old"))
        await until(lambda: server.received)
        if how == "is_active":
            db.execute("update job set is_active=false")
        else:
            db.execute("update job set paused_until=%s", (border+2*SECOND,))
        new = asyncio.create_task(stand(other if elsewhere else post, job_id, border, "new"))
        await asyncio.sleep((border - utcnow()).total_seconds() + 2.2)
        db.execute("update job set is_active = true")
        await asyncio.sleep(2)
        db.execute("delete from job")
        await asyncio.gather(old, new)
        show(executions(db), server)

@pytest.mark.parametrize("misfire", ["latest", "all", "skip"])
async def test_jitter(database_url, db, misfire):
    """x"""
    async with stage(database_url, lease_seconds=60) as (post, server):
        now = utcnow()
        start=now.replace(microsecond=0)+SECOND
        job_id = next(i for i in range(1000, 99999) if 6.5*SECOND < Schedule(now, i, jitter=8*SECOND).delay(start) < 7*SECOND)
        job_id = add(db, server, id=job_id, every="8 seconds", starts_at=start, jitter="8 seconds", max_lateness="1 second", misfire=misfire)
        old = asyncio.create_task(stand(post, job_id, now, "old"))
        await until(lambda: sum(r["finished_at"] is not None for r in executions(db))==2)
        db.execute("delete from job")
        await old
        show(executions(db), server)

"""A shift that holds many occurrences, on a real database and a real HTTP server."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.shifts.shift import Ending
from include.store.db import DictConnection
from tests.shift_stage import add, answering, executions, stage, stand, until

SECOND = timedelta(seconds=1)


async def test_a_fast_schedule_fires_every_occurrence_of_its_shift(database_url: str, db: DictConnection) -> None:
    """Every second, on the second; when the schedule ends, so does the shift."""
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0) + 4 * SECOND
        job_id = add(db, server, every="1 second", starts_at=start, ends_at=start + 4 * SECOND, overlap="allow")
        ending = await stand(post, job_id, start)
    assert ending == Ending("success", "4 success")
    rows = executions(db)
    assert [row["scheduled_for"] for row in rows] == [start + number * SECOND for number in range(4)]
    assert all(row["started_at"] >= row["scheduled_for"] for row in rows)


async def test_a_fast_shift_follows_its_row(database_url: str, db: DictConnection) -> None:
    """Edited, paused, resumed and deleted, the shift on duty does what the row says, and needs no new run."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 second")
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: server.received)
        db.execute("update job set payload = %s", (f'{{"url": "{server.url("/new")}"}}',))
        await until(lambda: server.received[-1].path == "/new")
        db.execute("update job set is_active = false")
        await asyncio.sleep(0.2)
        count = len(server.received)
        await asyncio.sleep(2.2)
        assert len(server.received) == count
        db.execute("update job set is_active = true")
        await until(lambda: len(server.received) > count)
        db.execute("delete from job")
        assert (await shift).state == "success"
    statuses = {row["status"] for row in executions(db)}
    assert statuses == {"success", "missed"}


async def test_a_faster_schedule_takes_effect_on_duty(database_url: str, db: DictConnection) -> None:
    """From every 50 s to every second, by SQL: the next call comes within seconds, in the same shift."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="50 seconds", starts_at=utcnow() + SECOND)
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) == 1)
        db.execute("update job set every = '1 second'")
        await until(lambda: len(server.received) >= 3)
        db.execute("update job set every = '2 minutes'")
        assert (await shift).state == "success"


async def test_retries_within_a_shift_keep_to_the_policy(database_url: str, db: DictConnection) -> None:
    """Where a run holds many occurrences, the shift retries itself: same key, same row, then failed and red."""
    async with stage(database_url, answering(503)) as (post, server):
        start = utcnow().replace(microsecond=0) + 2 * SECOND
        job_id = add(db, server, every="30 seconds", starts_at=start, ends_at=start + SECOND,
                     retries=2, retry_delay="0.1 seconds")  # fmt: skip
        ending = await stand(post, job_id, start)
        assert [r.headers["webhook-id"] for r in server.received] == [webhook_id(job_id, start)] * 3
    assert ending == Ending("failed", "1 failed")
    [row] = executions(db)
    assert [attempt["code"] for attempt in row["attempts"]] == [503, 503, 503]


@pytest.mark.parametrize(("overlap", "most"), [("skip", 1), ("queue", 1), ("allow", 9)])
async def test_overlap_within_a_shift(database_url: str, db: DictConnection, overlap: str, most: int) -> None:
    """Calls that take longer than the interval: skipped with a reason, queued one deep, or let run side by side."""
    under_way, peak = 0, 0

    async def slow(_request: web.Request) -> web.StreamResponse:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(1.5)
        under_way -= 1
        return web.Response()

    async with stage(database_url, slow) as (post, server):
        job_id = add(db, server, every="1 second", overlap=overlap)
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: sum(row["status"] == "success" for row in executions(db)) >= 2)
        db.execute("delete from job")
        await shift
    rows = executions(db)
    assert (peak == 1) if most == 1 else (peak > 1)
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert all("still running" in str(row["reason"]) for row in skipped)
    assert bool(skipped) == (overlap == "skip") or overlap == "queue"

"""The account of what fell due has no hole, whoever was on duty and whatever happened meanwhile; it is made once."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest
from aiohttp import web

from include.deadline import within
from include.shifts.bell import utcnow
from include.shifts.window import shift_end
from include.store.db import DictConnection
from tests.shift_stage import add, assert_each_once, executions, known_since, of, opened_post, stage, stand, until

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def test_what_is_missed_is_written_once(
    database_url: str, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """All that is owed is too late, and nothing follows: it is named in one go, and the shift ends."""
    caplog.set_level(logging.WARNING, "include.shifts.job")
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(
            db, server, every="10 seconds", starts_at=now - 55 * SECOND, ends_at=now - SECOND, max_lateness="0"
        )
        known_since(db, job_id, now - 56 * SECOND, accounted=now - 55 * SECOND)
        ending = await within(30, stand(post, job_id, now - 55 * SECOND))
        assert not server.received
    assert ending.state == "success"
    assert [row["status"] for row in executions(db)] == ["success"] + ["missed"] * 5
    assert [record.getMessage() for record in caplog.records] == ["5 missed: nobody was on duty in time"]


async def slowly(_request: web.Request) -> web.StreamResponse:
    """An answer that takes its time."""
    await asyncio.sleep(0.6)
    return web.Response()


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
async def test_late_runs_that_come_together_make_up_for_all(
    database_url: str, db: DictConnection, overlap: str
) -> None:
    """The run from before a downtime is at work when the one from after it comes: each occurrence is made up for."""
    async with stage(database_url, slowly) as (post, server):
        newest = utcnow() - MINUTE
        first = newest - 30 * MINUTE
        job_id = add(db, server, every="10 minutes", starts_at=first, misfire="all", overlap=overlap)
        known_since(db, job_id, first - MINUTE)
        before = asyncio.create_task(stand(post, job_id, first, "from before"))
        await until(lambda: server.received)
        await stand(post, job_id, newest, "from after")
        await before
        assert_each_once(executions(db), 10 * MINUTE, server)
    assert [row["status"] for row in executions(db)] == ["success"] * 4


@pytest.mark.e2e
@pytest.mark.parametrize("column", ["is_active", "paused_until"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_pause_over_a_change_of_shifts_leaves_no_hole(
    database_url: str, db: DictConnection, column: str, elsewhere: bool
) -> None:
    """The shift that is on duty when a pause ends names what was missed, in the time of the shift before too."""
    length = 60 * SECOND
    async with stage(database_url, shift_seconds=60) as (post, server), opened_post(database_url) as other:
        now = utcnow()
        soon = (i for i in range(1000, 9999) if 2 * SECOND < shift_end(i, now, length) - now < 3 * SECOND)
        job_id = add(db, server, id=next(soon), every="1 second", starts_at=now.replace(microsecond=0))
        border = shift_end(job_id, now, length)
        old = asyncio.create_task(stand(post, job_id, now, "old"))
        await until(lambda: server.received)
        off = "is_active = false" if column == "is_active" else f"paused_until = '{border + SECOND}'"
        db.execute(f"update job set {off}")
        new = asyncio.create_task(stand(other if elsewhere else post, job_id, border, "new"))
        await until(lambda: utcnow() > border + SECOND)
        db.execute("update job set is_active = true")
        await until(lambda: of(db, job_id)[-1]["scheduled_for"] > border + 2 * SECOND)
        db.execute("delete from job")
        await asyncio.gather(old, new)
        assert_each_once(of(db, job_id), SECOND, server)
    assert "the job was paused" in {row["reason"] for row in of(db, job_id) if row["status"] == "missed"}

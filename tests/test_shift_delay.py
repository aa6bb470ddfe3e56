"""A fixed delay: `every` is counted from the end of the execution before."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

from aiohttp import web

from include.shifts.bell import utcnow
from include.shifts.duty import Duty
from include.shifts.shift import Shift
from include.store.db import DictConnection
from tests.shift_stage import add, executions, known_since, opened_post, stage, stand, until

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


async def slow(_request: web.Request) -> web.StreamResponse:
    """An answer that takes its time."""
    await asyncio.sleep(0.4)
    return web.Response(text="ok")


async def test_each_is_due_so_long_after_the_end_of_the_one_before(database_url: str, db: DictConnection) -> None:
    """However long an execution takes, the pause after it is as long as the row says, to the microsecond."""
    async with stage(database_url, slow) as (post, server):
        job_id = add(db, server, every="1 second", every_mode="fixed_delay", starts_at=utcnow())
        on_duty = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: sum(row["status"] == "success" for row in executions(db)) >= 3)
        db.execute("delete from job")
        assert (await on_duty).state == "success"
    done = [row for row in executions(db) if row["status"] == "success"]
    for earlier, later in pairwise(done):
        assert later["scheduled_for"] == earlier["finished_at"] + SECOND
        assert later["started_at"] >= later["scheduled_for"]


async def test_the_delay_holds_over_a_change_of_shifts(database_url: str, db: DictConnection) -> None:
    """The next shift goes on from the end that is in the ledger, on another machine too, and nothing fires twice."""
    async with stage(database_url, slow) as (post, server), opened_post(database_url) as other:
        job_id = add(db, server, every="1 second", every_mode="fixed_delay", starts_at=utcnow())
        old = asyncio.create_task(stand(post, job_id, utcnow(), "old"))
        await until(lambda: len(server.received) >= 2)
        new = asyncio.create_task(stand(other, job_id, utcnow(), "new"))
        await until(lambda: len(server.received) >= 5)
        db.execute("delete from job")
        await asyncio.gather(old, new)
    done = [row for row in executions(db) if row["status"] == "success"]
    assert all(later["scheduled_for"] == earlier["finished_at"] + SECOND for earlier, later in pairwise(done))


async def test_after_a_downtime_one_is_owed(database_url: str, db: DictConnection) -> None:
    """The one that was due while nobody was on duty is executed if it is not too late; there were no others."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 minute", every_mode="fixed_delay")
        db.execute("update job set schedule_changed_at = now() - interval '2 hours'")
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at)"
            " values (%s, now() - interval '12 minutes', 'success', now() - interval '11 minutes')",
            (job_id,),
        )
        on_duty = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) == 1)
        db.execute("delete from job")
        await on_duty
    before, made = (row for row in executions(db) if row["status"] == "success")
    assert made["scheduled_for"] == before["finished_at"] + timedelta(minutes=1)


async def test_what_is_too_late_is_missed_and_the_delay_begins_anew(database_url: str, db: DictConnection) -> None:
    """Later than max_lateness, the occurrence that was owed is named as missed, and the next is due after the delay."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="2 seconds", every_mode="fixed_delay", max_lateness="1 minute")
        db.execute("update job set schedule_changed_at = now() - interval '2 hours'")
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at)"
            " values (%s, now() - interval '12 minutes', 'success', now() - interval '11 minutes')",
            (job_id,),
        )
        on_duty = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) == 1)
        db.execute("delete from job")
        await on_duty
    rows = [row for row in executions(db) if row["reason"] != "the job was deleted"]
    assert [row["status"] for row in rows] == ["success", "missed", "success"]
    assert rows[2]["scheduled_for"] == rows[1]["finished_at"] + timedelta(seconds=2)


async def test_a_pause_takes_effect_and_ends(database_url: str, db: DictConnection) -> None:
    """Paused, nothing fires; resumed, what was due meanwhile does, once."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="3 seconds", every_mode="fixed_delay", starts_at=utcnow())
        on_duty = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) == 1)
        db.execute("update job set is_active = false")
        await asyncio.sleep(3.5)
        assert len(server.received) == 1
        db.execute("update job set is_active = true")
        await until(lambda: len(server.received) >= 3)
        db.execute("delete from job")
        await on_duty
    done = [row for row in executions(db) if row["status"] == "success"]
    assert all(later["scheduled_for"] == earlier["finished_at"] + 3 * SECOND for earlier, later in pairwise(done))


async def test_a_delay_longer_than_a_shift_ends_in_a_later_one(database_url: str, db: DictConnection) -> None:
    """A shift in which nothing will be due ends at once and leaves no trace; the one in which it is due fires it."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(db, server, every="1 day", every_mode="fixed_delay", starts_at=now - 240 * HOUR)
        known_since(db, job_id, now - 264 * HOUR, accounted=now - 21 * HOUR)
        assert (await stand(post, job_id, now, "early")).state == "success"
        assert len(executions(db)) == 1
        db.execute("update execution set finished_at = %s", (now - 24 * HOUR + SECOND,))
        on_duty = asyncio.create_task(stand(post, job_id, now, "in time"))
        await until(lambda: len(server.received) == 1)
        assert (await on_duty).state == "success"
    made = executions(db)[1]
    assert (made["scheduled_for"], made["status"]) == (now + SECOND, "success")
    assert made["started_at"] >= now + SECOND


async def test_the_end_of_a_pause_claims_nothing_ahead(database_url: str, db: DictConnection) -> None:
    """When `paused_until` has passed, what is due later stays due later: runs by hand and edits find the row free."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(db, server, every="1 hour", every_mode="fixed_delay")
        db.execute("update job set paused_until = now() + interval '0.5 seconds'")
        known_since(db, job_id, now - 2 * HOUR, accounted=now - HOUR / 3)
        on_duty = asyncio.create_task(stand(post, job_id, now))
        await asyncio.sleep(1.2)
        assert len(executions(db)) == 1
        assert (await stand(post, job_id, utcnow(), "by hand", by_hand=True)).state == "success"
        db.execute("update job set every = '1 second'")
        await until(lambda: len(server.received) >= 2)
        db.execute("delete from job")
        await on_duty


async def test_an_edit_while_the_next_is_awaited_is_no_ghost(database_url: str, db: DictConnection) -> None:
    """Claimed for an instant that the edited row does not have, an occurrence is not sent, and the ledger says why."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="2 seconds", every_mode="fixed_delay")
        board = await post.ledger.board(job_id, "run")
        assert board is not None
        duty = Duty(Shift(job_id, utcnow(), "run", 1), post, board.job)
        with post.on_duty(duty):
            claimed_ahead = asyncio.create_task(duty.execute(utcnow() + 4 * SECOND))
            await until(lambda: executions(db))
            db.execute("update job set every = '1 hour'")
            made = await claimed_ahead
        assert not server.received
    assert made is not None
    assert made.status == "skipped"
    assert [(row["status"], row["reason"]) for row in executions(db)] == [("skipped", "the schedule was changed")]

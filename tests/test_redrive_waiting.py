"""Redrives that have to wait are let go of: they keep no pump from ending, no timer from firing, nobody's place."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from aiohttp import web

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from include.store.ledger import Result, Wish
from tests.shift_stage import add, answering, executions, opened_post, stage, until
from tests.test_redrive import fail, pump_once, pumping, queue_of
from tests.test_store import one
from tests.timer_rows import add_timer, has_status, shift_of_pump
from tests.timer_rows import pumping as on_duty

HOUR = timedelta(hours=1)


async def test_one_that_is_to_be_retried_is_let_go(database_url: str, db: DictConnection) -> None:
    """Its attempt failed, it is nobody's until its policy has it made again, by whoever is on duty then."""
    async with stage(database_url, answering(503, 200)) as (post, server):
        fail(db, add(db, server, retries=1, retry_delay="1 hour", retry_jitter=0))
        await pump_once(post)
        row = one(db, "select * from execution")
        assert (row["status"], row["attempt"], row["claimed_by"]) == ("retrying", 2, None)
        assert timedelta(minutes=59) < row["redrive_at"] - utcnow() < HOUR
        await pump_once(post)
        assert len(server.received) == 1
        db.execute("update execution set redrive_at = now()")
        await pump_once(post)
    row = one(db, "select * from execution")
    assert (row["status"], row["attempt"], row["base_attempt"], row["redrive_at"]) == ("success", 3, 1, None)
    assert row["dag_run_id"] == "its own"


async def test_timers_have_a_room_of_their_own(database_url: str, db: DictConnection) -> None:
    """Redrives whose calls never end take some of the places of a pump, and leave the others to timers."""

    async def never_for_jobs(request: web.Request) -> web.StreamResponse:
        if request.path != "/timer":
            await asyncio.sleep(60)
        return web.Response()

    async with stage(database_url, never_for_jobs, concurrency=8) as (post, server):
        for number in range(8):
            fail(db, add(db, server, f"j{number}"))
        async with on_duty(post):
            await until(lambda: len(server.received) == 2)
            for _ in range(20):
                add_timer(db, server.url("/timer"), due_at=utcnow())
            await until(lambda: has_status(db, "fired"))
    assert Counter(request.path == "/timer" for request in server.received) == {True: 20, False: 2}


async def test_what_is_busy_holds_no_place(database_url: str, db: DictConnection) -> None:
    """With room for one redrive, one that must not overlap does not keep another job's waiting."""
    async with stage(database_url, concurrency=4) as (post, server), opened_post(database_url) as elsewhere:
        busy, free = add(db, server, "busy"), add(db, server, "free")
        now = utcnow()
        assert (await elsewhere.ledger.claim(Wish(busy, now, 0, "run", 1, manual=True, claim=7))).verdict == "mine"
        fail(db, busy, 9)
        fail(db, free, 5)
        async with pumping(post):
            await until(lambda: server.received)
            assert [request.path for request in server.received] == ["/free"]
            await elsewhere.ledger.finish(Result(busy, now, 7, 1, "success", now, now, {"attempt": 1}))
            await until(lambda: len(server.received) == 2)


async def test_a_run_by_hand_redrives_more_jobs_than_it_has_room_for(database_url: str, db: DictConnection) -> None:
    """It ends when nothing that can be made is left."""
    async with stage(database_url, concurrency=1) as (post, server):
        for number in range(5):
            fail(db, add(db, server, f"j{number}"))
        await pump_once(post)
    assert [row["status"] for row in executions(db)] == ["success"] * 5


async def test_a_relieved_pump_leaves_the_rest_to_the_next(database_url: str, db: DictConnection) -> None:
    """It finishes the redrive that is under way and begins no other; the next pump goes on at once."""
    answers = asyncio.Semaphore(0)

    async def handle(_request: web.Request) -> web.StreamResponse:
        await answers.acquire()
        return web.Response()

    async with stage(database_url, handle) as (post, server):
        job_id = add(db, server, overlap="allow")
        for minutes_ago in range(1, 6):
            fail(db, job_id, minutes_ago)
        async with on_duty(post) as [before]:
            await until(lambda: server.received)
            async with on_duty(post, shifts=[shift_of_pump(due=utcnow())]):
                await asyncio.sleep(0.1)
                answers.release()
                await asyncio.wait([before])
                assert Counter(row["status"] for row in executions(db) if row["attempt"] == 2)["success"] == 1
                for _ in range(4):
                    answers.release()
                await until(lambda: all(row["status"] == "success" for row in executions(db)))
    assert len(server.received) == 5


async def test_what_a_cancelled_pump_had_begun_is_free_at_once(database_url: str, db: DictConnection) -> None:
    """No hold is left on it: the next pump need not wait for that to run out."""
    first = asyncio.Event()

    async def handle(_request: web.Request) -> web.StreamResponse:
        if not first.is_set():
            first.set()
            await asyncio.sleep(60)
        return web.Response()

    async with stage(database_url, handle) as (here, server), opened_post(database_url) as there:
        fail(db, add(db, server))
        async with pumping(here):
            await first.wait()
        assert one(db, "select redrive_at <= now() as free from execution")["free"]
        await pump_once(there)
    assert [row["status"] for row in executions(db)] == ["success"]


async def test_one_that_airflow_has_let_go_of_holds_up_nothing(database_url: str, db: DictConnection) -> None:
    """Asked for, then cleared in Airflow and to be retried there: it is sent, and the others of its job after it."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server)
        fail(db, job_id, 9, status="retrying", attempt=2, base_attempt=1, finished_at=None, dag_run_id="cleared")
        fail(db, job_id, 5)
        await pump_once(post)
        assert len(server.received) == 2
    assert [(row["status"], row["redrive_at"]) for row in executions(db)] == [("success", None)] * 2


async def test_the_more_jobs_wait_the_later_each_comes_back(database_url: str, db: DictConnection) -> None:
    """However soon each could be made again: a pump with a thousand of them has time for others."""
    async with stage(database_url, answering(503)) as (post, server):
        for number in range(40):
            fail(db, add(db, server, f"j{number}", retries=9, retry_delay="0.001 seconds"))
        async with queue_of(post) as queue:
            await asyncio.gather(*(work() for work in await queue.take(40)))
        asked = one(db, "select max(redrive_at) > now() + interval '1 second' as later, count(*) from execution")
    assert (asked["later"], asked["count"]) == (True, 40)

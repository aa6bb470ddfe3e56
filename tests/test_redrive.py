"""Dead letters of jobs are sent again: in their own row, one at a time, once each, whatever crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.shifts.post import Post
from include.shifts.pump import Pump
from include.shifts.redrive import Redrives
from include.shifts.shift import Shift
from include.store import dead_letters
from include.store.db import DictConnection
from include.store.ledger import Result, Wish
from tests.test_shifts import add, answering, executions, opened_post, stage, stand, until
from tests.test_store import one

MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def queue_of(post: Post) -> AsyncIterator[Redrives]:
    queue = Redrives(Shift(1, utcnow(), "pump", 1, table="timer"), post)
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def pumping(*posts: Post) -> AsyncIterator[None]:
    """A pump of each post, on duty meanwhile."""
    if not posts:
        yield
        return
    shift = Shift(1, utcnow(), "pump", 1, table="timer")
    async with queue_of(posts[0]) as queue, pumping(*posts[1:]):
        pump = Pump(shift, posts[0], [queue])
        with posts[0].on_duty(pump):
            work = asyncio.create_task(pump.work())
            try:
                yield
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)


async def pump_once(post: Post) -> None:
    """Have everything redriven that can be now."""
    async with queue_of(post) as queue:
        await Pump(Shift(1, utcnow(), "pump", 1, table="timer", by_hand=True), post, [queue]).work()


def fail(db: DictConnection, job_id: int, minutes_ago: float = 5, *, asked: bool = True, **columns: Any) -> datetime:
    """A failed execution as a shift leaves it after one attempt, and, unless told otherwise, asked for; its instant."""
    due = utcnow() - minutes_ago * MINUTE
    given = {
        "job_id": job_id,
        "scheduled_for": due,
        "status": "failed",
        "attempt": 1,
        "attempts": '[{"attempt": 1, "code": 500}]',
        "started_at": due,
        "finished_at": due,
        "error": "HTTP 500",
        "dag_run_id": "its own",
        "try_number": 2,
        "redrive_at": utcnow() - timedelta(seconds=1) if asked else None,
        **columns,
    }
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    db.execute(f"insert into execution ({names}) values ({marks})", given)
    return due


async def test_it_goes_on_in_its_own_row(database_url: str, db: DictConnection) -> None:
    """Redriven with success, the same row has one attempt more, and the call the same webhook-id."""
    async with stage(database_url, answering(404, 200)) as (post, server):
        job_id, due = add(db, server), utcnow()
        await stand(post, job_id, due, "by hand", by_hand=True)
        before = one(db, "select status, started_at, dag_run_id, try_number, origin from execution")
        assert before["status"] == "failed"
        assert dead_letters.redrive_executions(db, [(job_id, due)]) == [(job_id, due)]
        await pump_once(post)
        assert [request.headers["webhook-id"] for request in server.received] == [webhook_id(job_id, due)] * 2
    [row] = executions(db)
    assert [attempt["code"] for attempt in row["attempts"]] == [404, 200]
    assert (row["attempt"], row["base_attempt"], row["error"]) == (2, 1, None)
    assert (row["redrive_at"], row["claimed_by"]) == (None, None)
    assert {name: row[name] for name in before} == {**before, "status": "success"}


async def test_retries_start_again(database_url: str, db: DictConnection) -> None:
    """The retry policy counts from the redrive on, and its attempts are added to those before."""
    async with stage(database_url, answering(503, 503, 200)) as (post, server):
        job_id = add(db, server, retries=2, retry_delay="0.01 seconds")
        fail(db, job_id, attempt=3, attempts='[{"code": 1}, {"code": 2}, {"code": 3}]')
        async with pumping(post):
            await until(lambda: executions(db)[0]["status"] == "success")
    [row] = executions(db)
    assert (row["status"], row["attempt"], row["base_attempt"]) == ("success", 6, 3)
    assert [attempt["code"] for attempt in row["attempts"]] == [1, 2, 3, 503, 503, 200]


async def test_what_fails_again_is_dead_again(database_url: str, db: DictConnection) -> None:
    """Redriven in vain, it is a dead letter as before, with what was learnt; nothing is left to be sent."""
    async with stage(database_url, answering(410)) as (post, server):
        fail(db, add(db, server))
        await pump_once(post)
        assert len(server.received) == 1
        async with queue_of(post) as queue:
            assert await queue.next_at() is None
    [letter] = dead_letters.of_jobs(db, ["dead"])
    assert (letter["attempt"], letter["redrive_at"]) == (2, None)
    assert "410" in letter["error"]


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
async def test_it_waits_for_what_it_must_not_overlap(database_url: str, db: DictConnection, overlap: str) -> None:
    """While an execution of the job is under way, in another process too, only `allow` lets a redrive begin."""
    async with stage(database_url) as (post, server), opened_post(database_url) as elsewhere:
        job_id, now = add(db, server, overlap=overlap), utcnow()
        wish = Wish(job_id, now, 0, "run", 1, manual=True, claim=7)
        assert (await elsewhere.ledger.claim(wish)).verdict == "mine"
        due = fail(db, job_id, asked=False)
        async with pumping(post):
            dead_letters.redrive_executions(db, [(job_id, due)])
            if overlap == "allow":
                await until(lambda: server.received)
                return
            await asyncio.sleep(0.8)
            assert not server.received
            assert [row["status"] for row in executions(db)] == ["failed", "running"]
            ended = Result(job_id, now, 7, 1, "success", now, now, {"attempt": 1})
            assert await elsewhere.ledger.finish(ended)
            await until(lambda: executions(db)[0]["status"] == "success")


async def test_two_pumps_send_each_once_and_of_a_job_one_at_a_time(database_url: str, db: DictConnection) -> None:
    """Many at once, over two processes: every one is sent once, and never two of one job together."""
    under_way: Counter[str] = Counter()

    async def slow(request: web.Request) -> web.StreamResponse:
        under_way[request.path] += 1
        assert under_way[request.path] == 1
        await asyncio.sleep(0.02)
        under_way[request.path] -= 1
        return web.Response()

    async with stage(database_url, slow) as (first, server), opened_post(database_url) as second:
        for number in range(20):
            job_id = add(db, server, f"j{number}", overlap="allow")
            for minutes_ago in range(1, 16 if number == 0 else 4):
                fail(db, job_id, minutes_ago, asked=False)
        keys = [(row["job_id"], row["scheduled_for"]) for row in executions(db)]
        async with pumping(first, second):
            assert len(dead_letters.redrive_executions(db, keys)) == len(keys)
            await until(lambda: not dead_letters.of_jobs(db, ["dead", "redriving"]))
        ids = [request.headers["webhook-id"] for request in server.received]
    assert sorted(ids) == sorted(webhook_id(job_id, due) for job_id, due in keys)
    assert {(row["status"], row["attempt"]) for row in executions(db)} == {("success", 2)}


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
async def test_a_dead_owner_is_taken_over(database_url: str, db: DictConnection, delivery: str) -> None:
    """Its process died while it was sent again: it is sent once more with the same key, or, at most once, never."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, delivery=delivery)
        due = fail(
            db, job_id, status="running", finished_at=None, attempt=2, base_attempt=1, claimed_by=uuid4(), claim=1
        )
        await pump_once(post)
        ids = [request.headers["webhook-id"] for request in server.received]
    [row] = executions(db)
    assert row["attempts"][1]["error"] == "the process that was sending it died"
    if delivery == "at_least_once":
        assert (row["status"], row["attempt"], ids) == ("success", 3, [webhook_id(job_id, due)])
    else:
        assert (row["status"], row["reason"], row["redrive_at"], ids) == ("failed", "unknown outcome", None, [])


async def test_a_cancelled_pump_lets_go(database_url: str, db: DictConnection) -> None:
    """Moved to another process in the middle of a redrive, it is taken over there at once, with the same key."""

    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError

    async with stage(database_url, never) as (first, server), opened_post(database_url) as second:
        fail(db, add(db, server))
        async with pumping(first):
            await until(lambda: server.received)
        db.execute("update execution set redrive_at = now()")  # what it was held for has passed
        async with pumping(second):
            await until(lambda: len(server.received) == 2)
        assert len({request.headers["webhook-id"] for request in server.received}) == 1


async def test_a_paused_job_is_redriven(database_url: str, db: DictConnection) -> None:
    """A person asks for it, and a pause is about what nobody asks for."""
    async with stage(database_url) as (post, server):
        fail(db, add(db, server, is_active=False))
        await pump_once(post)
    assert [row["status"] for row in executions(db)] == ["success"]


async def test_what_cannot_be_redriven_here_is_left_alone(database_url: str, db: DictConnection) -> None:
    """Of a removed job nothing is taken, nor of a kind that runs on a worker; an unknown kind says what is wrong."""
    async with stage(database_url) as (post, server):
        removed, unknown = add(db, server, "removed"), add(db, server, "unknown", kind="webhok")
        on_worker = add(db, server, "on worker", kind="python")
        for job_id in (removed, unknown, on_worker):
            fail(db, job_id)
        db.execute("delete from job where id = %s", (removed,))
        await pump_once(post)
        async with queue_of(post) as queue:
            assert await queue.next_at() is None
        assert not server.received
    by_job = {row["job_id"]: row for row in executions(db)}
    assert [by_job[job_id]["attempt"] for job_id in (removed, unknown, on_worker)] == [1, 2, 1]
    assert "did you mean 'webhook'" in by_job[unknown]["error"]
    assert by_job[on_worker]["redrive_at"] is not None


async def test_what_was_taken_and_forgotten_comes_back(database_url: str, db: DictConnection) -> None:
    """What one pump has taken, another does not get for the length of a lease; then it does."""
    async with stage(database_url) as (post, server):
        fail(db, add(db, server))
        async with queue_of(post) as first, queue_of(post) as second:
            soon = await second.next_at()
            assert soon is not None
            assert soon <= utcnow()
            assert len(await first.take(10)) == 1
            assert await second.take(10) == []
            later = await second.next_at()
            assert later is not None
            assert later > utcnow() + timedelta(seconds=5)
            db.execute("update execution set redrive_at = redrive_at - interval '10 seconds'")
            [work] = await second.take(10)
            await work()
            assert await second.next_at() is None
        assert len(server.received) == 1


async def test_the_oldest_of_each_job_comes_first(database_url: str, db: DictConnection) -> None:
    """At most so many jobs are taken, those with the oldest first; each sees to all of its own, in order."""
    async with stage(database_url) as (post, server):
        young, old = add(db, server, "young"), add(db, server, "old")
        fail(db, young, 3)
        due = [fail(db, old, minutes_ago) for minutes_ago in (9, 7, 5)]
        async with queue_of(post) as queue:
            [work] = await queue.take(1)
            await work()
        assert [request.headers["webhook-id"] for request in server.received] == [webhook_id(old, at) for at in due]


async def test_a_discarded_one_is_not_sent_after_all(database_url: str, db: DictConnection) -> None:
    """Discarded while it waits for its turn, it is not sent."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server)
        due = fail(db, job_id)
        async with queue_of(post) as queue:
            [work] = await queue.take(1)
            assert dead_letters.discard_executions(db, [(job_id, due)]) == [(job_id, due)]
            await work()
        assert not server.received
    assert [(row["status"], row["attempt"]) for row in executions(db)] == [("failed", 1)]

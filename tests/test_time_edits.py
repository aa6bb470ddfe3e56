"""No edit makes an occurrence run twice: not of other columns, not of the jitter, not of a schedule and back again."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.shift_stage import add, assert_each_once, executions, of, opened_post, stage, stand, until

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)

OTHER_COLUMNS = {
    "payload": 'payload = payload || \'{"headers": {"x-edited": "1"}}\'',
    "timeout": "timeout = timeout + interval '1 second'",
    "notify": 'notify = \'{"on": ["missed"], "kind": "webhook", "payload": {"url": "http://127.0.0.1:9/"}}\'',
    "retries": "retries = 7, retry_delay = '1 second', retry_backoff = 3, no_retry_on = '{503}'",
    "jitter": "jitter = '300 ms'",
    "overlap": "overlap = 'allow'",
    "misfire": "misfire = 'all', max_lateness = '1 day'",
    "breaker": "disable_after = 5, half_open = true, probe_every = '2 minutes'",
    "name": "name = name || '!', owner = 'ann'",
}


class Gate:
    """A server's handler that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def handle(self, _request: web.Request) -> web.StreamResponse:
        await self.open.wait()
        return web.Response()


async def test_an_edit_of_other_columns_repeats_nothing_that_is_armed(database_url: str, db: DictConnection) -> None:
    """Whatever else is edited between arming and the instant, the occurrence is executed once, and no sooner."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 1.5 * SECOND
        ids = {name: add(db, server, name, run_at=due) for name in OTHER_COLUMNS}
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in ids.values()]
        while utcnow() < due - 0.2 * SECOND:
            for name, job_id in ids.items():
                db.execute(f"update job set {OTHER_COLUMNS[name]} where id = %s", (job_id,))
            await asyncio.sleep(0.1)
        await asyncio.gather(*shifts)
        for job_id in ids.values():
            await stand(post, job_id, due, "again")
        assert sorted(request.path for request in server.received) == sorted(f"/{name}" for name in ids)
    assert all(row["status"] == "success" and row["started_at"] >= due for row in executions(db))


async def test_an_edit_of_other_columns_repeats_nothing_that_is_running(database_url: str, db: DictConnection) -> None:
    """Whatever else is edited while an answer is awaited, there is one call, and its outcome counts."""
    gate = Gate()
    async with stage(database_url, gate.handle) as (post, server):
        due = utcnow()
        ids = {name: add(db, server, name, run_at=due) for name in OTHER_COLUMNS}
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in ids.values()]
        await until(lambda: len(server.received) == len(ids))
        for name, job_id in ids.items():
            db.execute(f"update job set {OTHER_COLUMNS[name]} where id = %s", (job_id,))
        await asyncio.sleep(0.5)
        gate.open.set()
        assert {ending.state for ending in await asyncio.gather(*shifts)} == {"success"}
        assert len(server.received) == len(ids)
    assert all((row["status"], row["attempt"]) == ("success", 1) for row in executions(db))


async def test_a_fast_shift_that_is_edited_all_the_time_loses_and_doubles_nothing(
    database_url: str, db: DictConnection
) -> None:
    """Thirty edits a second of columns that are no schedule: every occurrence is executed, once, on the grid."""
    choice = random.Random(4)
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0) + 4 * SECOND
        window = {"starts_at": start, "ends_at": start + 4 * SECOND}
        job_id = add(db, server, every="1 second", overlap="allow", **window)
        shift = asyncio.create_task(stand(post, job_id, start))
        while not shift.done():
            db.execute(f"update job set {choice.choice(list(OTHER_COLUMNS.values()))}")
            await asyncio.sleep(0.03)
        assert (await shift).line == "4 success"
        assert_each_once(executions(db), SECOND, server)


@pytest.mark.parametrize(
    ("schedule", "other"),
    [
        ("every = '2 minutes'", "every = '7 minutes'"),
        ("every = '2 minutes'", "every = null, cron = '0 0 1 1 *'"),
        ("ends_at = null", "ends_at = starts_at + interval '1 microsecond'"),
    ],
)
async def test_a_schedule_that_is_edited_and_edited_back_fires_once(
    database_url: str, db: DictConnection, schedule: str, other: str
) -> None:
    """The run of the old schedule and the one that Airflow makes for the same instant of the new one are one fire."""
    async with stage(database_url) as (post, server), opened_post(database_url) as elsewhere:
        due = utcnow() + 1.5 * SECOND
        job_id = add(db, server, every="2 minutes", starts_at=due - 2 * MINUTE)
        shifts = [asyncio.create_task(stand(post, job_id, due, "before"))]
        await asyncio.sleep(0.3)
        with db.transaction():
            db.execute(f"update job set {other}")
            db.execute(f"update job set cron = null, {schedule}")
        shifts += [asyncio.create_task(stand(place, job_id, due, "after")) for place in (post, elsewhere)]
        await asyncio.gather(*shifts)
        assert len(server.received) == 1
    assert [(row["status"], row["attempt"]) for row in executions(db)] == [("success", 1)]


async def test_an_instant_that_was_executed_is_not_due_again(database_url: str, db: DictConnection) -> None:
    """`run_at` moved away after it has run, and back: the run that Airflow makes for it finds that it is done."""
    async with stage(database_url) as (post, server):
        due = utcnow()
        job_id = add(db, server, run_at=due)
        assert (await stand(post, job_id, due)).state == "success"
        db.execute("update job set run_at = run_at + interval '1 hour'")
        db.execute("update job set run_at = %s", (due,))
        await stand(post, job_id, due, "again")
        assert len(server.received) == 1
    assert [(row["status"], row["dag_run_id"], row["attempt"]) for row in executions(db)] == [("success", "run", 1)]


async def test_a_fast_schedule_that_is_edited_and_edited_back_doubles_nothing(
    database_url: str, db: DictConnection
) -> None:
    """Every second, every two, a cron, and back, again and again: no instant fires twice, none is lost at the end."""
    edits: list[dict[str, Any]] = [
        {"every": 2 * SECOND, "cron": None},
        {"every": None, "cron": "* * * * * *"},
        {"every": SECOND, "cron": None},
    ]
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0)
        job_id = add(db, server, every="1 second", starts_at=start)
        shift = asyncio.create_task(stand(post, job_id, start))
        await until(lambda: server.received)
        for number in range(12):
            db.execute("update job set every = %(every)s, cron = %(cron)s", edits[number % 3])
            await asyncio.sleep(0.25)
        settled = utcnow()
        await until(lambda: of(db, job_id)[-1]["scheduled_for"] > settled + 2 * SECOND)
        db.execute("delete from job")
        await shift
        keys = [request.headers["webhook-id"] for request in server.received]
    assert len(keys) == len(set(keys))
    rows = of(db, job_id)
    assert all((row["scheduled_for"] - start) % SECOND == timedelta(0) for row in rows)
    after = [row["scheduled_for"] for row in rows if row["scheduled_for"] > settled]
    assert after == [after[0] + number * SECOND for number in range(len(after))]

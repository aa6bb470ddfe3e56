"""What tests of shifts share: a post on a real database, a real HTTP server, and a row to be on duty for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from aiohttp import web

from include.settings import Settings
from include.shifts import job as job_shift
from include.shifts.execution import webhook_id
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.fake_http import Handler, Server, ok, serving
from tests.test_store import add_job


@asynccontextmanager
async def opened_post(database_url: str, **settings: Any) -> AsyncIterator[Post]:
    settings.setdefault("shift_seconds", 3600)  # tests of what happens around its end reckon with an hour
    post = Post(Settings(database_url=database_url, egress_allow="127.0.0.0/8", **settings))  # type: ignore[arg-type]
    await post.open()
    try:
        yield post
    finally:
        await post.close()


@asynccontextmanager
async def stage(database_url: str, handler: Handler = ok, **settings: Any) -> AsyncIterator[tuple[Post, Server]]:
    """A post, and a server that the jobs call."""
    async with serving(handler) as server, opened_post(database_url, **settings) as post:
        yield post, server


def add(db: DictConnection, server: Server, name: str = "a", kind: str = "webhook", **columns: Any) -> int:
    return add_job(db, name, kind=kind, payload=f'{{"url": "{server.url("/" + name)}"}}', **columns)


def executions(db: DictConnection) -> list[dict[str, Any]]:
    return db.execute("select * from execution order by job_id, scheduled_for").fetchall()


def answering(*statuses: int, headers: dict[str, str] | None = None) -> Handler:
    """Answer with one status after another, then with the last for ever."""
    left = list(statuses)

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers)

    return handle


async def stand(post: Post, job_id: int, due: datetime, run_id: str = "run", **more: Any) -> Ending:
    return await job_shift.stand(Shift(job_id, due, run_id, more.pop("try_number", 1), **more), post)


async def until(condition: Any) -> None:
    """Wait until the condition holds; the test's own time-out is pytest's."""
    while not condition():
        await asyncio.sleep(0.02)


def known_since(db: DictConnection, job_id: int, instant: datetime, accounted: datetime | None = None) -> None:
    """As if the job had had its schedule from `instant` on, and the ledger were complete up to `accounted`."""
    db.execute("update job set schedule_changed_at = %s where id = %s", (instant, job_id))
    if accounted is not None:
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at) values (%s, %s, 'success', %s)",
            (job_id, accounted, accounted),
        )


def of(db: DictConnection, job_id: int) -> list[dict[str, Any]]:
    """The job's executions, without what its removal kept from happening."""
    return [row for row in executions(db) if row["job_id"] == job_id and row["reason"] != "the job was deleted"]


def assert_each_once(rows: Sequence[dict[str, Any]], every: timedelta, server: Server) -> None:
    """Each occurrence of one job has a row; exactly those that the ledger calls a success were sent, once, in order."""
    assert all(later["scheduled_for"] - earlier["scheduled_for"] == every for earlier, later in pairwise(rows))
    known = {webhook_id(row["job_id"], row["scheduled_for"]): row["status"] for row in rows}
    sent = [request.headers["webhook-id"] for request in server.received if request.headers["webhook-id"] in known]
    assert sent == [key for key, status in known.items() if status == "success"]


async def never(_request: web.Request) -> web.StreamResponse:
    """No answer, for longer than any test waits."""
    await asyncio.sleep(30)
    raise AssertionError

"""What tests of shifts share: a post on a real database, a real HTTP server, and a row to be on duty for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from aiohttp import web

from include.settings import Settings
from include.shifts import job as job_shift
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.fake_http import Handler, Server, ok, serving
from tests.test_store import add_job


@asynccontextmanager
async def opened_post(database_url: str, **settings: Any) -> AsyncIterator[Post]:
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


async def never(_request: web.Request) -> web.StreamResponse:
    """No answer, for longer than any test waits."""
    await asyncio.sleep(30)
    raise AssertionError

"""What tests of timers share: rows as people insert them, and pumps that send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from include.shifts import timers
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.fake_http import Server


def add_timer(db: DictConnection, url: str, **columns: Any) -> int:
    """Insert a timer as a person would, with SQL."""
    columns = {"url": url, **columns}
    names = ", ".join(columns)
    marks = ", ".join(f"%({column})s" for column in columns)
    row = db.execute(f"insert into timer ({names}) values ({marks}) returning id", columns).fetchone()
    assert row is not None
    return int(str(row["id"]))


def timer(db: DictConnection, timer_id: int) -> dict[str, Any]:
    row: dict[str, Any] | None = db.execute("select * from timer where id = %s", (timer_id,)).fetchone()
    assert row is not None
    return row


def has_status(db: DictConnection, *statuses: str) -> bool:
    """Whether every timer has one of these statuses."""
    return not db.execute("select from timer where status <> all(%s)", (list(statuses),)).fetchall()


def ids_received(server: Server) -> list[str]:
    return [request.headers["webhook-id"] for request in server.received]


def shift_of_pump(number: int = 1, due: datetime | None = None, **more: Any) -> Shift:
    return Shift(number, due or utcnow() - timedelta(seconds=1), "run", 1, table="timer", **more)


@asynccontextmanager
async def pumping(*posts: Post, shifts: Sequence[Shift] = ()) -> AsyncIterator[list[asyncio.Task[Ending]]]:
    """A pump on duty in each of the posts; cancelled in the end, as when a triggerer is told to stop."""
    each = shifts or [shift_of_pump(number) for number in range(1, len(posts) + 1)]
    tasks = [asyncio.create_task(timers.stand(shift, post)) for shift, post in zip(each, posts, strict=True)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, (Ending, asyncio.CancelledError)), result

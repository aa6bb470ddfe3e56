"""What tests of the watchdog share: one that has watched for long enough, and the warnings that there are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from include.settings import Settings
from include.shifts.post import Post
from include.shifts.watchdog import Watchdog
from include.store.db import DictConnection

MINUTE = timedelta(minutes=1)
COMPONENTS = """
    create table if not exists public.trigger ();
    create table if not exists public.job (job_type text, state text, latest_heartbeat timestamptz);
"""
WEBHOOK = {"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/"}}


def now() -> datetime:
    return datetime.now(timezone.utc)


def sleepy_post(database_url: str, **settings: Any) -> Post:
    """A post that nobody opens: nothing is done there but to look. Disks are never full."""
    return Post(Settings(database_url=database_url, **{"disk_free_percent": 0, "disk_free_gib": 0, **settings}))


@asynccontextmanager
async def watching(database_url: str, **settings: Any) -> AsyncIterator[Watchdog]:
    """A watchdog that has settled."""
    post = sleepy_post(database_url, **settings)
    watchdog = Watchdog(post)
    try:
        for minutes in (-5, -1):
            await watchdog.look(now() + minutes * MINUTE)
        yield watchdog
    finally:
        await post.close()


def open_warnings(db: DictConnection) -> list[tuple[Any, ...]]:
    """What is wrong, with what, and whose it is."""
    rows = db.execute("select what, subject, owner from warning_of where ended_at is null order by what, subject")
    return [tuple(row.values()) for row in rows.fetchall()]


def told(db: DictConnection) -> list[tuple[Any, ...]]:
    """Of whom what was told, in order."""
    return [tuple(row.values()) for row in db.execute("select event, name from notice order by id").fetchall()]


def tell_owner(db: DictConnection, owner: str = "ann", **notify: Any) -> None:
    db.execute("insert into owner_notify (owner, notify) values (%s, %s)", (owner, json.dumps({**WEBHOOK, **notify})))


def beat(db: DictConnection, **silent_minutes: int) -> None:
    """Signs of life of Airflow's components, by how long ago they were."""
    db.execute("delete from public.job")
    for name in ("SchedulerJob", "TriggererJob", "DagProcessorJob"):
        minutes = silent_minutes.get(name, 0)
        db.execute("insert into public.job values (%s, 'running', now() - %s * interval '1 minute')", (name, minutes))


def aged(db: DictConnection, table: str, row_id: int, **columns: Any) -> None:
    """Write what only time writes, past the triggers that would write it anew."""
    with db.transaction():
        db.execute(f"alter table {table} disable trigger user")
        key = "workflow_id" if table == "workflow_progress" else "id"
        assigned = ", ".join(f"{name} = %s" for name in columns)
        db.execute(f"update {table} set {assigned} where {key} = %s", [*columns.values(), row_id])
        db.execute(f"alter table {table} enable trigger user")

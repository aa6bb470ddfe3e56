"""A shift that falls behind, because something stood still, treats what it did not reach as missed."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.shifts.bell import utcnow
from include.store.db import DictConnection, connect
from tests.fake_http import Server
from tests.shift_stage import add, assert_each_once, of, stage, stand, until

pytestmark = pytest.mark.e2e

SECOND = timedelta(seconds=1)
STILL_SECONDS = 8.0
LATE = 3 * SECOND


def add_each(db: DictConnection, server: Server) -> dict[str, int]:
    """A job for each rule, due every second; that what is late runs together is no overlap."""
    now = utcnow().replace(microsecond=0)
    fast = {"every": "1 second", "starts_at": now, "max_lateness": LATE, "overlap": "allow"}
    return {rule: add(db, server, rule, misfire=rule, **fast) for rule in ("latest", "all", "skip")}


def is_past(db: DictConnection, job_id: int, instant: datetime) -> bool:
    """Whether an occurrence that is later than the instant has ended."""
    newest = of(db, job_id)[-1]
    return newest["scheduled_for"] > instant and newest["finished_at"] is not None


def check(rows: list[dict[str, Any]], misfire: str) -> None:
    """What was missed is named with that reason, and was to be missed by the rule; all the rest was executed."""
    missed = [row for row in rows if row["status"] == "missed"]
    assert {row["reason"] for row in missed} == {"the shift had fallen behind"}
    assert {row["status"] for row in rows} == {"missed", "success"}
    if misfire == "all":
        assert all(row["finished_at"] - row["scheduled_for"] > LATE for row in missed)
    else:
        made_up = next(row for row in rows if row["scheduled_for"] > missed[-1]["scheduled_for"])
        assert made_up["status"] == "success"
        assert made_up["scheduled_for"] <= missed[-1]["finished_at"]
    assert all(row["started_at"] >= row["scheduled_for"] for row in rows if row["started_at"])


async def test_a_process_that_stood_still_falls_behind(database_url: str, db: DictConnection) -> None:
    """Eight seconds without the event loop: by each row's rule some is executed late, the rest is named, none twice."""
    async with stage(database_url, lease_seconds=60) as (post, server):
        ids = add_each(db, server)
        shifts = [asyncio.create_task(stand(post, job_id, utcnow())) for job_id in ids.values()]
        await until(lambda: len({request.path for request in server.received}) == len(ids))
        time.sleep(STILL_SECONDS)  # noqa: ASYNC251 - blocking the loop is the point
        moved = utcnow()
        await until(lambda: all(is_past(db, job_id, moved + SECOND) for job_id in ids.values()))
        db.execute("delete from job")
        await asyncio.gather(*shifts)
        for misfire, job_id in ids.items():
            assert_each_once(of(db, job_id), SECOND, server)
            check(of(db, job_id), misfire)


async def test_a_database_that_stood_still_makes_shifts_fall_behind(database_url: str, db: DictConnection) -> None:
    """Eight seconds in which no claim is answered: as if the process had stood still."""
    async with stage(database_url, lease_seconds=60) as (post, server):
        ids = add_each(db, server)
        shifts = [asyncio.create_task(stand(post, job_id, utcnow())) for job_id in ids.values()]
        await until(lambda: len({request.path for request in server.received}) == len(ids))
        with connect(database_url) as blocker, blocker.transaction():
            blocker.execute("lock table execution in access exclusive mode")
            await asyncio.sleep(STILL_SECONDS)
        moved = utcnow()
        await until(lambda: all(is_past(db, job_id, moved + SECOND) for job_id in ids.values()))
        db.execute("delete from job")
        await asyncio.gather(*shifts)
        for misfire, job_id in ids.items():
            assert_each_once(of(db, job_id), SECOND, server)
            check(of(db, job_id), misfire)


async def test_a_stretch_too_short_to_fall_behind_costs_nothing(database_url: str, db: DictConnection) -> None:
    """Three seconds late, every occurrence is executed all the same, whatever the rule for missed ones."""
    async with stage(database_url, lease_seconds=60) as (post, server):
        job_id = add(db, server, every="1 second", starts_at=utcnow().replace(microsecond=0), misfire="latest",
                     overlap="allow")  # fmt: skip
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: server.received)
        time.sleep(3)  # noqa: ASYNC251 - blocking the loop is the point
        moved = utcnow()
        await until(lambda: is_past(db, job_id, moved))
        db.execute("delete from job")
        await shift
        assert_each_once(of(db, job_id), SECOND, server)
    assert {row["status"] for row in of(db, job_id)} == {"success"}

"""A shift that falls behind, because something stood still, treats what it did not reach as missed."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.shifts.bell import utcnow
from include.store.db import DictConnection, connect
from tests.shift_stage import add, assert_each_once, of, stage, stand, until

pytestmark = pytest.mark.e2e

SECOND = timedelta(seconds=1)
STILL_SECONDS = 8.0
# misfire: max_lateness, and the most that is made up for
RULES = {"latest": ("1 hour", 1), "all": ("3 seconds", 3), "skip": ("1 hour", 1)}


def add_each(db: DictConnection, server: Any) -> dict[str, int]:
    """A job for each rule, due every second; what runs late together is no overlap."""
    now = utcnow().replace(microsecond=0)
    return {
        misfire: add(db, server, misfire, every="1 second", starts_at=now, misfire=misfire, max_lateness=late,
                     overlap="allow")
        for misfire, (late, _) in RULES.items()
    }  # fmt: skip


def is_past(db: DictConnection, job_id: int, instant: datetime) -> bool:
    """Whether an occurrence that is later than the instant has ended."""
    newest = of(db, job_id)[-1]
    return newest["scheduled_for"] > instant and newest["finished_at"] is not None


def check(rows: list[dict[str, Any]], misfire: str, moved: datetime) -> None:
    """Some was missed for that reason; the newest of what was late was made up for, and before `moved` nothing else."""
    late = [row for row in rows if row["scheduled_for"] <= moved]
    missed = [row for row in late if row["status"] == "missed"]
    assert {row["reason"] for row in missed} == {"the shift had fallen behind"}
    made_up = [row for row in late if row["scheduled_for"] > missed[-1]["scheduled_for"]]
    assert 1 <= len(made_up) <= RULES[misfire][1]
    assert {row["status"] for row in made_up} == {"success"}
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
            check(of(db, job_id), misfire, moved)


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
            check(of(db, job_id), misfire, moved)


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

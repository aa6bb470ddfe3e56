"""What nobody executed in time is made up for as the row says, and each occurrence has one row that says why."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.shift_stage import add, assert_each_once, executions, known_since, of, stage, stand, until

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("misfire", "max_lateness", "executed"),
    [
        ("latest", "1 hour", [-5]),
        ("latest", "30 seconds", [-5]),
        ("latest", "1 second", []),
        ("all", "1 hour", [-55, -45, -35, -25, -15, -5]),
        ("all", "30 seconds", [-25, -15, -5]),
        ("all", "1 second", []),
        ("skip", "1 hour", [-5]),
        ("skip", "1 second", []),
    ],
)
async def test_misfire_decides_after_a_downtime_of_a_fast_schedule(
    database_url: str, db: DictConnection, misfire: str, max_lateness: str, executed: list[int]
) -> None:
    """Six occurrences fell due while nobody was on duty: each has its row, and what is made up for follows the rule."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        start = now - 95 * SECOND
        job_id = add(db, server, every="10 seconds", starts_at=start, misfire=misfire, max_lateness=max_lateness)
        known_since(db, job_id, start - SECOND, accounted=now - 65 * SECOND)
        shift = asyncio.create_task(stand(post, job_id, now - 65 * SECOND))
        await until(lambda: sum(row["finished_at"] is not None for row in executions(db)) >= 7)
        db.execute("delete from job")
        await shift
        rows = of(db, job_id)[1:7]
        assert_each_once(rows, 10 * SECOND, server)
    assert [round((row["scheduled_for"] - now) / SECOND) for row in rows if row["status"] == "success"] == executed
    assert {row["reason"] for row in rows if row["status"] == "missed"} <= {"nobody was on duty in time"}
    assert {row["status"] for row in rows} <= {"success", "missed"}


@pytest.mark.parametrize(
    ("misfire", "max_lateness", "late", "executed"),
    [
        ("latest", "30 minutes", 5 * MINUTE, 1),
        ("latest", "4 minutes", 5 * MINUTE, 0),
        ("all", "30 minutes", 5 * MINUTE, 3),
        ("all", "4 minutes", 5 * MINUTE, 0),
        ("skip", "30 minutes", 30 * SECOND, 1),
        ("skip", "20 seconds", 30 * SECOND, 0),
        ("skip", "30 minutes", 2 * MINUTE, 0),
    ],
)
async def test_misfire_decides_after_a_pause_of_a_slow_schedule(
    database_url: str, db: DictConnection, misfire: str, max_lateness: str, late: timedelta, executed: int
) -> None:
    """While a job is paused Airflow makes no runs; the run that comes after accounts for all of them, once."""
    async with stage(database_url) as (post, server):
        newest = utcnow() - late
        job_id = add(db, server, every="12 minutes", starts_at=newest - 60 * MINUTE, misfire=misfire,
                     max_lateness=max_lateness, is_active=False)  # fmt: skip
        known_since(db, job_id, newest - 61 * MINUTE)
        db.execute("update job set is_active = true")
        await stand(post, job_id, newest, "after the pause")
        await stand(post, job_id, newest, "made twice")
        rows = executions(db)
        assert_each_once(rows, 12 * MINUTE, server)
    assert [row["status"] for row in rows] == ["missed"] * (6 - executed) + ["success"] * executed
    assert all(row["reason"] for row in rows if row["status"] == "missed")


async def test_a_pause_that_ends_before_the_instant_costs_nothing(database_url: str, db: DictConnection) -> None:
    """Paused and resumed while a run is armed, the occurrence is executed on its instant, once."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 5 * SECOND
        job_id = add(db, server, every="12 minutes", starts_at=due)
        shift = asyncio.create_task(stand(post, job_id, due))
        for is_active in (False, True, False, True):
            await asyncio.sleep(0.2)
            db.execute("update job set is_active = %s", (is_active,))
        assert (await shift).state == "success"
        assert_each_once(executions(db), 12 * MINUTE, server)
    assert [row["status"] for row in executions(db)] == ["success"]


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_run_by_hand_does_not_stand_in_for_what_was_missed(
    database_url: str, db: DictConnection, by_hand: bool
) -> None:
    """What a person ran meanwhile is no occurrence: the missed ones before and after it are named all the same."""
    async with stage(database_url) as (post, server):
        newest = utcnow() - MINUTE
        job_id = add(db, server, every="10 minutes", starts_at=newest - 30 * MINUTE, max_lateness="0")
        known_since(db, job_id, newest - 31 * MINUTE)
        if by_hand:
            await stand(post, job_id, newest - 15 * MINUTE, "by hand", by_hand=True)
        await stand(post, job_id, newest)
        assert len(server.received) == by_hand
    assert [row["scheduled_for"] for row in executions(db) if row["status"] == "missed"] == [
        newest - minutes * MINUTE for minutes in (30, 20, 10, 0)
    ]

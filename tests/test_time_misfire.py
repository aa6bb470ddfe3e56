"""What nobody executed in time is made up for as the row says, and each occurrence has one row that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.fake_http import Received
from tests.shift_stage import add, executions, opened_post, stage, stand, until

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def known_since(db: DictConnection, job_id: int, instant: datetime, accounted: datetime | None = None) -> None:
    """As if the job had had its schedule from `instant` on, and the ledger were complete up to `accounted`."""
    db.execute("update job set schedule_changed_at = %s where id = %s", (instant, job_id))
    if accounted is not None:
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at) values (%s, %s, 'success', %s)",
            (job_id, accounted, accounted),
        )


def of(rows: Sequence[dict[str, Any]], job_id: int) -> list[dict[str, Any]]:
    """The job's own, without what its removal ended."""
    return [row for row in rows if row["job_id"] == job_id and row["reason"] != "the job was deleted"]


def assert_each_once(rows: Sequence[dict[str, Any]], every: timedelta, received: Sequence[Received]) -> None:
    """Every occurrence has a row, and exactly those that the ledger calls a success were sent, once each."""
    assert all(later["scheduled_for"] - earlier["scheduled_for"] == every for earlier, later in pairwise(rows))
    sent = [request.headers["webhook-id"] for request in received]
    made = [webhook_id(row["job_id"], row["scheduled_for"]) for row in rows if row["status"] == "success"]
    assert [key for key in sent if key in made] == made
    assert len(sent) == len(set(sent))


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
        await until(lambda: sum(row["finished_at"] is not None for row in executions(db)) == 7)
        db.execute("delete from job")
        await shift
        rows = of(executions(db), job_id)[1:]
        assert_each_once(rows, 10 * SECOND, server.received)
    made = [round((row["scheduled_for"] - now) / SECOND) for row in rows if row["status"] == "success"]
    assert made == executed
    assert {row["reason"] for row in rows if row["status"] == "missed"} <= {"nobody was on duty in time"}
    assert {row["status"] for row in rows} <= {"success", "missed"}


@pytest.mark.parametrize(
    ("misfire", "minutes_late", "executed"),
    [("latest", 5, 1), ("latest", 31, 0), ("all", 5, 3), ("skip", 0.5, 1), ("skip", 2, 0)],
)
async def test_misfire_decides_after_a_pause_of_a_slow_schedule(
    database_url: str, db: DictConnection, misfire: str, minutes_late: float, executed: int
) -> None:
    """While a job is paused Airflow makes no runs; the run that comes after accounts for all of them."""
    async with stage(database_url) as (post, server):
        newest = utcnow() - minutes_late * MINUTE
        job_id = add(db, server, cron=None, every="12 minutes", starts_at=newest - 60 * MINUTE, misfire=misfire,
                     max_lateness="30 minutes", is_active=False)  # fmt: skip
        known_since(db, job_id, newest - 61 * MINUTE)
        db.execute("update job set is_active = true")
        await stand(post, job_id, newest, "after the pause")
        await stand(post, job_id, newest, "made twice")
        rows = executions(db)
        assert_each_once(rows, 12 * MINUTE, server.received)
    assert len(rows) == 6
    assert [row["status"] for row in rows] == ["missed"] * (6 - executed) + ["success"] * executed


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


@pytest.mark.e2e
async def test_misfire_decides_when_a_pause_ends_on_duty(database_url: str, db: DictConnection) -> None:
    """Resumed after four seconds, a shift makes up for what each row asks for, and goes on on time."""
    async with stage(database_url) as (post, server):
        rules = {"latest": "1 hour", "all": "2500 ms", "skip": "1 hour"}
        ids = {
            misfire: add(db, server, misfire, every="1 second", starts_at=utcnow().replace(microsecond=0),
                         misfire=misfire, max_lateness=late, overlap="allow")
            for misfire, late in rules.items()
        }  # fmt: skip
        shifts = [asyncio.create_task(stand(post, job_id, utcnow())) for job_id in ids.values()]
        await until(lambda: len({request.path for request in server.received}) == 3)
        paused_at = db.execute("update job set is_active = false returning now() as at").fetchone()
        await asyncio.sleep(4.5)
        resumed_at = db.execute("update job set is_active = true returning now() as at").fetchone()
        assert paused_at is not None
        assert resumed_at is not None
        ahead = resumed_at["at"] + 2 * SECOND
        await until(lambda: all(any(row["scheduled_for"] > ahead and row["finished_at"] for row in of(executions(db), i))
                                for i in ids.values()))  # fmt: skip
        db.execute("delete from job")
        await asyncio.gather(*shifts)
        received = list(server.received)
    rows = executions(db)
    for misfire, job_id in ids.items():
        own = of(rows, job_id)
        assert_each_once(own, SECOND, received)
        meanwhile = [row for row in own if paused_at["at"] + SECOND < row["scheduled_for"] <= resumed_at["at"]]
        made = [row for row in meanwhile if row["status"] == "success"]
        assert meanwhile[-len(made) :] == made
        assert (len(made) == 1) if misfire != "all" else (2 <= len(made) <= 3)
        assert {row["reason"] for row in own if row["status"] == "missed"} == {"the job was paused"}


@pytest.mark.e2e
async def test_a_pause_that_outlasts_its_shift_is_accounted_for(database_url: str, db: DictConnection) -> None:
    """The shift that is on duty when a pause ends names what was missed, the time of the shift before included."""
    async with stage(database_url) as (post, server), opened_post(database_url) as elsewhere:
        for name, second in (("here", post), ("there", elsewhere)):
            job_id = add(db, server, name, every="1 second", starts_at=utcnow().replace(microsecond=0))
            old = asyncio.create_task(stand(post, job_id, utcnow(), "old"))
            await until(lambda job_id=job_id: any(row["job_id"] == job_id for row in executions(db)))
            db.execute("update job set is_active = false")
            await asyncio.sleep(2.5)
            due = utcnow().replace(microsecond=0) + 2 * SECOND
            new = asyncio.create_task(stand(second, job_id, due, "new"))
            await asyncio.sleep(3)
            db.execute("update job set is_active = true")
            await until(lambda job_id=job_id: of(executions(db), job_id)[-1]["scheduled_for"] > due + 2 * SECOND)
            db.execute("delete from job")
            await asyncio.gather(old, new)
            assert_each_once(of(executions(db), job_id), SECOND, server.received)

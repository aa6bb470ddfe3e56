"""A shift that holds one occurrence, on a real database and a real HTTP server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.shift_stage import add, answering, executions, never, opened_post, stage, stand, until
from tests.test_store import one

__all__ = ["add", "answering", "executions", "opened_post", "stage", "stand", "until"]

UTC = timezone.utc
SECOND = timedelta(seconds=1)


async def test_a_run_fires_on_its_instant_and_never_before(database_url: str, db: DictConnection) -> None:
    """Armed ahead, the call goes out at the instant, with the key of the occurrence, and the ledger has it."""
    async with stage(database_url) as (post, server):
        due = (utcnow() + 1.5 * SECOND).replace(microsecond=0)
        job_id = add(db, server, run_at=due)
        arrivals: list[datetime] = []
        server.received = _Noting(arrivals)
        assert (await stand(post, job_id, due)).state == "success"
    [row] = executions(db)
    assert arrivals[0] >= due
    assert (row["status"], row["scheduled_for"], row["attempt"], row["origin"]) == ("success", due, 1, "schedule")
    assert row["started_at"] >= due
    assert row["attempts"][0]["code"] == 200
    assert row["output"]["excerpt"] == "hello"


class _Noting(list[Any]):
    """A list that notes when something is appended."""

    def __init__(self, times: list[datetime]) -> None:
        super().__init__()
        self.times = times

    def append(self, item: Any) -> None:
        self.times.append(utcnow())
        super().append(item)


async def test_airflow_retries_with_the_same_key(database_url: str, db: DictConnection) -> None:
    """A 503 ends the try; the next try makes attempt 2 in the same row, with the same webhook-id."""
    async with stage(database_url, answering(503, 200), lead_seconds=0) as (post, server):
        due = utcnow()
        job_id = add(db, server, run_at=due, retry_delay="7 seconds", retry_jitter=0)
        first = await stand(post, job_id, due)
        second = await stand(post, job_id, due, try_number=2)
        ids = [request.headers["webhook-id"] for request in server.received]
    assert (first.state, first.after_seconds, second.state) == ("retry", 7, "success")
    assert ids == [webhook_id(job_id, due)] * 2
    [row] = executions(db)
    assert [attempt.get("code") for attempt in row["attempts"]] == [503, 200]


async def test_retry_after_is_honoured(database_url: str, db: DictConnection) -> None:
    """A server that says when to come back is not asked before."""
    async with stage(database_url, answering(429, headers={"Retry-After": "120"})) as (post, server):
        due = utcnow()
        ending = await stand(post, add(db, server, run_at=due), due)
    assert (ending.state, ending.after_seconds) == ("retry", 120)


async def test_permanent_failures_and_used_up_retries_end_the_run(database_url: str, db: DictConnection) -> None:
    """A 404 is not tried again, nor is a 503 when no retries are left."""
    async with stage(database_url, answering(404, 503)) as (post, server):
        due = utcnow()
        gone = await stand(post, add(db, server, "gone", run_at=due), due)
        spent = await stand(post, add(db, server, "spent", run_at=due, retries=0), due)
    assert (gone.state, spent.state) == ("failed", "failed")
    assert [row["status"] for row in executions(db)] == ["failed", "failed"]


async def test_at_most_once_does_not_repeat_what_may_have_arrived(database_url: str, db: DictConnection) -> None:
    """A time-out leaves the outcome unknown; at-most-once then fails instead of sending again."""
    async with stage(database_url, never) as (post, server):
        due = utcnow()
        job_id = add(db, server, run_at=due, delivery="at_most_once", timeout="0.3 seconds")
        assert (await stand(post, job_id, due)).state == "failed"
    assert one(db, "select status, reason from execution") == {"status": "failed", "reason": "unknown outcome"}


async def test_an_edit_while_armed_takes_effect(database_url: str, db: DictConnection) -> None:
    """Between arming and the instant the payload may change, and so may the schedule: the row as it stands counts."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 4 * SECOND
        payload, schedule = add(db, server, "payload", run_at=due), add(db, server, "schedule", run_at=due)
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in (payload, schedule)]
        await asyncio.sleep(0.3)
        db.execute("update job set payload = %s where id = %s", (f'{{"url": "{server.url("/new")}"}}', payload))
        db.execute("update job set run_at = run_at + interval '1 hour' where id = %s", (schedule,))
        endings = await asyncio.gather(*shifts)
    assert [ending.state for ending in endings] == ["success", "skipped"]
    assert [request.path for request in server.received] == ["/new"]


async def test_pause_and_delete_stop_an_armed_run(database_url: str, db: DictConnection) -> None:
    """A paused occurrence is skipped with the reason; a deleted job fires no more."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 4 * SECOND
        paused, deleted = add(db, server, "paused", run_at=due), add(db, server, "deleted", run_at=due)
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in (paused, deleted)]
        await asyncio.sleep(0.3)
        db.execute("update job set is_active = false where id = %s", (paused,))
        db.execute("delete from job where id = %s", (deleted,))
        endings = await asyncio.gather(*shifts)
        assert not server.received
    assert [ending.state for ending in endings] == ["skipped", "skipped"]
    assert [(row["status"], row["reason"]) for row in executions(db)] == [("skipped", "paused")]


async def test_a_run_by_hand_fires_at_once_with_its_conf(database_url: str, db: DictConnection) -> None:
    """Triggered by hand, a job runs now, paused or not; its conf overrides payload fields and is validated."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, is_active=False)
        good = await stand(post, job_id, utcnow(), "manual__1", by_hand=True, conf={"url": server.url("/other")})
        bad = await stand(post, job_id, utcnow(), "manual__2", by_hand=True, conf={"uri": "x"})
        assert [request.path for request in server.received] == ["/other"]
    assert (good.state, bad.state) == ("success", "failed")
    assert "uri" in bad.line
    assert [row["origin"] for row in executions(db)] == ["manual", "manual"]


async def test_a_kind_that_breaks_fails_its_own_execution(database_url: str, db: DictConnection) -> None:
    """An unknown kind is an error with a remedy in the ledger, and no exception."""
    async with stage(database_url) as (post, server):
        due = utcnow()
        ending = await stand(post, add(db, server, kind="webhok", run_at=due), due)
    assert ending.state == "failed"
    assert "did you mean 'webhook'" in str(executions(db)[0]["error"])

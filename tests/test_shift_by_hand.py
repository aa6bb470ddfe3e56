"""Runs that a person starts, or starts again, in Airflow."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.shift_stage import add, answering, executions, known_since, stage, stand

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.mark.parametrize(
    "schedule", [{"every": "5 seconds"}, {"every": "1 hour", "every_mode": "fixed_delay"}, {"every": "1 hour"}]
)
async def test_without_a_further_try_of_airflow_the_shift_retries(
    database_url: str, db: DictConnection, schedule: dict[str, str]
) -> None:
    """A run that Airflow will not try again, as those by hand of a fast job, makes all the attempts of the policy."""
    async with stage(database_url, answering(503, 503, 200)) as (post, server):
        job_id = add(db, server, retry_delay="0.01 seconds", **schedule)
        ending = await stand(post, job_id, utcnow(), "manual__1", by_hand=True, is_last_try=True)
        assert len({request.headers["webhook-id"] for request in server.received}) == 1
    assert ending.state == "success"
    [row] = executions(db)
    assert [attempt["code"] for attempt in row["attempts"]] == [503, 503, 200]
    assert (row["origin"], row["claimed_by"]) == ("manual", None)


async def test_with_a_further_try_airflow_retries(database_url: str, db: DictConnection) -> None:
    """A run of a slow job leaves its retries to Airflow, where people see them; the last try ends it."""
    async with stage(database_url, answering(503)) as (post, server):
        job_id, due = add(db, server, every="1 hour", retries=1, retry_delay="7 seconds", retry_jitter=0), utcnow()
        first = await stand(post, job_id, due, "manual__1", by_hand=True)
        last = await stand(post, job_id, due, "manual__1", by_hand=True, try_number=2, is_last_try=True)
        assert len(server.received) == 2
    assert (first.state, first.after_seconds, last.state) == ("retry", 7, "failed")


async def test_a_missed_run_that_is_cleared_is_executed(database_url: str, db: DictConnection) -> None:
    """Whoever clears a run in Airflow wants it done, also one that was missed."""
    async with stage(database_url) as (post, server):
        due = utcnow() - 10 * MINUTE
        job_id = add(db, server, every="1 hour", misfire="skip", starts_at=due)
        known_since(db, job_id, due - HOUR)
        assert (await stand(post, job_id, due)).state == "skipped"
        assert [row["status"] for row in executions(db)] == ["missed"]
        assert (await stand(post, job_id, due)).state == "skipped"
        assert (await stand(post, job_id, due, try_number=2)).state == "success"
        assert len(server.received) == 1
    [row] = executions(db)
    assert (row["status"], row["reason"], row["attempt"]) == ("success", None, 1)

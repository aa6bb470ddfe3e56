"""Jobs that fail too often are paused, after a warning, and come back by themselves or by a person."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.health_rows import Outcomes, clean, details, events, health, job, outcomes, told_job
from tests.test_shifts import add, executions, stage, stand, until
from tests.test_store import one

__all__ = ["clean"]

pytestmark = pytest.mark.usefixtures("clean")

PROBE = timedelta(minutes=5)


async def fail(ledger: Outcomes, *job_ids: int, times: int = 1, code: int = 500) -> None:
    """One failed execution after another, each in a statement of its own."""
    for _ in range(times):
        await ledger.write(*job_ids, says="failed", code=code, manual=True)


def let_probe(db: DictConnection, job_id: int) -> None:
    """As if the time until the next probe had passed."""
    db.execute("update job set paused_until = now() - interval '1 s' where id = %s", (job_id,))
    db.execute("update job_health set probe_at = (select paused_until from job where id = job_id)")


async def test_a_warning_and_then_the_job_is_paused(database_url: str, db: DictConnection) -> None:
    """One failure before the last a warning is told; at `disable_after` the row is off, says why, and is audited."""
    job_id = told_job(db, disable_after=3)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id)
        assert events(db) == ["failure"]
        await fail(ledger, job_id)
        assert events(db) == ["failure", "warning"]
        assert job(db, job_id)["is_active"]
        await fail(ledger, job_id)
    assert not job(db, job_id)["is_active"]
    found = health(db, job_id)
    assert (found["failures"], found["disabled_reason"]) == (3, "3 failures in a row")
    assert found["disabled_at"] is not None
    assert events(db) == ["failure", "warning", "disabled"]
    assert details(db)[1:] == [
        "2 failures in a row; one more, and it is paused: POST example.com 500",
        "3 failures in a row; it is paused until somebody resumes it: POST example.com 500",
    ]
    assert one(db, "select via, changes_dag from audit where operation = 'update'") == {
        "via": "disable_after",
        "changes_dag": False,
    }
    assert one(db, "select current_setting('millrace.via') as via") == {"via": "sql"}


async def test_a_job_may_be_paused_by_its_first_failure(database_url: str, db: DictConnection) -> None:
    """With `disable_after` 1 there is nothing to warn of; failures that are still under way tell no more."""
    job_id = told_job(db, disable_after=1)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
    assert events(db) == ["failure", "disabled"]
    assert health(db, job_id)["disabled_reason"] == "1 failure in a row"


async def test_a_success_before_it_keeps_the_job_going(database_url: str, db: DictConnection) -> None:
    """Only failures in a row count."""
    job_id = told_job(db, disable_after=3)
    async with outcomes(database_url) as ledger:
        for _ in range(3):
            await ledger.write(job_id, says=["failed", "failed"])
            await ledger.write(job_id, says="success")
    assert job(db, job_id)["is_active"]


@pytest.mark.parametrize(
    "resume",
    [
        "update job set is_active = true where id = %s",
        "update job set is_active = true, paused_until = null where id = %s",
    ],
)
async def test_resuming_begins_anew(database_url: str, db: DictConnection, resume: str) -> None:
    """A person who resumes the job gives it all of `disable_after` again."""
    job_id = told_job(db, disable_after=2)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        db.execute(resume, (job_id,))
        found = health(db, job_id)
        assert (found["failures"], found["disabled_at"], found["disabled_reason"]) == (0, None, None)
        await fail(ledger, job_id)
        assert job(db, job_id)["is_active"]
        await fail(ledger, job_id)
    assert not job(db, job_id)["is_active"]


async def test_half_open_pauses_until_the_next_probe(database_url: str, db: DictConnection) -> None:
    """The row stays on, but is paused for `probe_every`; what fails meanwhile changes nothing."""
    job_id = told_job(db, disable_after=2, half_open=True, probe_every=PROBE)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        found = job(db, job_id)
        assert found["is_active"]
        assert PROBE - timedelta(seconds=30) < found["paused_until"] - utcnow() <= PROBE
        await fail(ledger, job_id, times=2)
    assert job(db, job_id)["paused_until"] == found["paused_until"] == health(db, job_id)["probe_at"]
    assert events(db) == ["failure", "warning", "disabled"]
    assert details(db)[2] == "2 failures in a row; it is tried again every 00:05:00: POST example.com 500"


async def test_a_probe_that_fails_is_followed_by_another(database_url: str, db: DictConnection) -> None:
    """Each failed probe pauses the row again; nothing is told of it."""
    job_id = told_job(db, disable_after=2, half_open=True, probe_every=PROBE)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        disabled_at = health(db, job_id)["disabled_at"]
        for _ in range(2):
            let_probe(db, job_id)
            await fail(ledger, job_id)
            assert job(db, job_id)["paused_until"] > utcnow()
    assert events(db) == ["failure", "warning", "disabled"]
    assert health(db, job_id)["disabled_at"] == disabled_at


async def test_a_probe_that_succeeds_lets_the_job_go_on(database_url: str, db: DictConnection) -> None:
    """The pause is over, the count is back at nothing, and that it has recovered is told."""
    job_id = told_job(db, disable_after=2, half_open=True)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        let_probe(db, job_id)
        await ledger.write(job_id, says="success", manual=True)
        assert job(db, job_id)["paused_until"] is None
        found = health(db, job_id)
        assert [found[name] for name in ("failures", "disabled_at", "disabled_reason", "probe_at")] == [0] + [None] * 3
        assert events(db)[3:] == ["recovery"]
        await fail(ledger, job_id)
    assert job(db, job_id)["paused_until"] is None


async def test_a_pause_of_a_person_is_left_alone(database_url: str, db: DictConnection) -> None:
    """If somebody has set another `paused_until`, neither a failure nor a success changes it."""
    job_id = told_job(db, disable_after=2, half_open=True)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        db.execute("update job set paused_until = now() + interval '1 day' where id = %s", (job_id,))
        until = job(db, job_id)["paused_until"]
        await fail(ledger, job_id)
        assert job(db, job_id)["paused_until"] == until
        await ledger.write(job_id, says="success", manual=True)
    assert job(db, job_id)["paused_until"] == until


async def test_clearing_the_pause_begins_anew(database_url: str, db: DictConnection) -> None:
    """A person who does not wait for the probe resumes the row; it is not paused again by a single failure."""
    job_id = told_job(db, disable_after=2, half_open=True)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, times=2)
        db.execute("update job set paused_until = null where id = %s", (job_id,))
        await fail(ledger, job_id)
    assert job(db, job_id)["paused_until"] is None
    assert health(db, job_id)["failures"] == 1


@pytest.mark.parametrize("columns", [{}, {"disable_after": 10, "half_open": True}])
async def test_410_stops_the_job_at_once(database_url: str, db: DictConnection, columns: dict[str, Any]) -> None:
    """Whoever answers 410 Gone is not called again, whatever `disable_after` says, and is not probed."""
    job_id = told_job(db, **columns)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id, code=410)
    assert not job(db, job_id)["is_active"]
    assert health(db, job_id)["disabled_reason"] == "410 Gone"
    assert events(db) == ["failure", "disabled"]
    assert details(db)[1] == "410 Gone; it is paused until somebody resumes it: POST example.com 410"


async def test_a_success_by_hand_does_not_resume_what_is_stopped(database_url: str, db: DictConnection) -> None:
    """Without `half_open` a person resumes; the notice of the recovery says so."""
    job_id = told_job(db, disable_after=1)
    async with outcomes(database_url) as ledger:
        await fail(ledger, job_id)
        await ledger.write(job_id, says="success", manual=True)
    assert not job(db, job_id)["is_active"]
    assert health(db, job_id)["disabled_reason"] == "1 failure in a row"
    assert details(db)[-1] == "it succeeded, after 1 failed; it is still paused"


async def test_many_jobs_are_paused_by_one_statement(database_url: str, db: DictConnection) -> None:
    """In an outage each job that reaches its number is paused, and no other."""
    ids = [told_job(db, f"job {number}", disable_after=1 + number % 2) for number in range(40)]
    async with outcomes(database_url) as ledger:
        await fail(ledger, *ids)
    rows = db.execute("select is_active from job order by id").fetchall()
    assert [row["is_active"] for row in rows] == [False, True] * 20


@pytest.mark.e2e
async def test_a_job_on_duty_is_disabled_and_comes_back_by_itself(database_url: str, db: DictConnection) -> None:
    """A shift that fires every second fails twice, is silent until the probe, and goes on when that succeeds."""
    answers = [500, 500]

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=answers.pop(0) if answers else 200)

    async with stage(database_url, handler=handle, lead_seconds=0) as (post, server):
        columns = {"disable_after": 2, "half_open": True, "probe_every": "3 seconds", "retries": 0}
        job_id = add(db, server, every="1 second", **columns)
        duty = asyncio.create_task(stand(post, job_id, utcnow().replace(microsecond=0) + timedelta(seconds=1)))
        await until(lambda: any(row["status"] == "success" for row in executions(db)))
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)
    statuses = [row["status"] for row in executions(db)]
    assert statuses[:2] == ["failed", "failed"]
    assert set(statuses[2 : statuses.index("success")]) <= {"skipped", "missed"}
    assert statuses.index("success") >= 3
    assert len(server.received) >= 3
    assert job(db, job_id)["paused_until"] is None
    assert health(db, job_id)["failures"] == 0

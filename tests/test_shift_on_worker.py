"""Rows whose kind runs on a worker, seen by their shifts: here and in the triggerer; and receivers that are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from include.settings import Settings
from include.settings import settings as our_settings
from include.shifts import job as job_shift
from include.shifts import workflow as workflow_shift
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.store.db import DictConnection
from tests.log_rows import add_connector, add_workflow, append, progress
from tests.shift_stage import answering, executions, known_since, opened_post, stage
from tests.test_redrive import fail
from tests.test_store import add_job

PAYLOAD = '{"command": "echo hello"}'


@pytest.fixture(autouse=True)
def shell_is_allowed(monkeypatch: pytest.MonkeyPatch) -> object:
    """As an operator sets it."""
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://127.0.0.1/nothing")
    our_settings.cache_clear()
    yield
    our_settings.cache_clear()


@asynccontextmanager
async def worker(database_url: str) -> AsyncIterator[Post]:
    """The post of a task that runs on a worker."""
    post = Post(Settings(database_url=database_url), is_on_worker=True)
    await post.open()
    try:
        yield post
    finally:
        await post.close()


async def test_in_the_triggerer_a_run_is_handed_to_a_worker(database_url: str, db: DictConnection) -> None:
    """A run that finds itself in the triggerer does nothing there, and says where it is to go on."""
    job_id = add_job(db, "a", kind="shell", payload=PAYLOAD, every="1 hour")
    workflow_id = add_workflow(db, add_connector(db), "", kind="shell", every="1 minute", payload={"command": "true"})
    async with opened_post(database_url) as post:
        assert (await job_shift.stand(Shift(job_id, utcnow(), "run", 1), post)).state == "worker"
        shift = Shift(workflow_id, utcnow(), "run", 1, table="workflow")
        assert (await workflow_shift.stand(shift, post)).state == "worker"
    assert executions(db) == []


async def test_a_row_that_becomes_one_for_workers_leaves_an_armed_run(database_url: str, db: DictConnection) -> None:
    """An edit of the kind while the run waits for its instant takes effect: a worker goes on with it."""
    due = utcnow() + timedelta(seconds=30)
    async with stage(database_url) as (post, server):
        job_id = add_job(db, "a", kind="webhook", payload=f'{{"url": "{server.url("/a")}"}}', run_at=due)
        shift = job_shift.stand(Shift(job_id, due, "run", 1), post)
        db.execute("update job set kind = 'shell', payload = %s", (PAYLOAD,))
        assert (await shift).state == "worker"
    assert executions(db) == []


async def test_a_scheduled_run_on_a_worker_writes_the_same_ledger(database_url: str, db: DictConnection) -> None:
    """It is claimed, executed and recorded as in the triggerer, though it comes a moment late."""
    due = utcnow() - timedelta(seconds=2)
    async with worker(database_url) as post:
        job_id = add_job(db, "a", kind="shell", payload=PAYLOAD, run_at=due)
        assert (await job_shift.stand(Shift(job_id, due, "run", 1), post)).state == "success"
    [row] = executions(db)
    assert (row["status"], row["scheduled_for"], row["origin"]) == ("success", due, "schedule")
    assert row["output"]["excerpt"] == "hello\n"


async def test_a_worker_redrives_what_was_asked_for(database_url: str, db: DictConnection) -> None:
    """Dead letters whose runs Airflow has no more are sent again by the job's next run, each in its own row."""
    due = utcnow()
    async with worker(database_url) as post:
        job_id = add_job(db, "a", kind="shell", payload='{"command": "exit 1"}', retries=0)
        await job_shift.stand(Shift(job_id, due, "one", 1, by_hand=True), post)
        db.execute("update job set payload = %s", (PAYLOAD,))
        db.execute("update execution set redrive_at = now()")
        await job_shift.stand(Shift(job_id, utcnow(), "two", 1, by_hand=True), post)
    redriven, second = executions(db)
    assert (redriven["scheduled_for"], redriven["status"], len(redriven["attempts"])) == (due, "success", 2)
    assert redriven["redrive_at"] is None
    assert second["status"] == "success"


async def test_redrives_know_nothing_of_the_run_that_does_them(database_url: str, db: DictConnection) -> None:
    """The conf of a run by hand is for its own execution, and not for the dead letters that it takes along."""
    async with worker(database_url) as post:
        job_id = add_job(db, "a", kind="shell", payload='{"command": "echo $WHO"}')
        fail(db, job_id)
        conf = {"environment": {"WHO": "ada"}}
        await job_shift.stand(Shift(job_id, utcnow(), "by hand", 1, by_hand=True, conf=conf), post)
    assert [row["output"]["excerpt"] for row in executions(db)] == ["\n", "ada\n"]


async def test_a_runs_own_occurrence_comes_before_what_it_redrives(database_url: str, db: DictConnection) -> None:
    """The run does its own first, then tries each dead letter once, and ends, though they are to be retried."""
    due = utcnow() - timedelta(seconds=1)
    async with worker(database_url) as post:
        columns = {"run_at": due, "retry_delay": "10 minutes", "overlap": "allow"}
        job_id = add_job(db, "a", kind="shell", payload='{"command": "exit 1"}', **columns)
        letters = [fail(db, job_id, minutes) for minutes in (5, 4)]
        assert (await job_shift.stand(Shift(job_id, due, "run", 1), post)).state == "retry"
    *redriven, own = executions(db)
    assert [row["scheduled_for"] for row in redriven] == letters
    assert [len(row["attempts"]) for row in (*redriven, own)] == [2, 2, 1]
    assert own["attempts"][0]["at"] < redriven[0]["attempts"][1]["at"] < redriven[1]["attempts"][1]["at"]


@pytest.mark.parametrize("misfire", ["latest", "all", "skip"])
async def test_the_start_of_a_worker_is_nobodys_lateness(database_url: str, db: DictConnection, misfire: str) -> None:
    """Airflow takes seconds to start a task: a `max_lateness` that is shorter does not make every run a missed one."""
    due = utcnow() - timedelta(seconds=3)
    async with worker(database_url) as post:
        job_id = add_job(
            db,
            "a",
            kind="shell",
            payload=PAYLOAD,
            every="1 hour",
            starts_at=due,
            max_lateness="1 second",
            misfire=misfire,
        )
        known_since(db, job_id, due - timedelta(seconds=1))
        assert (await job_shift.stand(Shift(job_id, due, "run", 1), post)).state == "success"
    assert [row["status"] for row in executions(db)] == ["success"]


async def test_a_workflow_on_a_worker_processes_what_is_new(database_url: str, db: DictConnection) -> None:
    """Each run processes the records past the watermark, handed over in the environment; paused, it does not."""
    connector = add_connector(db)
    payload = {"command": 'test "$TITLE" != ""', "environment": {"TITLE": "{{ record.payload.title }}"}}
    workflow_id = add_workflow(db, connector, "", kind="shell", every="1 minute", payload=payload)
    append(db, connector, [{"title": "one"}, {"title": ""}, {"title": "three"}])
    db.execute("update workflow set retries = 0")
    shift = Shift(workflow_id, utcnow(), "run", 1, table="workflow")
    async with worker(database_url) as post:
        db.execute("update workflow set is_active = false")
        assert (await workflow_shift.stand(shift, post)).state == "skipped"
        assert progress(db, workflow_id)["position"] == 0
        db.execute("update workflow set is_active = true")
        assert (await workflow_shift.stand(shift, post)).line == "2 records processed, 1 failed"
    assert progress(db, workflow_id)["position"] == 3


async def test_a_workflow_stops_at_a_receiver_that_is_gone(database_url: str, db: DictConnection) -> None:
    """410 Gone: no record is given up on, and no further call is made, until a person goes on."""
    async with stage(database_url, answering(200, 410)) as (post, server):
        connector = add_connector(db)
        workflow_id = add_workflow(db, connector, server.url("/gone"))
        append(db, connector, [{"n": number} for number in range(5)])
        shift = Shift(workflow_id, utcnow(), "manual", 1, by_hand=True, table="workflow")
        ending = await workflow_shift.stand(shift, post)
    assert ending.state == "failed"
    assert len(server.received) == 2
    assert (progress(db, workflow_id)["position"], progress(db, workflow_id)["stopped_at"]) == (1, 2)
    assert db.execute("select count(*) as letters from dead_letter").fetchall() == [{"letters": 0}]

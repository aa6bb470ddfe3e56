"""Commands as a shift on a worker runs them: what the ledger has of them, and how Airflow ends them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from pathlib import Path

import pytest_asyncio

from tests.airflow_system import OF_AIRFLOW  # isort: split

from include.errors import RetryableError
from include.orchestration.operator import WorkerShiftOperator
from include.settings import Settings
from include.shifts import job as job_shift
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.test_store import add_job, one
from tests.worker_actions import are_gone, in_background, pids_in, run, worker  # noqa: F401 - a fixture

UTC = timezone.utc
pytestmark = OF_AIRFLOW


@pytest_asyncio.fixture
async def post(database_url: str) -> AsyncIterator[Post]:
    """The post of a worker."""
    post = Post(Settings(database_url=database_url), is_on_worker=True)
    await post.open()
    yield post
    await post.close()


async def by_hand(post: Post, job: int) -> Ending:
    return await job_shift.stand(Shift(job, datetime.now(UTC), "manual", 1, by_hand=True), post)


async def test_the_ledger_has_code_and_output(post: Post, db: DictConnection) -> None:
    """A command that succeeds is an execution with its exit code and the end of what it wrote."""
    job = add_job(db, "a", kind="shell", payload='{"command": "echo $MILLRACE_KEY $MILLRACE_ATTEMPT"}')
    assert (await by_hand(post, job)).state == "success"
    row = one(db, "select * from execution")
    assert row["status"] == "success"
    key = row["output"]["excerpt"].split()[0]
    assert key.startswith(f"job_{job}_")
    assert row["output"] == {"line": "exit code 0", "code": 0, "excerpt": f"{key} 1\n"}


async def test_who_starts_a_run_does_not_choose_the_command(post: Post, db: DictConnection) -> None:
    """A run's conf may replace other settings, but not what is run."""
    job = add_job(db, "a", kind="shell", payload='{"command": "echo $WHO"}')
    now = datetime.now(UTC)
    conf = {"environment": {"WHO": "ada"}}
    assert (await job_shift.stand(Shift(job, now, "one", 1, by_hand=True, conf=conf), post)).state == "success"
    assert one(db, "select output ->> 'excerpt' as said from execution") == {"said": "ada\n"}
    db.execute("delete from execution")
    conf = {"command": "echo something else"}
    ending = await job_shift.stand(Shift(job, now, "other", 1, by_hand=True, conf=conf), post)
    assert (ending.state, ending.line) == (
        "failed",
        "command cannot be replaced for one run of kind 'shell'; edit the row",
    )


async def test_a_failed_command_is_retried_and_given_up(post: Post, db: DictConnection) -> None:
    """Another exit code is another attempt for Airflow to make; a final one is not."""
    payload = '{"command": "echo no; exit 4", "no_retry_on": [5]}'
    job = add_job(db, "a", kind="shell", payload=payload, retries=1, retry_delay="1 second")
    assert (await by_hand(post, job)).state == "retry"
    (attempt,) = one(db, "select attempts from execution")["attempts"]
    assert (attempt["code"], attempt["error"], attempt["excerpt"]) == (4, "exit code 4: expected 0", "no\n")
    db.execute("delete from execution")
    db.execute("update job set payload = jsonb_set(payload, '{no_retry_on}', '[4]')")
    assert await by_hand(post, job) == Ending("failed", "exit code 4: expected 0")


async def test_a_result_is_in_the_ledger(post: Post, db: DictConnection) -> None:
    """What a function of the user's returned can be read in SQL."""
    payload = '{"function": "user_functions:add", "arguments": {"a": 2, "b": 3}}'
    assert (await by_hand(post, add_job(db, "a", kind="python", payload=payload))).state == "success"
    assert one(db, "select output -> 'result' as result from execution")["result"] == 5


def test_airflow_ends_a_task(tmp_path: Path) -> None:
    """SIGTERM in the task's process, upon which Airflow calls `on_kill`, ends what the task has running."""
    task = WorkerShiftOperator(task_id="fire", table="job", row_id=1)
    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    try:
        command = f"echo $$ > {tmp_path}/pids; sleep 1000 & echo $! >> {tmp_path}/pids; wait"
        with in_background(lambda: run("shell", {"command": command})) as results:
            pids = pids_in(tmp_path / "pids", 2)
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(results[0], RetryableError)
    assert are_gone(pids)

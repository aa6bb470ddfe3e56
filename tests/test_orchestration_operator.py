"""Tasks on a worker, run by Airflow's own task runner: how they end, and when they are tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.airflow_run import Deferred
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.models.taskinstance import TaskInstance
from airflow.sdk.api.datamodels._generated import TaskInstance as TaskOnWorker
from airflow.sdk.execution_time.supervisor import run_task_in_process
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import Session

from include.orchestration.factory import build
from include.settings import settings
from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.store import jobs
from include.store.db import DictConnection
from include.store.rows import job_from_row

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [
    *OF_AIRFLOW,
    pytest.mark.e2e,  # the API server that a worker talks to takes seconds to make
    pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`"),
]

Work = Callable[..., tuple[Deferred, TaskInstance]]


@pytest.fixture
def work(
    airflow_session: Session, ours: DictConnection, insert: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> Work:
    """Run the first task of a shell job as a worker does; the run, and the task as the database has it then."""
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    settings.cache_clear()

    def run(command: str, **columns: Any) -> tuple[Deferred, TaskInstance]:
        due = utcnow().replace(microsecond=0) - timedelta(seconds=2)
        schedule = {"every": timedelta(hours=1), "starts_at": due}
        insert(name="a", kind="shell", payload={"command": command}, **schedule, **columns)
        ours.execute("update job set schedule_changed_at = starts_at - interval '1 hour'")
        job = job_from_row(jobs.find(ours, "a"))
        made = Deferred(airflow_session, job)
        made.task.set_state(TaskInstanceState.QUEUED, session=airflow_session)
        airflow_session.commit()
        queued = made.task
        names = ("task_id", "dag_id", "run_id", "try_number", "map_index")
        ti = TaskOnWorker(
            id=UUID(str(queued.id)),
            dag_version_id=UUID(str(queued.dag_version_id)),
            **{name: getattr(queued, name) for name in names},
        )
        airflow_session.commit()
        run_task_in_process(ti=ti, task=build(job).get_task("fire"))
        airflow_session.expire_all()
        return made, made.task

    return run


def test_the_wait_before_a_retry_is_the_rows(work: Work, ours: DictConnection) -> None:
    """On a worker, too, it is the row's policy with its jitter, and not Airflow's delay, that says how long it is."""
    policy = {"retries": 2, "retry_delay": timedelta(seconds=40), "retry_jitter": 0.5}
    _, task = work("exit 1", **policy)
    job = job_from_row(jobs.find(ours, "a"))
    assert job.schedule.starts_at is not None
    assert task.state == "up_for_retry"
    key = webhook_id(job.id, job.schedule.starts_at)
    assert task.retry_delay_override == job.retry.wait(1, key).total_seconds()
    assert 40 < task.retry_delay_override < 60
    [row] = ours.execute("select status, attempt from execution").fetchall()
    assert row == {"status": "retrying", "attempt": 1}


def test_without_retries_left_it_has_failed(work: Work) -> None:
    """A failure that is the last is a failure in Airflow as well."""
    _, task = work("exit 1", retries=0)
    assert (task.state, task.retry_delay_override) == ("failed", None)


def test_a_success_ends_with_its_line(work: Work) -> None:
    """What the shift says in the end is the task's return value."""
    made, task = work("true")
    assert task.state == "success"
    assert "exit code 0" in str(made.xcoms()["return_value"])

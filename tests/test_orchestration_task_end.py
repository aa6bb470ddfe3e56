"""The one patch: what becomes of a task in Airflow's database when its shift ends, on the installed Airflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from inspect import signature
from typing import Any

import pytest

from tests.airflow_run import Deferred
from tests.airflow_system import OF_AIRFLOW, a_job  # isort: split

from airflow._shared.timezones import timezone
from airflow.jobs.job import Job
from airflow.jobs.triggerer_job_runner import TriggererJobRunner
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger, handle_event_submit
from airflow.models.xcom import XComModel
from airflow.triggers.base import BaseTaskEndEvent, TriggerEvent
from airflow.utils.net import get_hostname
from sqlalchemy import Float, text
from sqlalchemy.orm import Session

from include.orchestration.task_end import end_event, register
from include.retry import RetryPolicy
from include.shifts.shift import Ending

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

_RETRYING = {"retry": RetryPolicy(retries=2, delay=timedelta(0), backoff=1.0)}


@pytest.fixture
def deferred(airflow_session: Session) -> Callable[..., Deferred]:
    """Bring a job's run to its trigger."""

    def run(**changes: Any) -> Deferred:
        made = Deferred(airflow_session, a_job(7, **{"every": timedelta(hours=1), **changes}))
        assert made.task.state == "deferred"
        assert made.task.try_number == 1
        return made

    return run


def ending(state: Any, after_seconds: float | None = None) -> TriggerEvent:
    return end_event(Ending(state, f"{state}: \u00fcber", after_seconds))


def test_a_success_leaves_no_callback(deferred: Callable[..., Deferred]) -> None:
    """A task that ends well is a success, and nothing is asked of the DAG processor."""
    run = deferred()
    task = run.submit(ending("success"))
    assert task.state == "success"
    assert task.trigger_id is None
    assert task.next_method is None
    assert run.count("callback") == 0


@pytest.mark.parametrize("state", ["success", "skipped", "failed", "retry"])
def test_a_run_with_news_is_next_in_line(deferred: Callable[..., Deferred], state: str) -> None:
    """However many shifts are on duty, the scheduler looks at a run that ended before it looks at those."""
    run = deferred(**_RETRYING)
    assert run.run.last_scheduling_decision is not None
    run.submit(ending(state))
    assert run.run.last_scheduling_decision is None


@pytest.mark.parametrize(
    ("state", "ends_as"), [("success", "success"), ("failed", "failed"), ("skipped", "success"), ("retry", "running")]
)
def test_a_run_ends_with_its_task(deferred: Callable[..., Deferred], state: str, ends_as: str) -> None:
    """The scheduler, which looks at some runs in each of its rounds, would come to it later."""
    run = deferred(**_RETRYING)
    run.submit(ending(state))
    assert run.run.state == ends_as
    assert (run.run.end_date is not None) == (ends_as != "running")


@pytest.mark.parametrize(
    "change",
    [
        "update public.dag set exceeds_max_non_backfill = true",
        "update public.dag set max_consecutive_failed_dag_runs = 3",
        "update public.dag_run set run_type = 'backfill'",
        """
        insert into public.task_instance (id, task_id, dag_id, run_id, map_index, state, try_number, pool, pool_slots)
        select gen_random_uuid(), 'other', dag_id, run_id, -1, 'deferred', 1, 'default_pool', 1 from public.dag_run
        """,
    ],
    ids=["too many runs", "counts failures", "a backfill", "another task"],
)
def test_a_run_is_left_to_the_scheduler_where_it_has_more_to_do(
    deferred: Callable[..., Deferred], airflow_session: Session, change: str
) -> None:
    """It counts runs and failures, and waits for the other tasks; and it looks at this run first."""
    run = deferred()
    trigger_id = run.task.trigger_id
    airflow_session.execute(text(change))
    airflow_session.commit()
    Trigger.submit_event(trigger_id, ending("success"))
    airflow_session.expire_all()
    assert run.run.state == "running"
    assert run.run.last_scheduling_decision is None


def test_the_duration_is_that_of_the_try(deferred: Callable[..., Deferred]) -> None:
    """A try that succeeds after a failed one lasted from its own start to its own end, and no time less than none."""
    run = deferred(**_RETRYING)
    first_end = run.submit(ending("retry", 0.0)).end_date
    run.schedule()
    assert run.task.state == "deferred"
    assert run.task.try_number == 2
    task = run.submit(ending("success"))
    assert task.end_date > first_end
    assert task.end_date >= task.start_date
    assert task.duration == pytest.approx((task.end_date - task.start_date).total_seconds())


def test_the_result_is_readable(deferred: Callable[..., Deferred]) -> None:
    """The line that a shift ends with is the task's return value: encoded once, so that it reads as it was written."""
    run = deferred()
    task = run.submit(ending("success"))
    assert run.xcoms() == {"return_value": "success: \u00fcber"}
    stored = run.session.scalars(
        XComModel.get_many(run_id=task.run_id, key="return_value", dag_ids=task.dag_id, task_ids=task.task_id)
    ).one()
    assert XComModel.deserialize_value(stored) == "success: \u00fcber"


def test_a_permanent_failure_is_not_retried(deferred: Callable[..., Deferred]) -> None:
    """What no retry can mend fails at once, though there are tries left."""
    run = deferred(**_RETRYING)
    task = run.submit(ending("failed"))
    assert task.state == "failed"
    assert task.try_number == 1
    assert run.xcoms() == {"return_value": "failed: \u00fcber"}
    assert run.count("callback") == 0
    run.schedule()
    assert run.run.state == "failed"


def test_a_failure_is_retried_until_the_tries_are_used_up(deferred: Callable[..., Deferred]) -> None:
    """Two retries are two more tries, each with its history, and then the task has failed."""
    run = deferred(**_RETRYING)
    for number in (1, 2):
        task = run.submit(ending("retry", 0.0))
        assert task.state == "up_for_retry"
        assert run.count("task_instance_history") == number
        run.schedule()
        assert run.task.try_number == number + 1
    assert run.submit(ending("retry", 0.0)).state == "failed"
    assert run.count("callback") == 0


def test_the_wait_before_a_retry_is_the_shifts(deferred: Callable[..., Deferred]) -> None:
    """A server that says when to come again (`Retry-After`) is not called before."""
    run = deferred(**_RETRYING)
    task = run.submit(ending("retry", 90.5))
    assert task.retry_delay_override == 90.5
    run.schedule()
    assert run.task.state == "up_for_retry"
    task.task = run.dag.get_task(task.task_id)
    assert task.next_retry_datetime() - task.end_date == timedelta(seconds=90.5)


def test_a_wait_holds_for_one_retry(deferred: Callable[..., Deferred]) -> None:
    """A failure that names no wait gets the row's delay, whatever an earlier failure had asked for."""
    run = deferred(**_RETRYING)
    run.submit(ending("retry", 0.0))
    run.schedule()
    assert run.submit(ending("retry", None)).retry_delay_override is None


def test_a_skip_is_a_skip(deferred: Callable[..., Deferred]) -> None:
    """An occurrence that was left out is shown as skipped, with the reason."""
    run = deferred()
    assert run.submit(ending("skipped")).state == "skipped"
    assert run.xcoms() == {"return_value": "skipped: \u00fcber"}
    assert run.count("callback") == 0


@pytest.mark.parametrize("state", ["success", "failed", "retry"])
def test_the_control_word_stays_inside(deferred: Callable[..., Deferred], state: str) -> None:
    """What the trigger tells the handler is not among the task's results."""
    run = deferred(retry=RetryPolicy(retries=0))
    run.submit(ending(state))
    assert set(run.xcoms()) == {"return_value"}


@pytest.mark.parametrize("line", ["nul \x00 within", "half a pair \ud800", ""])
def test_any_line_can_be_stored(deferred: Callable[..., Deferred], line: str) -> None:
    """A character that PostgreSQL cannot store must not take the triggerer down, which an error here would."""
    run = deferred()
    assert run.submit(end_event(Ending("success", line))).state == "success"
    assert len(run.xcoms()["return_value"]) == len(line)


def test_a_dag_that_cannot_be_read_is_not_retried(deferred: Callable[..., Deferred]) -> None:
    """Without the DAG nobody knows how many tries there are: the task fails, and the triggerer goes on."""
    run = deferred(**_RETRYING)
    run.session.execute(text("update serialized_dag set data = '{}', dag_hash = 'broken'"))
    run.session.commit()
    assert run.submit(ending("retry", 1.0)).state == "failed"


def test_triggers_of_others_are_airflows(deferred: Callable[..., Deferred]) -> None:
    """A task with somebody else's trigger ends as Airflow has it: with a callback, and retried after any failure."""
    run = deferred(**_RETRYING)
    run.session.execute(text("update public.trigger set classpath = 'elsewhere.TheirTrigger'"))
    run.session.commit()
    run.session.expire_all()
    task = run.submit(ending("failed"))
    assert task.state == "up_for_retry"
    assert run.count("callback") == 1


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_each_event_is_a_sign_of_life(deferred: Callable[..., Deferred], place: str) -> None:
    """Airflow gives one when all events of a round are through, which may be thousands; none of another triggerer's."""
    register()  # anew: there has been no sign a moment ago
    run = deferred()
    long_ago = timezone.utcnow() - timedelta(hours=1)
    triggerer = Job(job_type="TriggererJob", state="running", latest_heartbeat=long_ago)
    triggerer.hostname = get_hostname() if place == "here" else place
    run.session.add(triggerer)
    run.session.flush()
    run.session.execute(text("update public.trigger set triggerer_id = :id"), {"id": triggerer.id})
    run.session.commit()
    try:
        assert run.submit(ending("success")).state == "success"
        assert (triggerer.latest_heartbeat > long_ago) is (place == "here")
    finally:
        run.session.delete(triggerer)
        run.session.commit()


def test_a_heartbeat_is_as_old_as_it_is(airflow_session: Session) -> None:
    """Airflow's own writes the time of the one before: a triggerer that was busy for long would pass for dead by it."""
    triggerer = Job()
    TriggererJobRunner(triggerer, capacity=1)
    triggerer.prepare_for_execution()
    ask = text("select latest_heartbeat from public.job where id = :id")
    try:
        triggerer.latest_heartbeat = timezone.utcnow() - timedelta(minutes=1)
        before = timezone.utcnow()
        triggerer.heartbeat(heartbeat_callback=lambda session: None)
        assert airflow_session.execute(ask, {"id": triggerer.id}).scalar_one() >= before
    finally:
        airflow_session.execute(text("delete from public.job where id = :id"), {"id": triggerer.id})
        airflow_session.commit()


def test_registering_twice_is_harmless(deferred: Callable[..., Deferred]) -> None:
    """Each process registers once; one that does so again still hands the events of others to Airflow's handler."""
    register()
    register()
    run = deferred()
    assert run.submit(ending("success")).state == "success"
    assert run.count("callback") == 0


def test_every_process_has_the_patch() -> None:
    """Importing Airflow with our `config/` on the path applies the patch, for each event that ends a task."""
    for event in BaseTaskEndEvent.__subclasses__():
        handler = handle_event_submit.dispatch(event)
        assert handler.__module__ == "include.orchestration.task_end", event


def test_airflow_is_as_the_patch_expects_it() -> None:
    """A release that handles end events in another way fails here, and not in a triggerer."""
    ends = set(BaseTaskEndEvent.__subclasses__())
    assert {event.__name__ for event in ends} == {"TaskSuccessEvent", "TaskFailedEvent", "TaskSkippedEvent"}
    assert set(handle_event_submit.registry) == {object, BaseTaskEndEvent, *ends}
    stock = handle_event_submit.dispatch(BaseTaskEndEvent)
    assert stock.__module__ == "airflow.models.trigger"
    assert list(signature(stock).parameters) == ["event", "task_instance", "session"]
    assert "serialize" in signature(XComModel.set).parameters
    for name in ("set_duration", "clear_next_method_args", "prepare_db_for_next_try", "is_eligible_to_retry"):
        assert callable(getattr(TaskInstance, name))
    for name in ("set_state", "notify_dagrun_state_changed", "_emit_duration_stats_for_finished_state"):
        assert callable(getattr(DagRun, name))
    assert isinstance(TaskInstance.__table__.columns["retry_delay_override"].type, Float)  # seconds

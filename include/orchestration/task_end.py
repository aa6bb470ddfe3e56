"""How a shift's ending reaches Airflow's database.

Airflow's own handler writes a callback request for every task that ends in a trigger, whether anybody listens or not;
the DAG processor forks and imports a DAG file for each. It also retries every failure, keeps the end date of the try
before, encodes XComs twice, and gives no sign of life until the last of a thousand events is through. The run of the
task is left to the scheduler, which looks at some runs in each of its rounds, and could look at others meanwhile.
`register` puts our handler in its place, for tasks of Millrace only; without it everything works, but slower, and
permanent failures are retried.

An event reaches the triggerer's supervisor as a plain `TaskFailedEvent`; only its `xcoms` survive the way. So what the
handler needs to know travels there, under `CONTROL`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from airflow.triggers.base import BaseTaskEndEvent, TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from airflow.utils.net import get_hostname

from include.shifts.shift import Ending

log = logging.getLogger(__name__)

CONTROL = "millrace"
_PREFIX = "include.orchestration."
_SIGN_SECONDS = 1.0


def end_event(ending: Ending) -> TriggerEvent:
    """The event that ends the task as the shift ended."""
    # What PostgreSQL cannot store in JSON is replaced: an error while the event is handled would end the triggerer.
    line = ending.line.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    if ending.state == "worker":
        return TriggerEvent(line)  # Airflow goes on with the task on a worker
    if ending.state == "success":
        return TaskSuccessEvent(xcoms={"return_value": line})
    if ending.state == "skipped":
        return TaskSkippedEvent(xcoms={"return_value": line})
    return TaskFailedEvent(
        xcoms={
            CONTROL: {"retry": ending.state == "retry", "after_seconds": ending.after_seconds},
            "return_value": line,
        }
    )


def register() -> None:
    """Handle the end events of our tasks ourselves; called once per process, before any trigger ends."""
    from airflow.models.trigger import handle_event_submit

    stock = handle_event_submit.dispatch(BaseTaskEndEvent)
    pulse = _Pulse()

    def handle(event: Any, *, task_instance: Any, session: Any) -> None:
        trigger = task_instance.trigger
        if trigger is None or not str(trigger.classpath).startswith(_PREFIX):
            stock(event, task_instance=task_instance, session=session)
            return
        pulse.beat(trigger.triggerer_id, session)
        xcoms = dict(event.xcoms or {})
        control = xcoms.pop(CONTROL, None) or {}
        if event.task_instance_state == "failed" and control.get("retry", True) and _may_retry(task_instance, session):
            _try_again(task_instance, control.get("after_seconds"), session)
        else:
            ends_run = _ends_run(task_instance, session)
            _finish(task_instance, event.task_instance_state, xcoms, session)
            if ends_run:
                _end_run(task_instance.dag_run, event.task_instance_state)

    for kind in (TaskSuccessEvent, TaskSkippedEvent, TaskFailedEvent):
        handle_event_submit.register(kind, handle)


class _Pulse:
    """A triggerer's signs of life between its events.

    Airflow's own come when all events of a round are through, 10 to 30 ms each. Thousands end at once when thousands of
    rows are deleted; so long a triggerer passed for dead, and its other shifts wandered.
    """

    def __init__(self) -> None:
        self._due = 0.0

    def beat(self, triggerer_id: int | None, session: Any) -> None:
        """Give one, unless there was one a moment ago; none for a triggerer that was given our trigger meanwhile."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _SIGN_SECONDS
        from airflow._shared.timezones import timezone
        from airflow.jobs.job import Job
        from sqlalchemy import update

        mine = (Job.id == triggerer_id, Job.hostname == get_hostname(), Job.end_date.is_(None))
        said = update(Job).where(*mine).values(latest_heartbeat=timezone.utcnow())
        session.execute(said.execution_options(synchronize_session=False))


def _may_retry(task_instance: Any, session: Any) -> bool:
    """As Airflow decides it: the task as serialized says how many tries there are."""
    from airflow.models.dagbag import DBDagBag

    try:
        dag = DBDagBag().get_dag_for_run(dag_run=task_instance.dag_run, session=session)
        if dag is None:
            return False
        task_instance.task = dag.get_task(task_instance.task_id)
    except Exception:  # whatever leaves this handler ends the triggerer
        log.exception("cannot read the DAG of %s; it fails without a retry", task_instance)
        return False
    return bool(task_instance.is_eligible_to_retry())


def _try_again(task_instance: Any, after_seconds: float | None, session: Any) -> None:
    from airflow.utils.state import TaskInstanceState

    _stop(task_instance)
    task_instance.prepare_db_for_next_try(session)
    task_instance.state = TaskInstanceState.UP_FOR_RETRY
    task_instance.retry_delay_override = after_seconds  # None: the delay of the task; not that of an earlier failure
    session.flush()


def _finish(task_instance: Any, state: Any, xcoms: dict[str, Any], session: Any) -> None:
    from airflow.models.xcom import XComModel

    _stop(task_instance)
    task_instance.state = state
    session.flush()
    for key, value in xcoms.items():
        XComModel.set(
            key=key,
            value=value,
            dag_id=task_instance.dag_id,
            task_id=task_instance.task_id,
            run_id=task_instance.run_id,
            map_index=task_instance.map_index,
            serialize=False,
            session=session,
        )


def _ends_run(task_instance: Any, session: Any) -> bool:
    """Whether the run ends with this task: it has no other, and nothing but its state is left to be seen to.

    A DAG that has reached its greatest number of runs, or may fail only so often, waits for the scheduler to count.
    """
    from airflow.models import DagModel, TaskInstance
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunType
    from sqlalchemy import func, select

    run = task_instance.dag_run
    if run.state != DagRunState.RUNNING or run.run_type not in (DagRunType.SCHEDULED, DagRunType.MANUAL):
        return False
    tasks = select(func.count()).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
    free = (DagModel.exceeds_max_non_backfill.is_(False), DagModel.max_consecutive_failed_dag_runs == 0)
    number = session.scalar(select(tasks.scalar_subquery()).where(DagModel.dag_id == run.dag_id, *free))
    return bool(number == 1)


def _end_run(run: Any, task_state: Any) -> None:
    """As the scheduler does it, with what listeners and metrics are told."""
    from airflow.utils.state import DagRunState

    has_failed = task_state == "failed"
    run.set_state(DagRunState.FAILED if has_failed else DagRunState.SUCCESS)
    run.notify_dagrun_state_changed(msg="task_failure" if has_failed else "success")
    run._emit_duration_stats_for_finished_state()


def _stop(task_instance: Any) -> None:
    """End the try now; Airflow's own code keeps the end date of the try before, and so a negative duration."""
    from airflow._shared.timezones import timezone

    task_instance.trigger_id = None
    task_instance.end_date = timezone.utcnow()
    task_instance.set_duration()
    task_instance.clear_next_method_args()
    # The scheduler looks at the runs that it has not looked at for longest, some at a time; this one has news.
    task_instance.dag_run.last_scheduling_decision = None

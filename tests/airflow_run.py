"""Runs of our DAGs in Airflow's database, made by Airflow's own code: what its processor and scheduler would do."""

from __future__ import annotations

import json
from typing import Any

from tests import airflow_system  # noqa: F401

# isort: split
from airflow.executors.workloads import TaskInstanceDTO
from airflow.jobs.triggerer_job_runner import TriggerRunner
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.timetables.base import DagRunInfo
from airflow.triggers.base import DiscrimatedTriggerEvent, TriggerEvent
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.orm import Session

from include.model import Job
from include.orchestration.factory import build
from include.orchestration.trigger import ShiftTrigger

_WIRE: TypeAdapter[Any] = TypeAdapter(DiscrimatedTriggerEvent)


def write_dag(session: Session, job: Job) -> SerializedDAG:
    """Build a job's DAG and write it as the DAG processor does; return it as the scheduler reads it."""
    session.merge(DagBundleModel(name="millrace"))
    session.flush()
    dag = LazyDeserializedDAG.from_dag(build(job))
    SerializedDAG.bulk_write_to_db("millrace", None, [dag], session=session)
    SerializedDagModel.write_dag(dag, bundle_name="millrace", session=session)
    # Built outside of a file; Airflow wants one.
    session.execute(text("update dag set relative_fileloc = 'job_00000.py'"))
    session.commit()
    return dag._real_dag


class Deferred:
    """One run of a job's DAG, brought to its trigger by the scheduler's own code."""

    def __init__(self, session: Session, job: Job) -> None:
        self.session = session
        self.dag = write_dag(session, job)
        info = self.dag.next_dagrun_info(last_automated_run_info=None)
        assert info is not None
        self.run = self._create(info)
        self.schedule()

    def _create(self, info: DagRunInfo) -> DagRun:
        run_id = self.dag.timetable.generate_run_id(
            run_type=DagRunType.SCHEDULED, run_after=info.run_after, data_interval=info.data_interval
        )
        made: DagRun = self.dag.create_dagrun(
            run_id=run_id,
            logical_date=info.logical_date,
            data_interval=info.data_interval,
            run_after=info.run_after,
            run_type=DagRunType.SCHEDULED,
            triggered_by=DagRunTriggeredByType.TIMETABLE,
            state=DagRunState.RUNNING,
            session=self.session,
        )
        return made

    def schedule(self) -> None:
        """Let the scheduler look at the run: a task that may start, or start again, goes to its trigger."""
        self.run.dag = self.dag
        schedulable, _ = self.run.update_state(session=self.session, execute_callbacks=False)
        self.run.schedule_tis(schedulable, session=self.session)
        self.session.commit()

    def trigger(self) -> ShiftTrigger:
        """The trigger as the triggerer makes it, in its own process, of what comes over the wire."""
        row = self.session.get(Trigger, self.task.trigger_id)
        assert row is not None
        assert row.classpath == ShiftTrigger().serialize()[0]
        made = ShiftTrigger(**row.kwargs)
        serialized = SerializedDagModel.get(self.run.dag_id, session=self.session)
        assert serialized is not None
        made.task_instance = TriggerRunner.create_runtime_ti(
            TaskInstanceDTO.model_validate(self.task, from_attributes=True),
            serialized.data,
            json.loads(self.run.dag_run_data.model_dump_json(exclude_unset=True)),
        )
        self.session.commit()
        return made

    def submit(self, event: TriggerEvent) -> TaskInstance:
        """End the trigger with an event, by the way that events go, and return the task as the database has it."""
        arrived = _WIRE.validate_json(_WIRE.dump_json(event))  # from the trigger's process to its supervisor's
        trigger_id = self.task.trigger_id
        self.session.commit()
        Trigger.submit_event(trigger_id, arrived)
        self.session.expire_all()
        return self.task

    @property
    def task(self) -> TaskInstance:
        (found,) = self.run.get_task_instances(session=self.session)
        return found

    def count(self, table: str) -> int:
        return int(self.session.execute(text(f"select count(*) from public.{table}")).scalar_one())

    def xcoms(self) -> dict[str, Any]:
        rows = self.session.execute(text("select key, value from public.xcom")).all()
        return {row.key: row.value for row in rows}

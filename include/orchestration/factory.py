"""Rows to DAGs: one row, one DAG. Building twice gives the same bytes; one bad row hides no other.

A DAG holds identity and schedule only. The payload stays in the row, so that editing it changes no DAG: Airflow would
keep a version of the DAG for each edit, and would see the edit only after parsing.
"""

from __future__ import annotations

import logging

from airflow.sdk import DAG, get_parsing_context

from include import registry
from include.errors import ConfigError
from include.model import Job
from include.orchestration.operator import ShiftOperator
from include.orchestration.timetable import ShiftTimetable
from include.settings import settings
from include.store import shards
from include.store.db import connect

log = logging.getLogger(__name__)

# Enough for a shift, its successor, late ones and runs by hand; what may overlap is decided by the ledger.
_MAX_ACTIVE_RUNS = 16
_TASK = "fire"


def job_dags(number: int) -> dict[str, DAG]:
    """The DAGs of one shard by id, for a DAG file's globals; rows that cannot be built say so and are left out."""
    with connect(settings().database_url, via="factory") as db:
        seen = shards.snapshot(db)
        wanted = get_parsing_context().dag_id
        jobs = [job for job in shards.jobs_of_shard(db, number) if wanted in (None, job.dag_id)]
        dags: dict[str, DAG] = {}
        for job in jobs:
            try:
                dags[job.dag_id] = build(job)
            except Exception as error:  # the row is at fault, or we are; either way its neighbours go on
                log.warning(
                    "job %s has no DAG: %s", job.id, explain(error), exc_info=not isinstance(error, ConfigError)
                )
                shards.set_error(db, job.id, explain(error))
        if wanted is None:
            shards.note_build(db, "job", number, seen)
    return dags


def build(job: Job) -> DAG:
    """The DAG of one job; `ConfigError` if the row makes no sense."""
    registry.vet(job)
    fast = job.schedule.is_fast
    scheduled = any((job.schedule.cron, job.schedule.every, job.schedule.run_at))
    with DAG(
        dag_id=job.dag_id,
        dag_display_name=job.name,
        schedule=ShiftTimetable.of(job) if scheduled else None,
        catchup=False,
        max_active_runs=_MAX_ACTIVE_RUNS,
        tags=sorted({"job", job.kind, f"owner:{job.owner}"[:100]}),
    ) as dag:
        ShiftOperator(
            task_id=_TASK,
            table="job",
            row_id=job.id,
            owner=job.owner,
            retries=0 if fast else job.retries,
            retry_delay=job.retry_delay,
            retry_exponential_backoff=0 if job.retry_backoff == 1 else job.retry_backoff,
        )
    dag.validate()
    return dag


def explain(error: Exception) -> str:
    """What a row says about the error that kept it from having a DAG."""
    return str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"

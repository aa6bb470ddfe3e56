"""Rows to DAGs: one row, one DAG. Building twice gives the same bytes; one bad row hides no other.

A DAG holds identity and schedule only. The payload stays in the row, so that editing it changes no DAG: Airflow would
keep a version of the DAG for each edit, and would see the edit only after parsing.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import DAG, Asset, get_parsing_context

from include import registry
from include.errors import ConfigError
from include.model import Connector, Job
from include.orchestration.operator import ShiftOperator, WorkerShiftOperator
from include.orchestration.timetable import ShiftTimetable
from include.settings import settings
from include.store import shards
from include.store.db import connect
from include.store.shards import Row

log = logging.getLogger(__name__)

# Enough for a shift, its successor, late ones and runs by hand; what may overlap is decided by the ledger.
_MAX_ACTIVE_RUNS = 16
_SHORTEST_RETRY_DELAY = timedelta(seconds=1)  # Airflow takes 0 for no limit
# What ends a part of a URI, and what Airflow leaves out of one: two connectors would be the same asset.
_SPECIAL = re.compile(r"[%/?#\t\r\n]")


def row_dags(table: str, number: int) -> dict[str, DAG]:
    """The DAGs of one shard by id, for a DAG file's globals; rows that cannot be built say so and are left out."""
    with connect(settings().database_url, via="factory") as db:
        seen = shards.snapshot(db)
        wanted = get_parsing_context().dag_id
        rows = [row for row in shards.rows_of_shard(db, table, number) if wanted in (None, row.dag_id)]
        dags: dict[str, DAG] = {}
        for row in rows:
            try:
                dags[row.dag_id] = build(row)
            except Exception as error:  # the row is at fault, or we are; either way its neighbours go on
                log.warning(
                    "%s has no DAG: %s", row.dag_id, explain(error), exc_info=not isinstance(error, ConfigError)
                )
                shards.set_error(db, table, row.id, explain(error))
        if wanted is None:
            shards.note_build(db, table, number, seen)
    return dags


def build(row: Row) -> DAG:
    """The DAG of one row; `ConfigError` if the row makes no sense."""
    registry.vet(row)
    if isinstance(row, Job):
        return _job_dag(row)
    if isinstance(row, Connector):
        return _connector_dag(row)
    on_worker = registry.action(row.kind).runs_on == "worker"
    many = registry.has_shifts(row)
    schedule = ShiftTimetable.of(row.schedule, row.schedule_changed_at, continuous=many, ahead=not on_worker)
    tags = {"workflow", row.kind, f"connector:{row.connector_name}"}
    operator = WorkerShiftOperator if on_worker else ShiftOperator
    return _dag(row, "workflow", schedule, tags, operator, task_id="process", retries=0)


def _job_dag(job: Job) -> DAG:
    on_worker = registry.action(job.kind).runs_on == "worker"
    scheduled = any((job.schedule.cron, job.schedule.every, job.schedule.run_at))
    many = registry.has_shifts(job)
    schedule = (
        ShiftTimetable.of(job.schedule, job.schedule_changed_at, continuous=many, ahead=not on_worker)
        if scheduled
        else None
    )
    return _dag(
        job,
        "job",
        schedule,
        {"job", job.kind},
        WorkerShiftOperator if on_worker else ShiftOperator,
        task_id="fire",
        retries=0 if many else job.retry.retries,
        retry_delay=job.retry.delay,
        retry_exponential_backoff=0 if job.retry.backoff == 1 else job.retry.backoff,
        max_retry_delay=max(job.retry.longest, _SHORTEST_RETRY_DELAY),
    )


def _connector_dag(connector: Connector) -> DAG:
    runs_on = registry.source(connector.kind).runs_on
    continuous = registry.has_shifts(connector)
    pulled = connector.every is not None and runs_on != "api"
    schedule = (
        ShiftTimetable.of(
            connector.schedule, connector.schedule_changed_at, continuous=continuous, ahead=runs_on == "triggerer"
        )
        if pulled
        else None
    )
    # So that Airflow knows the asset; its events are written by store/news.py when there are new records.
    outlets = [Asset(f"millrace://connector/{_part(connector.owner)}/{_part(connector.name)}")]
    operator = WorkerShiftOperator if runs_on == "worker" else ShiftOperator
    tags = {"connector", connector.kind}
    return _dag(connector, "connector", schedule, tags, operator, task_id="pull", retries=0, outlets=outlets)


def _part(text: str) -> str:
    """The text as one part of an asset's URI, as legible as can be."""
    return _SPECIAL.sub(lambda found: quote(found[0], safe=""), text)


def _dag(
    row: Row,
    table: str,
    schedule: ShiftTimetable | None,
    tags: set[str],
    operator: type[WorkerShiftOperator] = ShiftOperator,
    **task: Any,
) -> DAG:
    with DAG(
        dag_id=row.dag_id,
        dag_display_name=row.name,
        schedule=schedule,
        catchup=False,
        max_active_runs=_MAX_ACTIVE_RUNS,
        tags=sorted(tag[:100] for tag in {*tags, f"owner:{row.owner}"}),
    ) as dag:
        operator(table=table, row_id=row.id, owner=row.owner, **task)
    dag.validate()
    return dag


def explain(error: Exception) -> str:
    """What a row says about the error that kept it from having a DAG."""
    return str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"

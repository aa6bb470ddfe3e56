"""Run a job once, now, through Airflow: as its Trigger button does."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from include.cli.airflow_api import AirflowApi, airflow_api
from include.cli.dag_runs import check_startable, has_ended, trigger
from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NameOrId
from include.cli.jobs_view import EXECUTION_HEADERS, execution_cells, execution_document
from include.cli.output import print_json, print_line, print_table
from include.cli.payload import parse_object
from include.cli.row_edits import vet
from include.errors import MillraceError
from include.model import FINAL, Job
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.rows import job_from_row

_POLL_SECONDS = 0.2
_DAG_POLL_SECONDS = 1.0


def run(
    name_or_id: NameOrId,
    conf: Annotated[
        str | None, typer.Option("--conf", metavar="JSON", help="Settings of the payload to replace, this time only.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it has ended; exit code 1 unless it is a success.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job once, now, whatever its schedule.

    Example: `./millrace jobs run nightly --conf '{"body": {"report": "weekly"}}' --wait`
    """
    overrides = {} if conf is None else parse_object(conf, "--conf")
    with open_database() as db:
        job = job_from_row(jobs.find(db, name_or_id))
        _check(job, overrides)
        with airflow_api() as api:
            run_id, due = trigger(api, job, overrides, poll_seconds=_DAG_POLL_SECONDS)
            if not as_json:
                print_line(f"started job {job.id} ({job.name}): run {run_id}")
            execution = _outcome(db, api, job, due, run_id) if wait else None
    if as_json:
        shown = None if execution is None else execution_document(execution)
        print_json({"job_id": job.id, "dag_run_id": run_id, "scheduled_for": due, "execution": shown})
    elif execution is not None:
        print_table(EXECUTION_HEADERS, [execution_cells(execution)])
    else:
        print_line(f"`./millrace jobs executions {job.id}` shows what becomes of it")
    if execution is not None and execution["status"] != "success":
        raise typer.Exit(1)


def _check(job: Job, overrides: dict[str, Any]) -> None:
    check_startable(job)
    vet(replace(job, payload={**job.payload, **overrides}), "job")


def _outcome(db: DictConnection, api: AirflowApi, job: Job, due: datetime, run_id: str) -> Row:
    """The execution once it is final. A run that ends without one says so, instead of waiting for ever.

    While Airflow does not answer, the ledger is asked on: it is what counts.
    """
    turn = 0
    while True:
        over = turn % 10 == 9 and has_ended(api, job, run_id)
        execution = jobs.execution(db, job.id, due)  # asked after: what ended in between is seen
        if execution is not None and execution["status"] in FINAL:
            return execution
        if over:
            raise MillraceError(f"run {run_id} of job {job.name!r} ended in Airflow without an execution; see its log")
        turn += 1
        time.sleep(_POLL_SECONDS)

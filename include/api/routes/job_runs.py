"""Runs by hand, whether a job would do, and many jobs at once."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import psycopg
from fastapi import Body, Path
from fastapi.responses import Response
from pydantic import Field

from include import registry
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.problem import ProblemAtPlace, problems
from include.api.route import api_router
from include.api.routes.jobs import JobId
from include.api.sent import Sent
from include.api.threads import Threads, ThreadsDep
from include.api.transactions import Db
from include.documents import bulk, edits
from include.documents.caller import Caller
from include.documents.connector import CONNECTORS
from include.documents.execution import microseconds
from include.documents.fields import Document, Id, JsonObject, Shown, ShownInstant
from include.documents.invalid import InvalidDocumentError, parse
from include.documents.job import JOBS, JobSettings, check_to_come
from include.documents.workflow import WORKFLOWS
from include.errors import ConfigError, RefusedError
from include.fires import next_fires
from include.model import Connector, Job, Workflow
from include.orchestration import runs
from include.orchestration.runs import NoDagYetError, Started
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row, changing
from include.store.idempotency import Answer
from include.store.rows import connector_from_row, job_from_row, workflow_from_row
from include.times import utcnow

router = api_router()

# A new row has its DAG within seconds; who asks for a run before that waits for it, a little longer each time.
_PAUSES = (0.25, 0.5, 1.0, 1.0, 1.0, 1.0)
_MOST = 1000
_FIRES = 5
RowId = Annotated[int, Path(ge=1, le=LARGEST_ID)]


class RunSettings(Document):
    """What is different this time."""

    conf: JsonObject = Field(
        {},
        description="Settings of the payload to replace, for this run only; neither `conn_id` nor what is run as code.",
        examples=[{"body": {"report": "weekly"}}],
    )


class NoSettings(Document):
    """Nothing can be different."""


class StartedRun(Shown):
    """A run by hand that Airflow will start at once."""

    dag_id: str
    dag_run_id: str
    scheduled_for: ShownInstant


class StartedJob(StartedRun):
    """A run by hand of a job."""

    job_id: int
    execution: str = Field(description="Where its execution is, as soon as it has begun; 404 until then.")


class ManyJobs(Document):
    """Jobs to add."""

    jobs: list[JobSettings] = Field(min_length=1, max_length=_MOST)


class JobIds(Document):
    """Which jobs."""

    ids: list[Id] = Field(min_length=1, max_length=_MOST, examples=[[41, 42]])


class JobsDone(Shown):
    """The ids of the jobs, in the order of the request."""

    ids: list[int]


class Validity(Shown):
    """Whether a job could be added."""

    valid: bool
    schedule: str | None = Field(None, description="Its schedule in words.")
    next: list[ShownInstant] = Field([], description="When it would fire next.")
    problems: list[ProblemAtPlace] = Field([], description="What is wrong with it, and where.")


@router.post(
    "/jobs/{job_id}/run", status_code=202, tags=["jobs"], response_model=StartedJob, responses=problems(404, 409)
)
async def run_job(
    job_id: JobId, sent: Sent, transactions: Db, threads: ThreadsDep, settings: RunSettings | None = None
) -> Response:
    """Run a job once, now, whatever its schedule: as Airflow's Trigger button does.

    With an `Idempotency-Key`, there is one run however often you send it. 503: Airflow does not have the DAG of a new
    job yet; send it again.
    """
    conf = settings.conf if settings else {}

    def work(db: DictConnection) -> Answer:
        job = job_from_row(edits.get(db, JOBS, sent.caller, job_id))
        sent.caller.check_writes()
        _check_active(job, "job")
        registry.check_conf(job.kind, job.payload, conf)
        registry.vet(replace(job, payload={**job.payload, **conf}))
        started = _start(sent, job, conf)
        location = f"/millrace/api/v1/jobs/{job.id}/executions/{microseconds(started.due)}"
        document = {**_document(job, started), "job_id": job.id, "execution": location}
        return answer(StartedJob, document, 202, location=location)

    return await _once_there(threads, lambda: transactions.once(sent, work))


@router.post(
    "/connectors/{connector_id}/run",
    status_code=202,
    tags=["connectors"],
    response_model=StartedRun,
    responses=problems(404, 409),
)
async def run_connector(
    connector_id: RowId, sent: Sent, transactions: Db, threads: ThreadsDep, _: NoSettings | None = None
) -> Response:
    """Pull once, now, however often it is due."""

    def work(db: DictConnection) -> Answer:
        connector = connector_from_row(edits.get(db, CONNECTORS, sent.caller, connector_id))
        sent.caller.check_writes()
        _check_active(connector, "connector")
        registry.vet(connector)
        if registry.source(connector.kind).runs_on == "api":
            raise RefusedError(409, f"connector {connector.id} does not pull: its records are pushed to it")
        return answer(StartedRun, _document(connector, _start(sent, connector)), 202)

    return await _once_there(threads, lambda: transactions.once(sent, work))


@router.post(
    "/workflows/{workflow_id}/run",
    status_code=202,
    tags=["workflows"],
    response_model=StartedRun,
    responses=problems(404, 409),
)
async def run_workflow(
    workflow_id: RowId, sent: Sent, transactions: Db, threads: ThreadsDep, _: NoSettings | None = None
) -> Response:
    """Look for new records once, now, whatever the schedule."""

    def work(db: DictConnection) -> Answer:
        row = edits.get(db, WORKFLOWS, sent.caller, workflow_id)
        workflow = workflow_from_row(row)
        sent.caller.check_writes()
        _check_active(workflow, "workflow")
        registry.vet(workflow)
        _check_begun(row, workflow)
        return answer(StartedRun, _document(workflow, _start(sent, workflow)), 202)

    return await _once_there(threads, lambda: transactions.once(sent, work))


@router.post("/jobs/validate", tags=["jobs"], response_model=Validity, responses=problems())
def validate_job(
    settings: Annotated[dict[str, Any], Body(examples=[{"name": "nightly", "kind": "ping", "cron": "0 3 * * *"}])],
    caller: CallerDep,
    transactions: Db,
) -> Response:
    """Whether `POST /jobs` would take this from you now, and when the job would fire; nothing is stored."""
    caller.check_writes()
    with transactions.writing(caller) as db:
        found = _validity(db, caller, settings)
    return response(answer(Validity, found))


@router.post("/jobs/bulk", status_code=201, tags=["jobs"], response_model=JobsDone, responses=problems(409))
def create_jobs(many: ManyJobs, sent: Sent, transactions: Db) -> Response:
    """Add up to 1000 jobs: all of them, or none; an error says which one is at fault (`body.jobs.3.every`).

    One that is there already, by its `external_id` and with the same settings, is not added again.
    """
    return transactions.once(
        sent, lambda db: answer(JobsDone, {"ids": bulk.create(db, JOBS, sent.caller, many.jobs)}, 201)
    )


@router.post("/jobs/bulk-pause", tags=["jobs"], response_model=JobsDone, responses=problems(404))
def pause_jobs(which: JobIds, sent: Sent, transactions: Db) -> Response:
    """Take up to 1000 jobs off duty, until somebody resumes them: all of them, or none."""
    return _switched(sent, transactions, which, {"is_active": False})


@router.post("/jobs/bulk-resume", tags=["jobs"], response_model=JobsDone, responses=problems(404))
def resume_jobs(which: JobIds, sent: Sent, transactions: Db) -> Response:
    """Put up to 1000 jobs back on duty, whichever way they were paused: all of them, or none."""
    return _switched(sent, transactions, which, {"is_active": True, "paused_until": None})


@router.post("/jobs/bulk-delete", tags=["jobs"], response_model=JobsDone, responses=problems(404))
def delete_jobs(which: JobIds, sent: Sent, transactions: Db) -> Response:
    """Delete up to 1000 jobs: all of them, or none; the ledger keeps what became of them."""

    def work(db: DictConnection) -> Answer:
        bulk.remove(db, JOBS, sent.caller, which.ids)
        return answer(JobsDone, {"ids": which.ids})

    return transactions.once(sent, work)


def _switched(sent: Sent, transactions: Db, which: JobIds, columns: Mapping[str, Any]) -> Response:
    def work(db: DictConnection) -> Answer:
        bulk.switch(db, JOBS, sent.caller, which.ids, columns)
        return answer(JobsDone, {"ids": which.ids})

    return transactions.once(sent, work)


async def _once_there(threads: Threads, attempt: Callable[[], Response]) -> Response:
    """The answer, as soon as Airflow has the DAG; waiting for that holds neither a thread nor a connection."""
    for pause in _PAUSES:
        try:
            return await threads.run(attempt)
        except NoDagYetError:
            await asyncio.sleep(pause)
    return await threads.run(attempt)


def _start(sent: Sent, row: Job | Connector | Workflow, conf: Mapping[str, Any] | None = None) -> Started:
    """Airflow commits the run before we commit the key, so it is the run's id that keeps a repetition from being a
    second run, should we come to grief in between."""
    key = uuid.uuid4().hex
    if sent.key is not None:
        key = hashlib.sha256(repr((sent.caller.name, sent.key, sent.digest)).encode()).hexdigest()[:32]
    return runs.start(row.dag_id, run_id=f"manual__{key}", user=sent.caller.name, conf=conf)


def _document(row: Job | Connector | Workflow, started: Started) -> dict[str, Any]:
    return {"dag_id": row.dag_id, "dag_run_id": started.run_id, "scheduled_for": started.due}


def _check_active(row: Job | Connector | Workflow, noun: str) -> None:
    if not row.is_active:
        resume = f"POST /{noun}s/{row.id}/resume"
        raise RefusedError(409, f"{noun} {row.id} is paused, and Airflow starts no run of a paused DAG; `{resume}`")


def _check_begun(row: Row, workflow: Workflow) -> None:
    if row["stopped_at"] is not None:
        stopped_at = row["stopped_at"]
        raise RefusedError(409, f"workflow {workflow.id} has stopped at record {stopped_at}; skip that one, or rewind")
    if not row["begun"] and workflow.started_at > utcnow():
        raise RefusedError(
            409, f"workflow {workflow.id} does not begin before {workflow.started_at:%Y-%m-%d %H:%M} UTC"
        )


def _validity(db: DictConnection, caller: Caller, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What would become of the job: it is added, looked at, and not kept."""
    found: dict[str, Any] = {}
    try:
        with changing(db):
            wanted = parse(JobSettings, settings)
            check_to_come(wanted, utcnow())
            job = job_from_row(edits.create(db, JOBS, caller, wanted).row)
            found = {"valid": True, "schedule": job.schedule.describe(), "next": next_fires(job, utcnow(), _FIRES)}
            raise psycopg.Rollback
    except InvalidDocumentError as error:
        places = [{"place": f"body.{place}" if place else "body", "detail": said} for place, said in error.problems]
        return {"valid": False, "problems": places}
    except (ConfigError, RefusedError) as error:
        return {"valid": False, "problems": [{"place": "body", "detail": str(error)}]}
    return found

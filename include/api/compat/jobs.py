"""/compat/api/v1/jobs: the jobs of a predecessor, a cron expression and an HTTP request each.

Errors are `{"error": "..."}`. Jobs without a cron expression are not shown here: that predecessor knew none.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter

from include.actions._fields import has
from include.api import paging
from include.api.answer import answer, response
from include.api.compat.refusals import ErrorBody, ErrorBodyRoute, row_id
from include.api.login import CallerDep
from include.api.paging import Cursor
from include.api.problem import problems
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits
from include.documents.caller import Caller
from include.documents.fields import ShownInstant
from include.documents.invalid import parse
from include.documents.job import JOBS, JobSettings
from include.errors import ConfigError, RefusedError, TakenError
from include.schedule import Schedule
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.idempotency import Answer
from include.times import utcnow

router = APIRouter(route_class=ErrorBodyRoute, prefix="/api/v1/jobs", tags=["compat"])

_MOST = 10_000
_TASK = "API_CALL"
_CONFIG = ("url", "method", "headers", "params", "data")
_EXAMPLE: dict[str, Any] = {
    "name": "nightly report",
    "cronExpression": "0 9 * * *",
    "taskPayload": {"type": _TASK, "config": {"url": "https://example.com/", "method": "GET"}},
}


def _says(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {**problems(), **{status: {"model": ErrorBody} for status in statuses}}


class WantedJob(BaseModel):
    """A cron expression, in UTC, and what to do then; names are in snake_case or in camelCase."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [_EXAMPLE]})

    name: str | None = None
    cron_expression: str | None = Field(
        None, max_length=200, validation_alias=AliasChoices("cron_expression", "cronExpression")
    )
    task_payload: dict[str, Any] | None = Field(None, validation_alias=AliasChoices("task_payload", "taskPayload"))
    is_active: bool = Field(True, validation_alias=AliasChoices("is_active", "isActive"))


class ScheduledJob(BaseModel):
    """A job, in short."""

    id: int
    name: str
    cron_expression: str
    is_active: bool


class ListedJob(ScheduledJob):
    """A job, and since when it is there."""

    created_at: ShownInstant


class Scheduled(BaseModel):
    """A job was added."""

    message: str
    job: ScheduledJob


class Message(BaseModel):
    """What was done."""

    message: str


_LIST = TypeAdapter(list[ListedJob])


@router.post("", status_code=201, response_model=Scheduled, responses=_says(400, 409))
def schedule_job(wanted: WantedJob, sent: Sent, transactions: Db) -> Response:
    """Add a job that sends an HTTP request whenever its cron expression is due; for the rest it has our defaults."""
    settings = _settings(wanted)

    def work(db: DictConnection) -> Answer:
        row = edits.create(db, JOBS, sent.caller, settings).row
        made = {"message": "Job scheduled successfully.", "job": _shown(row)}
        return answer(Scheduled, made, 201, location=f"/millrace/api/v1/jobs/{row['id']}")

    try:
        return transactions.once(sent, work)
    except TakenError:
        raise RefusedError(409, f"Job with name '{settings.name}' already exists.") from None


@router.get("", response_model=list[ListedJob], responses=_says(400, 404))
def list_scheduled_jobs(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    job_id: Annotated[str | None, Query(alias="jobId", description="Only this one.")] = None,
    cursor: Cursor = None,
) -> Response:
    """The jobs that you may see; beyond 10000 of them, the header `Link` leads to the others."""
    if job_id:
        with transactions.reading() as db:
            row = _found(db, caller, job_id, "jobId must be a valid integer.")
        return Response(_LIST.dump_json([ListedJob(**_shown(row))]), media_type="application/json")
    wanted = paging.search_for(caller.sees, sort="id", limit=_MOST, cursor=cursor)
    with transactions.reading() as db:
        rows = jobs.search(db, wanted)
    page = paging.page_of(rows, sort="id", limit=_MOST, show=_shown)
    listed = [ListedJob(**shown) for shown in page["items"] if shown["cron_expression"] is not None]
    return Response(_LIST.dump_json(listed), headers=paging.link(request, page["next"]), media_type="application/json")


@router.delete("/{job_id}", response_model=Message, responses=_says(400, 404))
def unschedule_job(job_id: str, caller: CallerDep, transactions: Db) -> Response:
    """Delete a job; the ledger keeps what became of it."""
    with transactions.writing(caller) as db:
        row = _found(db, caller, job_id, "Invalid job ID provided.", lock=True)
        edits.remove(db, JOBS, caller, row)
    return response(answer(Message, {"message": f"Job ID {row['id']} deleted successfully; its history is kept."}))


def _found(db: DictConnection, caller: Caller, job_id: str, said: str, *, lock: bool = False) -> Row:
    row = JOBS.get(db, row_id(job_id, said), caller.sees, lock=lock)
    if row is None or row["cron"] is None:
        raise RefusedError(404, f"Job with ID {job_id} not found.")
    return row


def _shown(row: Row) -> dict[str, Any]:
    return {**{name: row[name] for name in ("id", "name", "is_active", "created_at")}, "cron_expression": row["cron"]}


def _settings(wanted: WantedJob) -> JobSettings:
    """The job as one of ours; `RefusedError` (400) in the predecessor's words, and with the reason."""
    if not wanted.name or not wanted.cron_expression or wanted.task_payload is None:
        raise RefusedError(400, "Missing required fields: name, cron_expression, and task_payload.")
    try:
        Schedule(anchor=utcnow(), salt=0, cron=wanted.cron_expression).validate()
    except ConfigError as error:
        raise RefusedError(400, f"Invalid cron_expression format. {error}") from None
    job = {"name": wanted.name, "cron": wanted.cron_expression, "is_active": wanted.is_active}
    return parse(JobSettings, {**job, "kind": "http", "payload": _request(wanted.task_payload)})


def _request(task: dict[str, Any]) -> dict[str, Any]:
    """A task as the payload of kind `http`."""
    if task.get("type") != _TASK:
        raise RefusedError(400, f"task_payload.type: unsupported job type; write {_TASK}")
    config = task.get("config")
    if not isinstance(config, dict) or not config.get("url") or not config.get("method"):
        raise RefusedError(400, "task_payload.config: write an object with url and method")
    if unknown := sorted(set(config) - set(_CONFIG)):
        raise RefusedError(400, f"task_payload.config: there is no {', '.join(unknown)}; write {', '.join(_CONFIG)}")
    request = {name: config[name] for name in _CONFIG if config.get(name) is not None}
    data = request.pop("data", None)
    if isinstance(request.get("params"), dict):
        request["params"] = {name: value for name, value in request["params"].items() if value is not None}
    if isinstance(data, str):
        request |= {"text": data, "headers": _as_form(request.get("headers", {}))}
    elif data is not None:
        request["json"] = data
    return request


def _as_form(headers: Any) -> Any:
    """A text was sent as a form, unless a header said otherwise."""
    if not isinstance(headers, dict) or has(headers, "content-type"):
        return headers
    return {**headers, "content-type": "application/x-www-form-urlencoded"}

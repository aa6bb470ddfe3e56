"""/compat/api/create and its neighbours: the daily jobs of a predecessor, as its form sent them.

Where it answered every form by a redirect, there is a status here; what is wrong is said as problem details.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from include.api import paging
from include.api.answer import answer, response
from include.api.compat.refusals import PredecessorRoute, row_id
from include.api.etag import etag
from include.api.login import CallerDep
from include.api.paging import Cursor
from include.api.problem import problems
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits
from include.documents.fields import ShownInstant
from include.documents.invalid import parse
from include.documents.job import JOBS, Job, JobSettings
from include.errors import RefusedError
from include.fires import next_fires
from include.store import jobs
from include.store.db import DictConnection
from include.store.idempotency import Answer
from include.store.rows import job_from_row
from include.times import utcnow

router = APIRouter(route_class=PredecessorRoute, prefix="/api", tags=["compat"])

_FORM = "application/x-www-form-urlencoded"
_CRON_FIELD = re.compile(r"[0-9*/,-]{1,60}")
_MOST_FIELDS = 50
_MOST_CRONS = 1_000
# The fields of each type, and what they are called in the payload of our kind.
_TYPES: Mapping[str, Mapping[str, str]] = {
    "ping": {"url": "url"},
    "email": {"email": "to", "subject": "subject", "body": "html"},
    "slack": {"url": "url", "msg": "text"},
    "webhook": {"url": "url", "body": "body"},
}
_TEXT = {"type": "string"}
_NAMES = ("hour", "minute", *dict.fromkeys(name for names in _TYPES.values() for name in names))
_SCHEMA = {
    "type": "object",
    "required": ["hour", "minute", "type"],
    "properties": {**dict.fromkeys(_NAMES, _TEXT), "type": {"enum": list(_TYPES)}},
}


class Deleted(BaseModel):
    """What was done."""

    message: str


class Cron(BaseModel):
    """When a job is due next."""

    cron_id: int
    next: ShownInstant


class Crons(BaseModel):
    """The jobs with a cron expression that are on duty."""

    crons: list[Cron]


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each as it comes first; `RefusedError` if it is none."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise RefusedError(415, f"write a form: {_FORM}")
    try:
        text = (await request.body()).decode()
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise RefusedError(400, f"it cannot be read as a form: {error}") from None
    return {name: values[0] for name, values in fields.items()}


@router.post(
    "/create",
    status_code=201,
    response_model=Job,
    responses=problems(400, 415),
    openapi_extra={"requestBody": {"required": True, "content": {_FORM: {"schema": _SCHEMA}}}},
)
def create_daily_job(form: Annotated[dict[str, str], Depends(_form)], sent: Sent, transactions: Db) -> Response:
    """Add a job that is due daily at `hour` and `minute`, in UTC.

    `type` is ping (with `url`), email (`email`, `subject`, `body` as HTML), slack (`url`, `msg`) or webhook (`url`,
    `body`). `hour` and `minute` may be whatever those fields of a cron expression may be.
    """
    settings = parse(JobSettings, _settings(form))

    def work(db: DictConnection) -> Answer:
        row = edits.create(db, JOBS, sent.caller, settings).row
        location = f"/millrace/api/v1/jobs/{row['id']}"
        return answer(Job, JOBS.document(row, utcnow()), 201, etag=etag(row), location=location)

    return transactions.once(sent, work)


@router.post("/delete-job", response_model=Deleted, responses=problems(400, 404))
def delete_daily_job(
    sent: Sent, transactions: Db, id: Annotated[str | None, Query(description="The id of the job.")] = None
) -> Response:
    """Delete a job; the ledger keeps what became of it."""
    wanted = row_id(id, "id: write the number of a job, as ?id=7")

    def work(db: DictConnection) -> Answer:
        edits.remove(db, JOBS, sent.caller, edits.get(db, JOBS, sent.caller, wanted, lock=True))
        return answer(Deleted, {"message": f"job {wanted} is deleted; its history is kept"})

    return transactions.once(sent, work)


@router.get("/machine-crons", response_model=Crons, responses=problems(400))
def list_crons(request: Request, caller: CallerDep, transactions: Db, cursor: Cursor = None) -> Response:
    """When jobs are due next; beyond 1000 jobs, the header `Link` leads to the others."""
    wanted = paging.search_for(caller.sees, sort="id", limit=_MOST_CRONS, cursor=cursor, filters={"state": "active"})
    with transactions.reading() as db:
        rows = jobs.search(db, wanted)
    now = utcnow()
    page = paging.page_of(rows, sort="id", limit=_MOST_CRONS, show=lambda row: row)
    crons = [
        {"cron_id": row["id"], "next": fire}
        for row in page["items"]
        if row["cron"] is not None
        for fire in next_fires(job_from_row(row), now, 1)
    ]
    return response(answer(Crons, {"crons": crons}), paging.link(request, page["next"]))


def _settings(form: Mapping[str, str]) -> dict[str, Any]:
    kind = form.get("type", "")
    if kind not in _TYPES:
        raise RefusedError(400, f"type: write one of {', '.join(_TYPES)}")
    hour, minute = (_cron_field(form, name) for name in ("hour", "minute"))
    payload = {ours: form.get(theirs, "") for theirs, ours in _TYPES[kind].items()}
    # The form asked for no name, and one of our own must not be taken.
    name = f"{kind} at {hour}:{minute} {secrets.token_hex(4)}"
    return {"name": name, "kind": kind, "payload": payload, "cron": f"{minute} {hour} * * *"}


def _cron_field(form: Mapping[str, str], name: str) -> str:
    if _CRON_FIELD.fullmatch(field := form.get(name, "")) is None:
        raise RefusedError(400, f"{name}: write a number, such as 9")
    return field

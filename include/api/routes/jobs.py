"""/jobs: what is done, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Path, Query, Request
from fastapi.responses import Response

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.etag import IfMatch, IfNoneMatch, check_match, etag, is_known
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page, SearchText
from include.api.problem import problems
from include.api.route import api_router
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits
from include.documents.fields import Document, ShownInstant, Text
from include.documents.job import JOBS, Job, JobSettings, check_to_come
from include.documents.pause import Until, columns_of
from include.fires import next_fires
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row
from include.store.idempotency import Answer
from include.store.rows import job_from_row
from include.times import utcnow

router = api_router(prefix="/jobs", tags=["jobs"])

JobId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the job.", examples=[42])]
State = Literal["active", "paused", "failing", "error"]
Sort = Annotated[str, paging.sorting("id", "name", "kind", "owner", "created_at", "updated_at")]
_PATCH_EXAMPLES = [{"every": "10m", "payload": {"url": "https://example.com/other"}}]


@router.post("", status_code=201, response_model=Job, responses={200: {"model": Job}, **problems(409, 422)})
def create_job(settings: JobSettings, sent: Sent, transactions: Db) -> Response:
    """Add a job.

    With an `external_id` that you have used before, and the same settings, it is answered (200) and not added again.
    """

    check_to_come(settings, utcnow())

    def work(db: DictConnection) -> Answer:
        made = edits.create(db, JOBS, sent.caller, settings)
        location = f"/millrace/api/v1/jobs/{made.row['id']}"
        return _answer(made.row, 201 if made.made else 200, location)

    return transactions.once(sent, work)


@router.get("", response_model=Page[Job], responses=problems(400, 422))
def list_jobs(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "id",
    search: SearchText = None,
    kind: Annotated[Text | None, Query(max_length=63)] = None,
    state: State | None = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    owner: OwnerFilter = None,
    external_id: Annotated[Text | None, Query(max_length=200)] = None,
    job_id: Annotated[int | None, Query(alias="jobId", ge=1, le=LARGEST_ID, description="Only this one.")] = None,
) -> Response:
    """The jobs that you may see, a page at a time."""
    filters = {"kind": kind, "state": state, "name": name, "external_id": external_id, "id": job_id}
    wanted = paging.search_for(
        caller.sees_of(owner), sort=sort, limit=limit, cursor=cursor, text=search, filters=filters
    )
    with transactions.reading() as db:
        rows = jobs.search(db, wanted)
    now = utcnow()
    page = paging.page_of(rows, sort=sort, limit=limit, show=lambda row: JOBS.document(row, now))
    return response(answer(Page[Job], page), paging.link(request, page["next"]))


@router.get("/{job_id}", response_model=Job, responses=problems(404))
def get_job(job_id: JobId, caller: CallerDep, transactions: Db, if_none_match: IfNoneMatch = None) -> Response:
    """One job, with its newest execution."""
    with transactions.reading() as db:
        row = edits.get(db, JOBS, caller, job_id)
    if is_known(row, if_none_match):
        return Response(status_code=304, headers={"ETag": etag(row)})
    return response(_answer(row))


@router.put("/{job_id}", response_model=Job, responses=problems(404, 409, 412, 422))
def replace_job(
    job_id: JobId, settings: JobSettings, caller: CallerDep, transactions: Db, if_match: IfMatch = None
) -> Response:
    """Set everything: what the body leaves out gets its default; the owner stays."""
    with transactions.writing(caller) as db:
        before = _found(db, caller, job_id, if_match)
        made = _answer(edits.replace(db, JOBS, caller, before, settings))
    return response(made)


@router.patch("/{job_id}", response_model=Job, responses=problems(404, 409, 412, 422))
def change_job(
    job_id: JobId,
    changes: Annotated[dict[str, Any], Body(examples=_PATCH_EXAMPLES)],
    caller: CallerDep,
    transactions: Db,
    if_match: IfMatch = None,
) -> Response:
    """Merge into the settings (JSON merge patch, RFC 7396): null takes out, so that the default counts."""
    with transactions.writing(caller) as db:
        before = _found(db, caller, job_id, if_match)
        made = _answer(edits.patch(db, JOBS, caller, before, changes))
    return response(made)


@router.delete("/{job_id}", status_code=204, responses=problems(404, 412))
def delete_job(job_id: JobId, caller: CallerDep, transactions: Db, if_match: IfMatch = None) -> Response:
    """Delete a job; the ledger keeps what became of it."""
    with transactions.writing(caller) as db:
        edits.remove(db, JOBS, caller, _found(db, caller, job_id, if_match))
    return response(empty())


@router.post("/{job_id}/pause", response_model=Job, responses=problems(404, 422))
def pause_job(job_id: JobId, sent: Sent, transactions: Db, until: Until | None = None) -> Response:
    """Take a job off duty, until somebody resumes it or `until` an instant."""
    columns = columns_of(until, utcnow())
    return transactions.once(sent, lambda db: _switched(db, sent, job_id, columns))


@router.post("/{job_id}/resume", response_model=Job, responses=problems(404))
def resume_job(job_id: JobId, sent: Sent, transactions: Db) -> Response:
    """Put a job back on duty, whichever way it was paused."""
    columns = {"is_active": True, "paused_until": None}
    return transactions.once(sent, lambda db: _switched(db, sent, job_id, columns))


class NextFires(Document):
    """When a job fires next, in UTC."""

    next: list[ShownInstant]


@router.get("/{job_id}/next", response_model=NextFires, responses=problems(404))
def next_fires_of_job(
    job_id: JobId, caller: CallerDep, transactions: Db, n: Annotated[int, Query(ge=1, le=100)] = 5
) -> Response:
    """The next occurrences of a job; none while it is paused without an end."""
    with transactions.reading() as db:
        row = edits.get(db, JOBS, caller, job_id)
    return response(answer(NextFires, {"next": next_fires(job_from_row(row), utcnow(), n)}))


def _found(db: DictConnection, caller: Any, job_id: int, if_match: str | None) -> Row:
    row = edits.get(db, JOBS, caller, job_id, lock=True)
    check_match(row, if_match)
    return row


def _switched(db: DictConnection, sent: Sent, job_id: int, columns: dict[str, Any]) -> Answer:
    before = edits.get(db, JOBS, sent.caller, job_id, lock=True)
    return _answer(edits.switch(db, JOBS, sent.caller, before, columns))


def _answer(row: Row, status: int = 200, location: str | None = None, now: datetime | None = None) -> Answer:
    document = JOBS.document(row, now or utcnow())
    return answer(Job, document, status, etag=etag(row), location=location)

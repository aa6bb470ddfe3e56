"""/executions and /jobs/…/executions: what became of jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from include import registry
from include.api import paging
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.routes.jobs import JobId
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import attempt, edits
from include.documents.execution import Due, Execution, WholeExecution, document, instant_of, microseconds
from include.documents.fields import Instant, Shown, ShownInstant, Text
from include.documents.job import JOBS
from include.errors import ConfigError, RefusedError
from include.model import Status
from include.store import dead_letters, executions
from include.store.db import DictConnection
from include.store.dead_letters import Key
from include.store.edits import Row
from include.store.executions import Place
from include.store.idempotency import Answer
from include.store.rows import job_from_row
from include.store.why import Facts, gather
from include.times import spell_instant, utcnow
from include.why import explain

router = api_router(tags=["executions"])

_TICK = timedelta(microseconds=1)
_NEWEST_FIRST = "-scheduled_for"
DueInPath = Annotated[
    Due,
    Path(
        description="When the occurrence was due: ISO 8601 with an offset, or microseconds since 1970.",
        examples=["2026-07-01T09:00:00Z"],
    ),
]
Since = Annotated[Instant | None, Query(description="Only what was due then or later.")]
Until = Annotated[Instant | None, Query(description="Only what was due before then.")]


class Why(Shown):
    """Why an occurrence did not run, or ran late, in words for people."""

    job_id: int
    name: str
    scheduled_for: ShownInstant | None = Field(description="The occurrence; null: none has been due yet.")
    answer: str
    lines: list[str] = Field(description="The answer, what it follows from, and what to do.")


@router.get("/executions", response_model=Page[Execution], responses=problems(400))
def list_executions(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Status | None = None,
    kind: Annotated[Text | None, Query(max_length=63)] = None,
    owner: OwnerFilter = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The executions of all jobs that you see, the newest first; to admins also those of jobs that were deleted.

    The ledger is not counted, and is searched for so long and no longer: a page can be short, or empty, although there
    is more. Go on as long as there is a `next`.
    """
    place = _place(cursor, _NEWEST_FIRST)
    with transactions.reading() as db:
        found = executions.newest(
            db,
            limit=limit,
            owner=caller.sees_of(owner),
            status=status,
            kind=kind,
            since=since,
            until=until,
            after=None if place is None else Place(*place),
        )
    rest = found.rest and paging.encode(
        paging.Place(_NEWEST_FIRST, str(microseconds(found.rest.due)), found.rest.job_id)
    )
    page = {"items": [document(row) for row in found.rows], "next": rest}
    return response(answer(Page[Execution], page), paging.link(request, rest))


@router.get("/jobs/{job_id}/executions", response_model=Page[Execution], responses=problems(400, 404))
def list_executions_of_job(
    request: Request,
    job_id: JobId,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Annotated[str, paging.sorting("scheduled_for")] = _NEWEST_FIRST,
    status: Status | None = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The executions of a job, a page at a time."""
    place = _place(cursor, sort)
    descending = sort == _NEWEST_FIRST
    if place is not None and descending:
        until = place[0] if until is None else min(until, place[0])
    elif place is not None:
        since = place[0] + _TICK if since is None else max(since, place[0] + _TICK)
    with transactions.reading() as db:
        edits.get(db, JOBS, caller, job_id)
        rows = executions.of_job(
            db, job_id, descending=descending, limit=limit + 1, status=status, since=since, until=until
        )
    placed = [{**row, "sort_key": microseconds(row["scheduled_for"])} for row in rows]
    page = paging.page_of(placed, sort=sort, limit=limit, show=document, id="job_id")
    return response(answer(Page[Execution], page), paging.link(request, page["next"]))


@router.get("/jobs/{job_id}/executions/{due}", response_model=WholeExecution, responses=problems(404))
def get_execution(job_id: JobId, due: DueInPath, caller: CallerDep, transactions: Db) -> Response:
    """What became of one occurrence, with every attempt, and by which settings; 404 as long as nobody has begun."""
    with transactions.reading() as db:
        edits.get(db, JOBS, caller, job_id)
        row = _found(db, job_id, due)
        request = executions.settings_at(db, job_id, row["config_revision"], caller.sees)
        attempts = attempt.for_caller(db, caller, "job", job_id, row["attempts"])
    return response(answer(WholeExecution, {**document(row), "attempts": attempts, "request": request}))


@router.post("/jobs/{job_id}/executions/{due}/redrive", response_model=Execution, responses=problems(404, 409))
def redrive_execution(job_id: JobId, due: DueInPath, sent: Sent, transactions: Db) -> Response:
    """Have a failed execution sent again, within seconds, by the job as it stands now, with the same `webhook-id`.

    What runs on a worker is sent again by the job's next run.
    """
    return transactions.once(sent, lambda db: _resolved(db, sent, job_id, due, dead_letters.redrive_executions))


@router.post("/jobs/{job_id}/executions/{due}/discard", response_model=Execution, responses=problems(404, 409))
def discard_execution(job_id: JobId, due: DueInPath, sent: Sent, transactions: Db) -> Response:
    """Give up on a failed execution for good; it is kept, and is no dead letter any more."""
    return transactions.once(sent, lambda db: _resolved(db, sent, job_id, due, dead_letters.discard_executions))


@router.get("/jobs/{job_id}/why", response_model=Why, responses=problems(404))
def why(
    job_id: JobId,
    caller: CallerDep,
    transactions: Db,
    due: Annotated[Due | None, Query(description="Another occurrence than the last, as in paths.")] = None,
) -> Response:
    """Why the last occurrence of a job, or another one, did not run, or ran late."""
    with transactions.reading() as db:
        row = edits.get(db, JOBS, caller, job_id)
        job = job_from_row({**row, "error": row["error"] or _defect(row)})
        now = utcnow()
        facts = gather(db, job, now, due) if job.error is None else Facts(job, now, due, None)
    lines = explain(facts)
    document = {"job_id": job.id, "name": job.name, "scheduled_for": facts.due, "answer": lines[0], "lines": lines}
    return response(answer(Why, document))


def _place(cursor: str | None, sort: str) -> tuple[datetime, int] | None:
    """Where a page begins: after the execution that was due then, of the job of that id."""
    found = paging.decode(cursor, sort)
    if found is None:
        return None
    due = instant_of(found[0])
    if due is None:
        raise RefusedError(400, "cursor: it is not one of this list; leave it out to begin anew")
    return due, found[1]


def _found(db: DictConnection, job_id: int, due: datetime) -> Row:
    row = executions.get(db, job_id, due)
    if row is None:
        raise RefusedError(404, f"job {job_id} has no execution for {spell_instant(due)} UTC (yet)")
    return row


def _resolved(
    db: DictConnection,
    sent: Sent,
    job_id: int,
    due: datetime,
    resolve: Callable[[DictConnection, Sequence[Key]], list[Key]],
) -> Answer:
    """Resolve a failed execution; asked for twice, it is answered as it is."""
    edits.get(db, JOBS, sent.caller, job_id)
    sent.caller.check_writes()
    resolve(db, [(job_id, due)])
    row = _found(db, job_id, due)
    if row["status"] != "failed":
        raise RefusedError(409, f"it is {row['status']}: only what has failed can be redriven or discarded")
    return _answer(row)


def _defect(row: Row) -> str | None:
    """Why the job could not run, although nobody has tried it yet."""
    try:
        registry.vet(job_from_row(row))
    except ConfigError as error:
        return str(error)
    return None


def _answer(row: Row) -> Answer:
    return answer(Execution, document(row))

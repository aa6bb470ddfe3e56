"""/dead-letters: what has failed for good, of jobs, timers and workflows, until a person decides about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response

from include.api import paging
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import dead_letter, redrive
from include.documents.caller import Caller
from include.documents.dead_letter import SOURCES, Choice, DeadLetter, DeadLetterDetail, Ref
from include.documents.fields import Instant, Text
from include.documents.redrive import Decided
from include.errors import RefusedError
from include.store.db import DictConnection
from include.store.dead_letters import STATUSES, Place, Source, Status
from include.store.edits import LARGEST_ID
from include.store.idempotency import Answer

router = api_router(prefix="/dead-letters", tags=["dead letters"])

Listed = Literal["open", "dead", "redriving", "redriven", "discarded", "all"]
LetterId = Annotated[
    Text,
    Path(min_length=1, max_length=60, description="As lists show it.", examples=["job_42_1767225600000000"]),
]
RowId = Annotated[int | None, Query(ge=1, le=LARGEST_ID)]
_STATUSES: Mapping[Listed, Sequence[Status]] = {
    "open": ("dead", "redriving"),
    "dead": ("dead",),
    "redriving": ("redriving",),
    "redriven": ("redriven",),
    "discarded": ("discarded",),
    "all": STATUSES,
}
_SORT = "at"


@router.get("", response_model=Page[DeadLetter], responses=problems(400, 422))
def list_dead_letters(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    source: Source | None = None,
    status: Annotated[Listed, Query(description="open: dead or redriving.")] = "open",
    job_id: RowId = None,
    workflow_id: RowId = None,
    since: Annotated[Instant | None, Query(description="Only what died, or was due, after that.")] = None,
    owner: OwnerFilter = None,
) -> Response:
    """The dead letters that you may see, the newest first; `total` is not counted."""
    fitting = {"job" if job_id is not None else None, "workflow" if workflow_id is not None else None, source} - {None}
    sources = [of for of in SOURCES if fitting <= {of}]
    with transactions.reading() as db:
        rows = dead_letter.search(
            db,
            sources,
            _STATUSES[status],
            owner=caller.sees_of(owner),
            job_id=job_id,
            workflow_id=workflow_id,
            since=since,
            after=_after(cursor),
            limit=limit + 1,
        )
    placed = [{**row, "sort_key": dead_letter.key_of_place(row)} for row in rows]
    page = paging.page_of(placed, sort=_SORT, limit=limit, show=dead_letter.document, id="number")
    return response(answer(Page[DeadLetter], page), paging.link(request, page["next"]))


@router.post("/redrive", response_model=Decided, responses=problems(404, 409, 422))
def redrive_dead_letters(choice: Choice, sent: Sent, transactions: Db) -> Response:
    """Have dead letters sent again: those with these ids, all or none; or up to 1,000 that are dead of a source.

    They carry the webhook-id of the first time, and get a fresh retry policy; their attempts are counted on. A job
    whose kind runs on a worker sends them at its next run.
    """
    return transactions.once(sent, lambda db: answer(Decided, redrive.redrive(db, sent.caller, choice)))


@router.post("/discard", response_model=Decided, responses=problems(404, 409, 422))
def discard_dead_letters(choice: Choice, sent: Sent, transactions: Db) -> Response:
    """Give up on dead letters for good: they are kept, and count as resolved. Which, is said as for `/redrive`."""
    return transactions.once(sent, lambda db: answer(Decided, redrive.discard(db, sent.caller, choice)))


@router.get("/{source}/{letter_id}", response_model=DeadLetterDetail, responses=problems(404))
def get_dead_letter(source: Source, letter_id: LetterId, caller: CallerDep, transactions: Db) -> Response:
    """One dead letter, with every attempt; that of a workflow with its record, unless retention has removed it."""
    with transactions.reading() as db:
        made = _shown(db, caller, source, letter_id)
    return response(made)


@router.post("/{source}/{letter_id}/redrive", response_model=DeadLetterDetail, responses=problems(404, 409, 422))
def redrive_dead_letter(source: Source, letter_id: LetterId, sent: Sent, transactions: Db) -> Response:
    """Have one sent again; it is `redriving` until that has ended."""
    return transactions.once(sent, lambda db: _decided(db, sent.caller, source, letter_id, redrive.redrive))


@router.post("/{source}/{letter_id}/discard", response_model=DeadLetterDetail, responses=problems(404, 409, 422))
def discard_dead_letter(source: Source, letter_id: LetterId, sent: Sent, transactions: Db) -> Response:
    """Give up on one for good."""
    return transactions.once(sent, lambda db: _decided(db, sent.caller, source, letter_id, redrive.discard))


def _decided(
    db: DictConnection,
    caller: Caller,
    source: Source,
    letter_id: str,
    decide: Callable[[DictConnection, Caller, Choice], Decided],
) -> Answer:
    dead_letter.get(db, caller, source, letter_id)
    decide(db, caller, Choice(ids=[Ref(source=source, id=letter_id)]))
    return _shown(db, caller, source, letter_id)


def _shown(db: DictConnection, caller: Caller, source: Source, letter_id: str) -> Answer:
    return answer(DeadLetterDetail, dead_letter.document(dead_letter.get(db, caller, source, letter_id)))


def _after(cursor: str | None) -> Place | None:
    found = paging.decode(cursor, _SORT)
    if found is None:
        return None
    try:
        return dead_letter.place_of_key(*found)
    except ValueError:
        raise RefusedError(400, "cursor: it is not one of this list; leave it out to begin anew") from None

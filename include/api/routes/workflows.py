"""/workflows: what is done with the records of connectors, for whom, and how far that is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Path, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.etag import IfMatch, IfNoneMatch, check_match, etag, is_known
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page, SearchText
from include.api.problem import problems
from include.api.route import api_router
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits, watermark
from include.documents.caller import Caller
from include.documents.fields import Document, Shown, Text, storable
from include.documents.pause import Until, columns_of
from include.documents.watermark import Move, Words
from include.documents.workflow import WORKFLOWS, Lag, State, Workflow, WorkflowSettings, lag_document
from include.store import workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row
from include.store.idempotency import Answer
from include.times import utcnow

router = api_router(prefix="/workflows", tags=["workflows"])

WorkflowId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the workflow.", examples=[42])]
_PATCH_EXAMPLES = [{"every": "10s", "payload": {"url": "https://example.com/other"}}]
Sort = Annotated[str, paging.sorting("id", "name", "owner", "created_at", "updated_at")]


def _one_error(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """One sentence, where a union has one for each of its members, which contradict each other."""
    if isinstance(value, str):
        storable(value)
    try:
        return read(value)
    except ValidationError:
        raise ValueError("write a position, which is 0 or more; or an instant, or how long ago, such as 2h") from None


Position = Annotated[int, Field(ge=0, le=LARGEST_ID, strict=True)]
Target = Annotated[Position | Annotated[str, Field(min_length=1, max_length=100)], WrapValidator(_one_error)]


class Back(Document):
    """Where to go back to."""

    to: Target = Field(
        description="A position: what comes after it is processed again; or an instant, or how long ago: what was "
        "stored since then.",
        examples=[0, "2026-11-21T09:00:00Z", "2h"],
    )


class Ahead(Document):
    """Where to go ahead to."""

    to: Target | None = Field(
        None,
        description="A position, an instant, how long ago, or `now`: everything up to there is passed over; null: only "
        "the record at which the workflow has stopped.",
        examples=["now", 1200, None],
    )


class Moved(Shown):
    """How a watermark was moved."""

    model_config = ConfigDict(serialize_by_alias=True)

    id: int
    name: str
    before: int = Field(alias="from", description="Where the watermark was.")
    after: int = Field(alias="to", description="Where it is now.")
    records: int = Field(
        description="How many records will be processed again (if the filter lets them), or are skipped."
    )
    lost: int = Field(description="How many would be processed again, but are no longer kept.")
    head: int = Field(description="The newest record of the connector.")


@router.post("", status_code=201, response_model=Workflow, responses={200: {"model": Workflow}, **problems(409, 422)})
def create_workflow(settings: WorkflowSettings, sent: Sent, transactions: Db) -> Response:
    """Add a workflow on one of your connectors.

    With an `external_id` that you have used before, and the same settings, it is answered (200) and not added again.
    """

    def work(db: DictConnection) -> Answer:
        made = edits.create(db, WORKFLOWS, sent.caller, settings)
        location = f"/millrace/api/v1/workflows/{made.row['id']}"
        return _answer(made.row, 201 if made.made else 200, location)

    return transactions.once(sent, work)


@router.get("", response_model=Page[Workflow], responses=problems(400, 422))
def list_workflows(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "id",
    search: SearchText = None,
    state: State | None = None,
    connector_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
    kind: Annotated[Text | None, Query(max_length=63)] = None,
    name: Annotated[Text | None, Query(max_length=200)] = None,
    owner: OwnerFilter = None,
    external_id: Annotated[Text | None, Query(max_length=200)] = None,
) -> Response:
    """The workflows that you may see, a page at a time."""
    filters = {"state": state, "connector_id": connector_id, "kind": kind, "name": name, "external_id": external_id}
    wanted = paging.search_for(
        caller.sees_of(owner), sort=sort, limit=limit, cursor=cursor, text=search, filters=filters
    )
    with transactions.reading() as db:
        rows = workflows.search(db, wanted)
    now = utcnow()
    page = paging.page_of(rows, sort=sort, limit=limit, show=lambda row: WORKFLOWS.document(row, now))
    return response(answer(Page[Workflow], page), paging.link(request, page["next"]))


@router.get("/lag", response_model=Page[Lag], responses=problems(400, 422))
def list_lag(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    owner: OwnerFilter = None,
) -> Response:
    """How far the workflows are that you may see: those that have stopped first, then those furthest behind.

    A workflow that moves on while you turn the pages may be seen twice, or not.
    """
    sort = "lag"
    wanted = paging.search_for(caller.sees_of(owner), sort=sort, limit=limit, cursor=cursor)
    with transactions.reading() as db:
        rows = workflows.search_lag(db, wanted)
    now = utcnow()
    page = paging.page_of(rows, sort=sort, limit=limit, show=lambda row: lag_document(row, now), id="workflow_id")
    return response(answer(Page[Lag], page), paging.link(request, page["next"]))


@router.get("/{workflow_id}", response_model=Workflow, responses=problems(404))
def get_workflow(
    workflow_id: WorkflowId, caller: CallerDep, transactions: Db, if_none_match: IfNoneMatch = None
) -> Response:
    """One workflow, and how far it is. Its ETag is the version of its settings: how far it is may change without it."""
    with transactions.reading() as db:
        row = edits.get(db, WORKFLOWS, caller, workflow_id)
    if is_known(row, if_none_match):
        return Response(status_code=304, headers={"ETag": etag(row)})
    return response(_answer(row))


@router.put("/{workflow_id}", response_model=Workflow, responses=problems(404, 409, 412, 422))
def replace_workflow(
    workflow_id: WorkflowId, settings: WorkflowSettings, caller: CallerDep, transactions: Db, if_match: IfMatch = None
) -> Response:
    """Set everything: what the body leaves out gets its default; the owner, the connector and `started_at` stay.

    The watermark stays where it is.
    """
    with transactions.writing(caller) as db:
        before = _found(db, caller, workflow_id, if_match)
        made = _answer(edits.replace(db, WORKFLOWS, caller, before, settings))
    return response(made)


@router.patch("/{workflow_id}", response_model=Workflow, responses=problems(404, 409, 412, 422))
def change_workflow(
    workflow_id: WorkflowId,
    changes: Annotated[dict[str, Any], Body(examples=_PATCH_EXAMPLES)],
    caller: CallerDep,
    transactions: Db,
    if_match: IfMatch = None,
) -> Response:
    """Merge into the settings (JSON merge patch, RFC 7396): null takes out, so that the default counts.

    The watermark stays where it is.
    """
    with transactions.writing(caller) as db:
        before = _found(db, caller, workflow_id, if_match)
        made = _answer(edits.patch(db, WORKFLOWS, caller, before, changes))
    return response(made)


@router.delete("/{workflow_id}", status_code=204, responses=problems(404, 412))
def delete_workflow(workflow_id: WorkflowId, caller: CallerDep, transactions: Db, if_match: IfMatch = None) -> Response:
    """Delete a workflow, its watermark and its dead letters; the records stay with the connector."""
    with transactions.writing(caller) as db:
        edits.remove(db, WORKFLOWS, caller, _found(db, caller, workflow_id, if_match))
    return response(empty())


@router.post("/{workflow_id}/pause", response_model=Workflow, responses=problems(404, 422))
def pause_workflow(workflow_id: WorkflowId, sent: Sent, transactions: Db, until: Until | None = None) -> Response:
    """Take a workflow off duty, until somebody resumes it or `until` an instant; records wait for it."""
    columns = columns_of(until, utcnow())
    return transactions.once(sent, lambda db: _switched(db, sent, workflow_id, columns))


@router.post("/{workflow_id}/resume", response_model=Workflow, responses=problems(404))
def resume_workflow(workflow_id: WorkflowId, sent: Sent, transactions: Db) -> Response:
    """Put a workflow back on duty, whichever way it was paused; it goes on where it was."""
    columns = {"is_active": True, "paused_until": None}
    return transactions.once(sent, lambda db: _switched(db, sent, workflow_id, columns))


@router.get("/{workflow_id}/lag", response_model=Lag, responses=problems(404))
def lag_of_workflow(workflow_id: WorkflowId, caller: CallerDep, transactions: Db) -> Response:
    """How far a workflow is: what lies ahead of it, in records and in the age of the oldest of these."""
    with transactions.reading() as db:
        row = edits.get(db, WORKFLOWS, caller, workflow_id)
    return response(answer(Lag, lag_document(row, utcnow())))


@router.post("/{workflow_id}/rewind", response_model=Moved, responses=problems(404, 409, 422))
def rewind_workflow(workflow_id: WorkflowId, back: Back, sent: Sent, transactions: Db) -> Response:
    """Go back in the log, and process again what comes after; a workflow that has stopped goes on.

    The calls carry the webhook-id of the first time: a receiver that deduplicates by it ignores them.
    """

    def work(db: DictConnection) -> Answer:
        row = _to_move(db, sent, workflow_id)
        return _moved(row, watermark.rewind(db, row, str(back.to), utcnow(), Words()))

    return transactions.once(sent, work)


@router.post("/{workflow_id}/skip", response_model=Moved, responses=problems(404, 409, 422))
def skip_workflow(workflow_id: WorkflowId, sent: Sent, transactions: Db, ahead: Ahead | None = None) -> Response:
    """Go on after the record at which a workflow has stopped; or with `to`, ahead in the log.

    What is skipped is not processed, and not kept as a dead letter.
    """
    to = ahead.to if ahead else None

    def work(db: DictConnection) -> Answer:
        row = _to_move(db, sent, workflow_id)
        return _moved(row, watermark.skip(db, row, None if to is None else str(to), utcnow(), Words()))

    return transactions.once(sent, work)


@router.post("/{workflow_id}/retry", response_model=Workflow, responses=problems(404, 409, 422))
def retry_workflow(workflow_id: WorkflowId, sent: Sent, transactions: Db) -> Response:
    """Have a workflow that has stopped try the record again at which it did."""

    def work(db: DictConnection) -> Answer:
        watermark.retry(db, [_to_move(db, sent, workflow_id)])
        return _answer(edits.get(db, WORKFLOWS, sent.caller, workflow_id))

    return transactions.once(sent, work)


def _found(db: DictConnection, caller: Caller, workflow_id: int, if_match: str | None) -> Row:
    row = edits.get(db, WORKFLOWS, caller, workflow_id, lock=True)
    check_match(row, if_match)
    return row


def _switched(db: DictConnection, sent: Sent, workflow_id: int, columns: dict[str, Any]) -> Answer:
    before = edits.get(db, WORKFLOWS, sent.caller, workflow_id, lock=True)
    return _answer(edits.switch(db, WORKFLOWS, sent.caller, before, columns))


def _to_move(db: DictConnection, sent: Sent, workflow_id: int) -> Row:
    """The workflow, which is not deleted meanwhile, for somebody who may move its watermark."""
    row = edits.get(db, WORKFLOWS, sent.caller, workflow_id, lock=True)
    sent.caller.check_writes()
    return row


def _moved(row: Row, move: Move) -> Answer:
    where = {"from": move.before, "to": move.after, "head": move.head}
    return answer(Moved, {"id": row["id"], "name": row["name"], **where, "records": move.records, "lost": move.lost})


def _answer(row: Row, status: int = 200, location: str | None = None) -> Answer:
    return answer(Workflow, WORKFLOWS.document(row, utcnow()), status, etag=etag(row), location=location)

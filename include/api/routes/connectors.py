"""/connectors: where records come from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import Body, Depends, Path, Query, Request
from fastapi.responses import Response

from include.api import paging
from include.api.answer import answer, empty, response
from include.api.etag import IfMatch, check_match, etag
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page, SearchText
from include.api.preview import Preview, answer_preview
from include.api.problem import problems
from include.api.route import api_router
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits, permits
from include.documents.caller import Caller
from include.documents.connector import CONNECTORS, Connector, ConnectorSettings, PreviewSettings, State, candidate
from include.documents.fields import Text
from include.documents.invalid import InvalidDocumentError
from include.documents.pause import Until, columns_of
from include.errors import MisfitError
from include.model import Connector as ConnectorRow
from include.store import connectors
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row
from include.store.idempotency import Answer
from include.times import utcnow

router = api_router(prefix="/connectors", tags=["connectors"])

ConnectorId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the connector.", examples=[42])]
Sort = Annotated[str, paging.sorting("id", "name", "kind", "owner", "created_at", "updated_at")]
Pages = Annotated[int, Query(ge=1, le=3, description="How many pages to pull, at the most.")]
_PATCH_EXAMPLES = [{"every": "10m", "config": {"path": "v2/orders"}}]


@router.post("", status_code=201, response_model=Connector, responses={200: {"model": Connector}, **problems(409, 422)})
def create_connector(settings: ConnectorSettings, sent: Sent, transactions: Db) -> Response:
    """Add a connector.

    With an `external_id` that you have used before, and the same settings, it is answered (200) and not added again.
    To one of kind `webhook`, records are pushed: `pushed_to` says where.
    """

    def work(db: DictConnection) -> Answer:
        made = edits.create(db, CONNECTORS, sent.caller, settings)
        location = f"/millrace/api/v1/connectors/{made.row['id']}"
        return _answer(db, made.row, 201 if made.made else 200, location)

    return transactions.once(sent, work)


@router.get("", response_model=Page[Connector], responses=problems(400, 422))
def list_connectors(
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
) -> Response:
    """The connectors that you may see, a page at a time."""
    filters = {"kind": kind, "state": state, "name": name, "external_id": external_id}
    wanted = paging.search_for(
        caller.sees_of(owner), sort=sort, limit=limit, cursor=cursor, text=search, filters=filters
    )
    with transactions.reading() as db:
        rows = connectors.search(db, wanted)
        recent = connectors.stored_last_minute(db, [row["id"] for row in rows])
    now = utcnow()
    page = paging.page_of(rows, sort=sort, limit=limit, show=lambda row: _document(row, recent, now))
    return response(answer(Page[Connector], page), paging.link(request, page["next"]))


@router.get("/{connector_id}", response_model=Connector, responses=problems(404))
def get_connector(connector_id: ConnectorId, caller: CallerDep, transactions: Db) -> Response:
    """One connector: its settings, where it stands, and how it is.

    The ETag is the version of its settings; where it stands moves on without it.
    """
    with transactions.reading() as db:
        made = _answer(db, edits.get(db, CONNECTORS, caller, connector_id))
    return response(made)


@router.put("/{connector_id}", response_model=Connector, responses=problems(404, 409, 412, 422))
def replace_connector(
    connector_id: ConnectorId,
    settings: ConnectorSettings,
    caller: CallerDep,
    transactions: Db,
    if_match: IfMatch = None,
) -> Response:
    """Set everything: what the body leaves out gets its default; the owner stays.

    Where the last pull stopped stays as well; `/rewind` forgets it.
    """
    with transactions.writing(caller) as db:
        before = _found(db, caller, connector_id, if_match)
        made = _answer(db, edits.replace(db, CONNECTORS, caller, before, settings))
    return response(made)


@router.patch("/{connector_id}", response_model=Connector, responses=problems(404, 409, 412, 422))
def change_connector(
    connector_id: ConnectorId,
    changes: Annotated[dict[str, Any], Body(examples=_PATCH_EXAMPLES)],
    caller: CallerDep,
    transactions: Db,
    if_match: IfMatch = None,
) -> Response:
    """Merge into the settings (JSON merge patch, RFC 7396): null takes out, so that the default counts."""
    with transactions.writing(caller) as db:
        before = _found(db, caller, connector_id, if_match)
        made = _answer(db, edits.patch(db, CONNECTORS, caller, before, changes))
    return response(made)


@router.delete("/{connector_id}", status_code=204, responses=problems(404, 409, 412))
def delete_connector(
    connector_id: ConnectorId, caller: CallerDep, transactions: Db, if_match: IfMatch = None
) -> Response:
    """Delete a connector and its records; 409 while workflows read them."""
    with transactions.writing(caller) as db:
        edits.remove(db, CONNECTORS, caller, _found(db, caller, connector_id, if_match))
    return response(empty())


@router.post("/{connector_id}/pause", response_model=Connector, responses=problems(404, 422))
def pause_connector(connector_id: ConnectorId, sent: Sent, transactions: Db, until: Until | None = None) -> Response:
    """Take a connector off duty, until somebody resumes it or `until` an instant.

    What is pushed to it is refused meanwhile (503).
    """
    columns = columns_of(until, utcnow())
    return transactions.once(sent, lambda db: _switched(db, sent, connector_id, columns))


@router.post("/{connector_id}/resume", response_model=Connector, responses=problems(404))
def resume_connector(connector_id: ConnectorId, sent: Sent, transactions: Db) -> Response:
    """Put a connector back on duty, whichever way it was paused."""
    columns = {"is_active": True, "paused_until": None}
    return transactions.once(sent, lambda db: _switched(db, sent, connector_id, columns))


@router.post("/{connector_id}/rewind", response_model=Connector, responses=problems(404))
def rewind_connector(connector_id: ConnectorId, sent: Sent, transactions: Db) -> Response:
    """Forget the cursor: the next pull begins anew. What is stored already is not stored again."""

    def work(db: DictConnection) -> Answer:
        sent.caller.check_writes()
        row = edits.get(db, CONNECTORS, sent.caller, connector_id, lock=True)
        return _answer(db, connectors.rewind(db, row["id"]))

    return transactions.once(sent, work)


def _new(settings: PreviewSettings, caller: CallerDep, transactions: Db) -> ConnectorRow:
    """What the settings would make, if the caller may add it."""
    caller.check_writes()
    owner = caller.owner(settings.owner)
    caller.check_kind(settings.kind)
    with transactions.reading() as db:
        columns = {**CONNECTORS.columns(db, caller, settings, None), "owner": owner}
        try:
            made = candidate(columns, None)
        except MisfitError as error:
            raise InvalidDocumentError(error.problems) from None
        permits.check_connections(db, caller, owner, CONNECTORS.connections(columns))
    return made


def _stored(
    connector_id: ConnectorId,
    caller: CallerDep,
    transactions: Db,
    anew: Annotated[bool, Query(description="From the beginning, and not from where it stopped.")] = False,
) -> ConnectorRow:
    """What is stored, if the caller may run it."""
    caller.check_writes()
    with transactions.reading() as db:
        row = edits.get(db, CONNECTORS, caller, connector_id)
        return candidate({"cursor": None} if anew else {}, row)


@router.post("/preview", response_model=Preview, responses=problems(504))
async def preview_connector(
    connector: Annotated[ConnectorRow, Depends(_new)], request: Request, pages: Pages = 1
) -> Response:
    """Pull a page or a few as a connector with these settings would, and store nothing.

    It shows the requests, how many records each page has and the first few of them, how pages follow, and where it
    would go on. Secrets are blotted out. If the pull fails, the 422 says why, and has as `preview` what came before
    that. It takes a minute at the most.
    """
    return await answer_preview(request, connector, pages)


@router.post("/{connector_id}/preview", response_model=Preview, responses=problems(404, 504))
async def preview_stored_connector(
    connector: Annotated[ConnectorRow, Depends(_stored)], request: Request, pages: Pages = 1
) -> Response:
    """The same with a connector that there is, from where its last pull stopped. Nothing is stored, and nothing moves.

    `anew`: from the beginning.
    """
    return await answer_preview(request, connector, pages)


def _found(db: DictConnection, caller: Caller, connector_id: int, if_match: str | None) -> Row:
    row = edits.get(db, CONNECTORS, caller, connector_id, lock=True)
    check_match(row, if_match)
    return row


def _switched(db: DictConnection, sent: Sent, connector_id: int, columns: dict[str, Any]) -> Answer:
    before = edits.get(db, CONNECTORS, sent.caller, connector_id, lock=True)
    return _answer(db, edits.switch(db, CONNECTORS, sent.caller, before, columns))


def _answer(db: DictConnection, row: Row, status: int = 200, location: str | None = None) -> Answer:
    document = _document(row, connectors.stored_last_minute(db, [row["id"]]), utcnow())
    return answer(Connector, document, status, etag=etag(row), location=location)


def _document(row: Row, recent: Mapping[int, int], now: datetime) -> dict[str, Any]:
    """A connector's row as a `Connector`; 0 records are `recent` if it has been deleted in between."""
    return {**CONNECTORS.document(row, now), "records_last_minute": recent.get(row["id"], 0)}

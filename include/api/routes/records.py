"""/connectors/{id}/records: what connectors have stored."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path, Query, Request
from fastapi.responses import Response

from include import model
from include.api import paging
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, Page, Place, SearchText
from include.api.problem import problems
from include.api.route import api_router
from include.api.routes.connectors import ConnectorId
from include.api.sent import Sent
from include.api.transactions import Db
from include.documents import edits
from include.documents.connector import CONNECTORS
from include.documents.fields import Text
from include.documents.record import Appended, Record, RecordSettings
from include.errors import RefusedError
from include.store import connectors
from include.store.connectors import RecordSearch
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID
from include.store.idempotency import Answer

router = api_router(prefix="/connectors/{connector_id}/records", tags=["records"])

_MOST_BYTES = 8 * 1024 * 1024
Position = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The number of the record in the log.")]
Sort = Annotated[str, paging.sorting("position")]
Key = Annotated[Text | None, Query(min_length=1, max_length=2000, description="Only the versions of this key.")]


@router.get("", response_model=Page[Record], responses=problems(400, 404))
def list_records(
    request: Request,
    connector_id: ConnectorId,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "-position",
    key: Key = None,
    search: SearchText = None,
) -> Response:
    """The records of a connector, the newest first.

    A `search` looks through the payloads of 5,000 positions at a time, so that a page may have few records, or none,
    and a `next` all the same: pass it on to look further. A page has 8 MiB of payloads, or a record more, at most.
    """
    after = paging.decode(cursor, sort)
    wanted = RecordSearch(
        limit=limit, descending=sort.startswith("-"), after=None if after is None else after[1], key=key, text=search
    )
    with transactions.reading() as db:
        connector = edits.get(db, CONNECTORS, caller, connector_id)
        found = connectors.search_records(db, connector, wanted, most_bytes=_MOST_BYTES)
    following = None if found.next is None else paging.encode(Place(sort, "", found.next))
    page = {"items": found.rows, "next": following}
    return response(answer(Page[Record], page), paging.link(request, following))


@router.get("/{position}", response_model=Record, responses=problems(404))
def get_record(connector_id: ConnectorId, position: Position, caller: CallerDep, transactions: Db) -> Response:
    """One record."""
    with transactions.reading() as db:
        connector = edits.get(db, CONNECTORS, caller, connector_id)
        rows = connectors.records_at(db, connector["id"], [position], most_bytes=_MOST_BYTES)
    if not rows:
        raise RefusedError(404, f"connector {connector_id} has no record at position {position}")
    return response(answer(Record, rows[0]))


@router.post("", status_code=201, response_model=Appended, responses=problems(404))
def append_records(
    connector_id: ConnectorId,
    records: Annotated[list[RecordSettings], Body(min_length=1, max_length=1000)],
    sent: Sent,
    transactions: Db,
) -> Response:
    """Append records by hand, all or none; one that is stored already is not stored again.

    Workflows process them as those that were pulled. `positions` says where each of them is, in their order.
    """

    def work(db: DictConnection) -> Answer:
        sent.caller.check_writes()
        connector = edits.get(db, CONNECTORS, sent.caller, connector_id, lock=True)
        items = [model.Record(record.key, record.payload) for record in records]
        positions, stored = connectors.append(db, connector["id"], items)
        return answer(Appended, {"positions": positions, "stored": stored}, 201)

    return transactions.once(sent, work)

"""/audit: who has changed what."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response

from include.api import paging
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.transactions import Db
from include.documents.audit import AuditEntry, Operation, document
from include.documents.fields import Instant, Text
from include.errors import RefusedError
from include.store import audit
from include.store.edits import LARGEST_ID

router = api_router(prefix="/audit", tags=["audit"])

AuditId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The id of the entry.", examples=[42])]
Table = Literal["job", "connector", "workflow", "workflow_progress", "connection_grant", "quota"]


@router.get("", response_model=Page[AuditEntry], responses=problems(400, 422))
def list_audit(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    table: Annotated[Table | None, Query(description="Grants and quotas: for admins.")] = None,
    row_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Of the row of this id, in `table`.")] = None,
    actor: Annotated[Text | None, Query(max_length=200, description="By this one.")] = None,
    operation: Operation | None = None,
    since: Annotated[Instant | None, Query(description="Then, or later.")] = None,
    owner: OwnerFilter = None,
) -> Response:
    """The changes of the rows that you may see, the newest first.

    A row that was given to you begins with that change: what it was before is its former owner's.
    """
    given = {"table": table, "row_id": row_id, "actor": actor, "operation": operation, "since": since, "of": owner}
    wanted = paging.search_for(caller.sees, sort="-id", limit=limit, cursor=cursor, filters=given)
    with transactions.reading() as db:
        rows = audit.search(db, wanted)
    page = paging.page_of(rows, sort="-id", limit=limit, show=document)
    return response(answer(Page[AuditEntry], page), paging.link(request, page["next"]))


@router.get("/{audit_id}", response_model=AuditEntry, responses=problems(404))
def get_audit(audit_id: AuditId, caller: CallerDep, transactions: Db) -> Response:
    """One change."""
    with transactions.reading() as db:
        row = audit.get(db, audit_id, caller.sees)
    if row is None:
        raise RefusedError(404, f"there is no entry with id {audit_id}")
    return response(answer(AuditEntry, document(row)))

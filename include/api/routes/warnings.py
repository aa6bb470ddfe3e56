"""/warnings: what has gone quiet or grows without end, until it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from include.api import paging
from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.paging import Cursor, Limit, OwnerFilter, Page
from include.api.problem import problems
from include.api.route import api_router
from include.api.transactions import Db
from include.documents.warning import State, Warning, What, document
from include.store import watchdog

router = api_router(prefix="/warnings", tags=["warnings"])

_SORT = "-id"
_IS_OPEN: Mapping[State, bool | None] = {"open": True, "ended": False, "all": None}


@router.get("", response_model=Page[Warning], responses=problems(400, 422))
def list_warnings(
    request: Request,
    caller: CallerDep,
    transactions: Db,
    limit: Limit = 50,
    cursor: Cursor = None,
    what: Annotated[What | None, Query(description="Only of this.")] = None,
    state: Annotated[State, Query(description="ended: what is over.")] = "open",
    owner: OwnerFilter = None,
) -> Response:
    """The warnings of what is yours, the newest first; admins see everybody's, and the system's.

    The watchdog looks every minute. What ended is kept for as long as the ledger looks back.
    """
    given = {"of": owner, "what": what, "is_open": _IS_OPEN[state]}
    wanted = paging.search_for(caller.sees, sort=_SORT, limit=limit, cursor=cursor, filters=given)
    with transactions.reading() as db:
        rows = watchdog.search(db, wanted)
    page = paging.page_of(rows, sort=_SORT, limit=limit, show=document)
    return response(answer(Page[Warning], page), paging.link(request, page["next"]))

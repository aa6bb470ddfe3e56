"""Who has changed what, when, and by what means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.ui import row_changes
from include.ui.api import Api, ProblemError
from include.ui.page import PageApi, draw, page_router

router = page_router()

_SIZE = 50
_DELETIONS = 200
_TABLES = ("job", "connector", "workflow", "workflow_progress")
_TABLES_OF_ADMINS = (*_TABLES, "connection_grant", "quota")
_OPERATIONS = ("insert", "update", "delete")
_UNREADABLE = frozenset({400, 422})


@router.get("/audit")
async def audit_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    table: str = "",
    row_id: str = "",
    actor: str = "",
    operation: str = "",
    owner: str = "",
    cursor: str = "",
) -> Response:
    """Changes, the newest first, which can be filtered by table, row, who made them, and what they did."""
    chosen = {"table": table, "row_id": row_id, "actor": actor, "operation": operation, "owner": owner}
    page: dict[str, Any] = {"items": [], "next": None}
    problem = None
    try:
        page = await api.get("/audit", **chosen, cursor=cursor, limit=_SIZE)
    except ProblemError as refused:
        if refused.status not in _UNREADABLE:
            raise
        problem = refused
    return draw(
        request,
        "audit.html",
        200 if problem is None else problem.status,
        page=page,
        gone=await _gone(api, page["items"]),
        problem=problem,
        chosen=chosen,
        tables=_TABLES_OF_ADMINS if caller.is_admin else _TABLES,
        operations=_OPERATIONS,
        filtered=any(chosen.values()),
    )


@router.get("/audit/{audit_id}")
async def entry_page(audit_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """One change: field by field, what was and what is."""
    entry = await api.get(f"/audit/{audit_id}")
    gone = await _gone(api, [entry], table=entry["table"], row_id=entry["row_id"])
    return draw(request, "audit_entry.html", entry=entry, gone=gone, changes=row_changes.shown(entry["changes"]))


async def _gone(api: Api, entries: Sequence[Mapping[str, Any]], **of: Any) -> set[int]:
    """The ids of those entries whose row has been deleted since, as far as the newest deletions tell.

    Only what is later than the entries is looked through, and not without end: a link too many leads to a page
    that says that there is no such row.
    """
    if not entries:
        return set()
    since = min(entry["at"] for entry in entries)
    deletions = (await api.get("/audit", operation="delete", since=since, limit=_DELETIONS, **of))["items"]
    last = {(entry["table"], entry["row_id"]): entry["id"] for entry in reversed(deletions)}
    return {
        entry["id"]
        for entry in entries
        if entry["operation"] == "delete" or last.get((entry["table"], entry["row_id"]), 0) > entry["id"]
    }

"""What connectors have brought, to look through."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.ui.page import PageApi, draw, page_router

router = page_router()

_SIZE = 50
_MOST_NAMED = 500


@router.get("/records")
async def records_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    connector: str = "",
    search: str = "",
    key: str = "",
    cursor: str = "",
) -> Response:
    """The records of a connector, the newest first, with a search in their payloads; or connectors to choose from."""
    chosen: dict[str, Any] = {"connector": connector, "search": search, "key": key}
    listed = await api.get("/connectors", sort="name", limit=_MOST_NAMED)
    connectors = listed["items"]
    found, page = None, None
    if connector:
        found = await api.get(f"/connectors/{_number(connector)}")
        page = await api.get(f"/connectors/{found['id']}/records", search=search, key=key, cursor=cursor, limit=_SIZE)
        if all(found["id"] != other["id"] for other in connectors):
            connectors = [found, *connectors]
    return draw(
        request,
        "records.html",
        connectors=connectors,
        unlisted=listed["next"] is not None,
        connector=found,
        page=page,
        chosen=chosen,
        filtered=bool(search or key),
    )


@router.get("/records/{connector_id}/{position}")
async def record_page(connector_id: int, position: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """One record, with its payload."""
    connector = await api.get(f"/connectors/{connector_id}")
    record = await api.get(f"/connectors/{connector_id}/records/{position}")
    return draw(request, "record.html", connector=connector, record=record)


def _number(text: str) -> int:
    """The id that was chosen; 0, which no row has, if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0

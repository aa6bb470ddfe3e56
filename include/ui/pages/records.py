"""What connectors have brought, to look through."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.ui.api import Api
from include.ui.connector_choice import id_of, labelled
from include.ui.page import PageApi, draw, page_router

router = page_router()

_SIZE = 50
_MOST_NAMED = 500
_MOST_ALIKE = 50


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
    alike = await _meant(api, connector) if connector else []
    found, page = (alike[0] if len(alike) == 1 else None), None
    if found is not None:
        page = await api.get(f"/connectors/{found['id']}/records", search=search, key=key, cursor=cursor, limit=_SIZE)
        if all(found["id"] != other["id"] for other in connectors):
            connectors = [found, *connectors]
    return draw(
        request,
        "records.html",
        404 if connector and not alike else 200,
        connectors=labelled(connectors),
        unlisted=listed["next"] is not None,
        alike=labelled(alike),
        connector=found,
        page=page,
        chosen=chosen,
        filtered=bool(search or key),
    )


@router.get("/records/{connector_id}/{position}")
async def record_page(connector_id: int, position: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """One record, with its payload."""
    connector = await api.get(f"/connectors/{connector_id}")
    path = f"/connectors/{connector_id}/records/{position}"
    return draw(request, "record.html", connector=connector, record=await api.get(path), whole=api.address(path))


async def _meant(api: Api, said: str) -> list[dict[str, Any]]:
    """The connector of that id, or those of that name."""
    if (connector_id := id_of(said)) is not None:
        return [await api.get(f"/connectors/{connector_id}")]
    found: list[dict[str, Any]] = (await api.get("/connectors", name=said, limit=_MOST_ALIKE))["items"]
    return found

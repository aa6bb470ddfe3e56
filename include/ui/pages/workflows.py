"""Workflows: how far they are, what they could not process, and where to begin again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.fields import spell_utc
from include.errors import ConfigError
from include.times import parse_past, spell_instant, utcnow
from include.ui.form import SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_STATES = ("active", "paused", "waiting", "stopped", "error")
_SORTS = ("name", "-created_at", "-updated_at", "owner")


@router.get("/workflows")
async def workflows_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    search: str = "",
    kind: str = "",
    owner: str = "",
    state: str = "",
    connector_id: str = "",
    sort: str = "name",
    cursor: str = "",
) -> Response:
    """Workflows that can be searched, filtered and sorted; each with how far it is, and at what speed."""
    chosen = {"search": search, "kind": kind, "owner": owner, "state": state, "connector_id": connector_id}
    page = await api.get("/workflows", **chosen, sort=sort, cursor=cursor, limit=_SIZE)
    kinds = [found["kind"] for found in (await api.get("/kinds"))["actions"]]
    return draw(
        request,
        "workflows.html",
        page=page,
        chosen={**chosen, "sort": sort},
        kinds=kinds,
        states=_STATES,
        sorts=_SORTS,
        filtered=any(chosen.values()),
    )


@router.get("/workflows/{workflow_id}")
async def workflow_page(
    workflow_id: int, request: Request, api: PageApi, caller: CallerDep, cursor: str = ""
) -> Response:
    """One workflow: its watermark, what lies ahead of it, and what it could not process."""
    return await _drawn(request, api, workflow_id, cursor=cursor)


@router.get("/workflows/{workflow_id}/rewind")
async def confirm_rewind(workflow_id: int, request: Request, api: PageApi, caller: CallerDep, to: str = "") -> Response:
    """What a rewind would process again, before it is done."""
    workflow = await api.get(f"/workflows/{workflow_id}")
    try:
        moved_to, said = _again(workflow, to.strip())
    except ConfigError as error:
        wrong = str(error).removeprefix("to: ")
        return await _drawn(request, api, workflow_id, status=422, to=to, wrong=wrong)
    return draw(request, "workflow_rewind.html", workflow=workflow, to=moved_to, again=said)


@router.post("/workflows/{workflow_id}/rewind")
async def rewind_workflow(workflow_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Go back in the log, and process again what comes after."""
    to = form.text("to") or ""
    moved = await api.post(f"/workflows/{workflow_id}/rewind", {"to": to})
    lost = f" {_records(moved['lost'])} more are no longer kept." if moved["lost"] else ""
    said = f"{moved['name']} is back at {moved['to']}: {_records(moved['records'])} will be processed again.{lost}"
    return done(request, said, f"/workflows/{workflow_id}")


@router.post("/workflows/{workflow_id}/skip")
async def skip_workflow(workflow_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Go on after the record at which a workflow has stopped, or ahead in the log."""
    moved = await api.post(f"/workflows/{workflow_id}/skip", {"to": form.text("to")})
    return done(request, f"{moved['name']} goes on at {moved['to']}: {_records(moved['records'])} skipped.")


@router.post("/workflows/{workflow_id}/retry")
async def retry_workflow(workflow_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Try the record again at which a workflow has stopped."""
    workflow = await api.post(f"/workflows/{workflow_id}/retry")
    return done(request, f"{workflow['name']} tries that record again.")


async def _drawn(
    request: Request,
    api: PageApi,
    workflow_id: int,
    *,
    status: int = 200,
    cursor: str = "",
    to: str = "",
    wrong: str = "",
) -> Response:
    workflow = await api.get(f"/workflows/{workflow_id}")
    letters = await api.get(
        "/dead-letters", source="workflow", workflow_id=workflow_id, status="open", cursor=cursor, limit=_SIZE
    )
    return draw(request, "workflow.html", status, workflow=workflow, letters=letters, to=to, wrong=wrong)


def _again(workflow: Mapping[str, Any], to: str) -> tuple[str, str]:
    """Where a rewind goes, however long one thinks about it, and what it would process again, in words.

    `ConfigError` if one cannot go back to there.
    """
    at = workflow["position"]
    if not workflow["begun"]:
        raise ConfigError("it has not begun; its setting start_from says where it will")
    if not to:
        raise ConfigError("write a position, an instant, or how long ago")
    if to.isascii() and to.isdigit():
        if len(to) > len(str(at)) or int(to) >= at:
            raise ConfigError(f"the watermark is at {at}, and {to[:20]} is not before it")
        return to, f"the records {int(to) + 1} to {at}, {_records(at - int(to))} at most"
    instant = parse_past(to, "to", utcnow())
    return spell_utc(instant), f"every record up to {at} that was stored after {spell_instant(instant)} UTC"


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"

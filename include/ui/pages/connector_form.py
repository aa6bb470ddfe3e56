"""A form for a new connector, and for one that is there, with a preview before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.documents.connector import ConnectorSettings
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router
from include.ui.row_form import RowForm

router = page_router()

_FORM = RowForm(
    settings=ConnectorSettings,
    code="config",
    always=("name", "every"),
    groups={
        "Which records are stored": ("dedupe",),
        "How its source is treated": ("rate_limit", "budget", "timeout"),
        "After failures": ("alert_after", "notify"),
        "Row": ("external_id", "owner", "is_active"),
    },
    begins={"every": 300},
)
_NOT_TO_MEND = frozenset({401, 404})
_CHANGED_MEANWHILE = 412


@router.get("/connectors/new")
async def new_connector_page(request: Request, api: PageApi, caller: CallerDep, kind: str = "") -> Response:
    """An empty form, with the settings of a kind if one is chosen."""
    caller.check_writes()
    return await _page(request, api, caller, kind=kind)


@router.post("/connectors/new")
async def create_connector(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the connector, or try it out; or show the form again, with what is wrong, or with another kind's settings."""
    caller.check_writes()
    what = form.get("do")
    if what == "show":
        return await _page(request, api, caller, form=form)
    try:
        settings = _FORM.sent(form, await _kinds(api), caller, None)
        if what == "preview":
            return await _page(request, api, caller, form=form, preview=await _preview(api, settings))
        connector = await api.post("/connectors", settings, key=form.text("key"))
    except ProblemError as problem:
        return await _page(request, api, caller, form=form, problem=problem, is_preview=what == "preview")
    return done(request, f"{connector['name']} is created.", f"/connectors/{connector['id']}")


@router.get("/connectors/{connector_id}/edit")
async def edit_connector_page(connector_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a connector's settings."""
    caller.check_writes()
    return await _page(request, api, caller, connector=await api.get(f"/connectors/{connector_id}"))


@router.post("/connectors/{connector_id}/edit")
async def replace_connector(
    connector_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm
) -> Response:
    """Save the connector, unless somebody has changed it since it was shown; or try it out; or show the form again."""
    caller.check_writes()
    connector = await api.get(f"/connectors/{connector_id}")
    what, shown = form.get("do"), {"connector": connector, "form": form}
    if what == "show":
        return await _page(request, api, caller, **shown)
    settings: dict[str, Any] = {}
    known = {"if-match": f'"{form.text("revision") or 0}"'}
    try:
        settings = _FORM.sent(form, await _kinds(api), caller, connector)
        if what == "preview":
            return await _page(request, api, caller, **shown, preview=await _preview(api, settings))
        saved = (await api.send("PUT", f"/connectors/{connector_id}", body=settings, headers=known)).document
    except ProblemError as problem:
        changed = _FORM.differences(settings, connector) if problem.status == _CHANGED_MEANWHILE else None
        is_preview = what == "preview"
        return await _page(request, api, caller, **shown, problem=problem, changed=changed, is_preview=is_preview)
    return done(request, f"{saved['name']} is saved.", f"/connectors/{connector_id}")


async def _preview(api: Api, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What it would pull; it need not have a name yet."""
    found: dict[str, Any] = await api.post("/connectors/preview", {"name": "preview", **settings})
    return found


async def _page(
    request: Request,
    api: Api,
    caller: Caller,
    *,
    connector: Mapping[str, Any] | None = None,
    form: Form | None = None,
    kind: str = "",
    problem: ProblemError | None = None,
    changed: list[tuple[str, Any, Any]] | None = None,
    preview: Mapping[str, Any] | None = None,
    is_preview: bool = False,
) -> Response:
    """The form: with what came in, or else with what the connector has; with what is wrong, or a preview."""
    if problem is not None and problem.status in _NOT_TO_MEND:
        raise problem
    drawn = _FORM.shown(
        await _kinds(api), caller, row=connector, form=form, kind=kind, problem=problem, changed=changed
    )
    return draw(
        request,
        "connector_form.html",
        problem.status if problem else 200,
        **drawn,
        connector=connector,
        to=f"/connectors/{connector['id']}/edit" if connector else "/connectors/new",
        preview=preview or (problem.document.get("preview") if problem else None),
        is_preview=is_preview,
        connections=[one["conn_id"] for one in (await api.get("/me"))["connections"]],
    )


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of connectors, by name."""
    return {one["kind"]: one for one in (await api.get("/kinds"))["connectors"]}

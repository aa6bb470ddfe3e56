"""A form for a new connector, and for one that is there, with a preview before it is saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.documents.connector import CONNECTORS, ConnectorSettings
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, page_router
from include.ui.row_form import Draft, RowForm
from include.ui.row_page import RowPage

router = page_router()

_FORM = RowForm(
    settings=ConnectorSettings,
    judge=CONNECTORS.judge,
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


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of connectors, by name."""
    return {one["kind"]: one for one in (await api.get("/kinds"))["connectors"]}


_PAGE = RowPage("connector", _FORM, _kinds)


@router.get("/connectors/new")
async def new_connector_page(request: Request, api: PageApi, caller: CallerDep, kind: str = "") -> Response:
    """An empty form, with the settings of a kind if one is chosen."""
    return await _PAGE.new(request, api, caller, kind=kind)


@router.post("/connectors/new")
async def create_connector(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the connector, or try it out; or show the form again, with what is wrong, or with another kind's settings."""
    if form.get("do") == "preview":
        return await _preview(request, api, caller, form)
    return await _PAGE.create(request, api, caller, form)


@router.get("/connectors/{connector_id}/edit")
async def edit_connector_page(connector_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a connector's settings."""
    return await _PAGE.edit(request, api, caller, connector_id)


@router.post("/connectors/{connector_id}/edit")
async def replace_connector(
    connector_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm
) -> Response:
    """Save the connector, unless somebody has changed it since it was shown; or try it out; or show the form again."""
    if form.get("do") == "preview":
        return await _preview(request, api, caller, form, connector_id)
    return await _PAGE.save(request, api, caller, form, connector_id)


async def _preview(request: Request, api: Api, caller: Caller, form: Form, connector_id: int | None = None) -> Response:
    """Show beside the form what it would pull, without saving it; it need not have a name yet."""
    caller.check_writes()
    connector = None if connector_id is None else await api.get(f"/connectors/{connector_id}")
    draft = Draft(row=connector, form=form)
    settings: dict[str, Any] = {}
    try:
        settings = {"name": "preview", **_FORM.sent(form, await _kinds(api), caller, connector)}
        preview = await api.post("/connectors/preview", settings)
    except ProblemError as problem:
        found = problem.document.get("preview")
        wrong = _FORM.all_wrong(problem, settings or {"name": "preview", **problem.document})
        return await _PAGE.draw(request, api, caller, replace(draft, problem=wrong), tried=found, is_tried=True)
    return await _PAGE.draw(request, api, caller, draft, tried=preview, is_tried=True)

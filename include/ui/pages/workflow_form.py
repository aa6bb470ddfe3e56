"""A form for a new workflow, and for one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.workflow import WorkflowSettings
from include.ui.api import Api, ProblemError
from include.ui.form import SentForm
from include.ui.page import PageApi, page_router
from include.ui.row_form import Draft, RowForm
from include.ui.row_page import RowPage
from include.ui.schema_form import Field

router = page_router()

_FORM = RowForm(
    settings=WorkflowSettings,
    code="payload",
    always=("name", "connector", "every", "filter", "start_from"),
    groups={
        "When it begins": ("started_at",),
        "When a record fails": (
            *("on_error", "retries", "retry_delay", "retry_backoff", "retry_max_delay", "retry_jitter", "no_retry_on"),
            "timeout",
        ),
        "How many at once": ("batch_size",),
        "Row": ("external_id", "owner", "is_active"),
    },
    begins={},
    needed=("connector",),
    fixed=("connector",),
)
_MOST_NAMED = 500


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of workflows, by name; what gets the record where it is left out need not be filled in."""
    kinds = {}
    for one in (await api.get("/kinds"))["actions"]:
        needed = [name for name in one["json_schema"].get("required", ()) if name != one["record_field"]]
        kinds[one["kind"]] = {**one, "json_schema": {**one["json_schema"], "required": needed}}
    return kinds


async def _besides(api: Api, draft: Draft, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The connectors to choose from, and the newest record of the one that is chosen."""
    field = drawn["always"]["connector"]
    reads = draft.row["connector"] if draft.row else field.value
    return {"connector": await _connectors(api, field), "sample": await _sample(api, reads)}


async def _connectors(api: Api, field: Field) -> Field:
    """The field with the connectors to choose from; where there are too many, their names are typed."""
    page = await api.get("/connectors", sort="name", limit=_MOST_NAMED)
    if page["next"] is not None:
        return field
    names = [one["name"] for one in page["items"]]
    unlisted = [field.value] if field.value and field.value not in names else []
    options = [("", "choose…"), *((name, name) for name in [*unlisted, *names])]
    return replace(field, widget="choice", options=tuple(options))


async def _sample(api: Api, connector: str) -> dict[str, Any] | None:
    """The newest record of a connector: what templates can use. None if there is none."""
    try:
        found = (await api.get("/connectors", name=connector, limit=1))["items"] if connector else []
        records = (await api.get(f"/connectors/{found[0]['id']}/records", limit=1))["items"] if found else []
    except ProblemError:
        return None
    return {"connector": found[0], "record": records[0]} if records else None


_PAGE = RowPage("workflow", _FORM, _kinds, _besides)


@router.get("/workflows/new")
async def new_workflow_page(
    request: Request, api: PageApi, caller: CallerDep, kind: str = "", connector: str = ""
) -> Response:
    """An empty form; with the settings of a kind, or on a connector, if one is chosen."""
    return await _PAGE.new(request, api, caller, kind=kind, connector=connector)


@router.post("/workflows/new")
async def create_workflow(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the workflow; or show the form again, with what is wrong, or with the settings of another kind."""
    return await _PAGE.create(request, api, caller, form)


@router.get("/workflows/{workflow_id}/edit")
async def edit_workflow_page(workflow_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a workflow's settings."""
    return await _PAGE.edit(request, api, caller, workflow_id)


@router.post("/workflows/{workflow_id}/edit")
async def replace_workflow(
    workflow_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm
) -> Response:
    """Save the workflow, unless somebody has changed it since it was shown; or show the form again."""
    return await _PAGE.save(request, api, caller, form, workflow_id)

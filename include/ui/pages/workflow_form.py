"""A form for a new workflow, and for one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.documents.workflow import WORKFLOWS, WorkflowSettings
from include.ui.api import Api, ProblemError
from include.ui.connector_choice import id_of, labelled
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, page_router
from include.ui.row_form import Draft, Row, RowForm
from include.ui.row_page import RowPage
from include.ui.schema_form import Field

router = page_router()


class _WorkflowForm(RowForm):
    """Its connector is chosen by its id, for several owners may have one of a name; who types it may write the name."""

    def sent(self, form: Form, kinds: Mapping[str, Any], caller: Caller, row: Row | None) -> dict[str, Any]:
        """As `RowForm.sent`."""
        settings = super().sent(form, kinds, caller, row)
        if row is None and (connector_id := id_of(settings["connector"])) is not None:
            return {**settings, "connector": None, "connector_id": connector_id}
        return settings


def _judge(columns: Mapping[str, Any], _: None) -> None:
    """As a row of any connector, which begins now where nothing else is said."""
    given = {name: value for name, value in columns.items() if value is not None or name != "started_at"}
    WORKFLOWS.judge({**given, "connector_id": 0}, None)


_FORM = _WorkflowForm(
    settings=WorkflowSettings,
    judge=_judge,
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
    field = replace(field, error=field.error or drawn["errors"].get("connector_id", ""))
    chosen = await _chosen(api, str(draft.row["connector_id"]) if draft.row else field.value)
    return {"connector": await _connectors(api, field, chosen), "sample": await _sample(api, chosen)}


async def _chosen(api: Api, said: str) -> dict[str, Any] | None:
    """The connector of that id or name; None if there is none, or several."""
    try:
        if (connector_id := id_of(said)) is not None:
            connector: dict[str, Any] = await api.get(f"/connectors/{connector_id}")
            return connector
        found = (await api.get("/connectors", name=said, limit=2))["items"] if said else []
    except ProblemError:
        return None
    return found[0] if len(found) == 1 else None


async def _connectors(api: Api, field: Field, chosen: Mapping[str, Any] | None) -> Field:
    """The field with the connectors to choose from; where there are too many, their names or ids are typed."""
    page = await api.get("/connectors", sort="name", limit=_MOST_NAMED)
    if page["next"] is not None:
        return field
    value = field.value if chosen is None else str(chosen["id"])
    listed = labelled(page["items"])
    unlisted = [(value, value)] if value and value not in dict(listed) else []
    return replace(field, value=value, widget="choice", options=(("", "choose…"), *unlisted, *listed))


async def _sample(api: Api, connector: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The newest record of a connector: what templates can use. None if there is none."""
    try:
        records = (await api.get(f"/connectors/{connector['id']}/records", limit=1))["items"] if connector else []
    except ProblemError:
        return None
    return {"connector": connector, "record": records[0]} if records else None


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

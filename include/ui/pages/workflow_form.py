"""A form for a new workflow, and for one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.documents.workflow import WorkflowSettings
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router
from include.ui.row_form import RowForm
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
_NOT_TO_MEND = frozenset({401, 404})
_CHANGED_MEANWHILE = 412
_MOST_NAMED = 500


@router.get("/workflows/new")
async def new_workflow_page(
    request: Request, api: PageApi, caller: CallerDep, kind: str = "", connector: str = ""
) -> Response:
    """An empty form; with the settings of a kind, or on a connector, if one is chosen."""
    caller.check_writes()
    return await _page(request, api, caller, kind=kind, connector=connector)


@router.post("/workflows/new")
async def create_workflow(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the workflow; or show the form again, with what is wrong, or with the settings of another kind."""
    caller.check_writes()
    if form.get("do") == "show":
        return await _page(request, api, caller, form=form)
    try:
        settings = _FORM.sent(form, await _kinds(api), caller, None)
        workflow = await api.post("/workflows", settings, key=form.text("key"))
    except ProblemError as problem:
        return await _page(request, api, caller, form=form, problem=problem)
    return done(request, f"{workflow['name']} is created.", f"/workflows/{workflow['id']}")


@router.get("/workflows/{workflow_id}/edit")
async def edit_workflow_page(workflow_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a workflow's settings."""
    caller.check_writes()
    return await _page(request, api, caller, workflow=await api.get(f"/workflows/{workflow_id}"))


@router.post("/workflows/{workflow_id}/edit")
async def replace_workflow(
    workflow_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm
) -> Response:
    """Save the workflow, unless somebody has changed it since it was shown; or show the form again."""
    caller.check_writes()
    workflow = await api.get(f"/workflows/{workflow_id}")
    if form.get("do") == "show":
        return await _page(request, api, caller, workflow=workflow, form=form)
    settings: dict[str, Any] = {}
    known = {"if-match": f'"{form.text("revision") or 0}"'}
    try:
        settings = _FORM.sent(form, await _kinds(api), caller, workflow)
        saved = (await api.send("PUT", f"/workflows/{workflow_id}", body=settings, headers=known)).document
    except ProblemError as problem:
        changed = _FORM.differences(settings, workflow) if problem.status == _CHANGED_MEANWHILE else None
        return await _page(request, api, caller, workflow=workflow, form=form, problem=problem, changed=changed)
    return done(request, f"{saved['name']} is saved.", f"/workflows/{workflow_id}")


async def _page(
    request: Request,
    api: Api,
    caller: Caller,
    *,
    workflow: Mapping[str, Any] | None = None,
    form: Form | None = None,
    kind: str = "",
    connector: str = "",
    problem: ProblemError | None = None,
    changed: list[tuple[str, Any, Any]] | None = None,
) -> Response:
    """The form: with what came in, or else with what the workflow has; with what is wrong."""
    if problem is not None and problem.status in _NOT_TO_MEND:
        raise problem
    drawn = _FORM.shown(await _kinds(api), caller, row=workflow, form=form, kind=kind, problem=problem, changed=changed)
    reads = workflow["connector"] if workflow else form.get("connector", "") if form is not None else connector
    field = await _connectors(api, replace(drawn["always"]["connector"], value=reads))
    return draw(
        request,
        "workflow_form.html",
        problem.status if problem else 200,
        **drawn,
        workflow=workflow,
        to=f"/workflows/{workflow['id']}/edit" if workflow else "/workflows/new",
        connector=field,
        sample=await _sample(api, reads),
        connections=[one["conn_id"] for one in (await api.get("/me"))["connections"]],
    )


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of workflows, by name; what gets the record where it is left out need not be filled in."""
    kinds = {}
    for one in (await api.get("/kinds"))["actions"]:
        needed = [name for name in one["json_schema"].get("required", ()) if name != one["record_field"]]
        kinds[one["kind"]] = {**one, "json_schema": {**one["json_schema"], "required": needed}}
    return kinds


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

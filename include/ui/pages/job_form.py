"""A form for a new job, and for one that is there; what is filled in can be tried out before it is saved."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.ui import job_settings, schedule_form, schema_form
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_NOT_TO_MEND = frozenset({401, 404})
_CHANGED_MEANWHILE = 412


@router.get("/jobs/new")
async def new_job_page(
    request: Request, api: PageApi, caller: CallerDep, kind: str = "", like: int | None = None
) -> Response:
    """An empty form, with the settings of a kind if one is chosen; or one that is filled in `like` another job."""
    caller.check_writes()
    if like is not None:
        return await _page(request, api, caller, job=job_settings.copied(await api.get(f"/jobs/{like}")))
    return await _page(request, api, caller, kind=kind)


@router.post("/jobs/new")
async def create_job(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the job; or show the form again, with what is wrong, or with the settings of another kind."""
    caller.check_writes()
    if form.get("do") == "show":
        return await _page(request, api, caller, form=form)
    try:
        settings = job_settings.settings_of(form, await _kinds(api), caller)
        job = await api.post("/jobs", settings, key=form.text("key"))
    except ProblemError as problem:
        return await _page(request, api, caller, form=form, problem=problem)
    return done(request, f"{job['name']} is created.", f"/jobs/{job['id']}")


@router.get("/jobs/{job_id}/edit")
async def edit_job_page(job_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a job's settings."""
    caller.check_writes()
    return await _page(request, api, caller, job=await api.get(f"/jobs/{job_id}"))


@router.post("/jobs/{job_id}/edit")
async def replace_job(job_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Save the job, unless somebody has changed it since it was shown; or show the form again, as for a new one."""
    caller.check_writes()
    job = await api.get(f"/jobs/{job_id}")
    if form.get("do") == "show":
        return await _page(request, api, caller, job=job, form=form)
    settings: dict[str, Any] = {}
    known = {"if-match": f'"{form.text("revision") or 0}"'}
    try:
        settings = job_settings.settings_of(form, await _kinds(api), caller, job)
        saved = (await api.send("PUT", f"/jobs/{job_id}", body=settings, headers=known)).document
    except ProblemError as problem:
        is_late = problem.status == _CHANGED_MEANWHILE
        changed = job_settings.differences(settings, job) if is_late else None
        return await _page(request, api, caller, job=job, form=form, problem=problem, changed=changed)
    return done(request, f"{saved['name']} is saved.", f"/jobs/{job_id}")


@router.post("/jobs/trial")
async def try_job(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Run once what is filled in, without saving it, and show beside the form what came of that."""
    caller.check_writes()
    edited = form.get("job_id", "")
    job = await api.get(f"/jobs/{edited}") if edited.isascii() and edited.isdigit() else None
    try:
        trial = await api.post("/jobs/trial", job_settings.trial_of(form, await _kinds(api), job))
    except ProblemError as problem:
        return await _page(request, api, caller, job=job, form=form, problem=problem, is_trial=True)
    return await _page(request, api, caller, job=job, form=form, trial=trial, is_trial=True)


@router.get("/jobs/trials/{trial_id}")
async def trial_page(trial_id: int, request: Request, api: PageApi) -> Response:
    """What has become of a trial on a worker so far."""
    return draw(request, "job_form_trial.html", trial=await api.get(f"/jobs/trials/{trial_id}"), problems=[])


async def _page(
    request: Request,
    api: Api,
    caller: Caller,
    *,
    job: Mapping[str, Any] | None = None,
    form: Form | None = None,
    kind: str = "",
    problem: ProblemError | None = None,
    changed: list[tuple[str, Any, Any]] | None = None,
    trial: Mapping[str, Any] | None = None,
    is_trial: bool = False,
) -> Response:
    """The form: with what came in, or else with what the job has; with what is wrong, or what came of a trial."""
    if problem is not None and problem.status in _NOT_TO_MEND:
        raise problem
    kinds, errors = await _kinds(api), job_settings.errors_of(problem)
    kind = form.get("kind", "") if form is not None else job["kind"] if job else kind
    fields = _fields(caller, kinds, kind, job, form, errors)
    typed = {} if form is None or changed is not None else form
    stored = job if job and "id" in job else None
    return draw(
        request,
        "job_form.html",
        problem.status if problem else 200,
        **fields,
        job=stored,
        to=f"/jobs/{stored['id']}/edit" if stored else "/jobs/new",
        revision=typed.get("revision") or (job["revision"] if job else ""),
        key=typed.get("key") or secrets.token_urlsafe(16),
        errors=errors,
        problems=_problems(problem, errors, fields),
        changed=changed,
        trial=trial,
        is_trial=is_trial,
        connections=[one["conn_id"] for one in (await api.get("/me"))["connections"]],
    )


def _fields(
    caller: Caller,
    kinds: Mapping[str, Any],
    kind: str,
    job: Mapping[str, Any] | None,
    form: Form | None,
    errors: Mapping[str, str],
) -> dict[str, Any]:
    """All that can be filled in."""
    return {
        "name_field": job_settings.name_field(job, form, errors),
        "kind": kind,
        "kinds": [one for one in kinds.values() if one["kind"] == kind or caller.is_admin or not one["admins_only"]],
        "chosen": kinds.get(kind),
        "payload": job_settings.payload_fields(kinds, kind, job, form, errors),
        "schedule": schedule_form.shown(job, form, errors),
        "more": job_settings.more_fields(caller, job, form, errors),
    }


def _problems(
    problem: ProblemError | None, errors: Mapping[str, str], fields: Mapping[str, Any]
) -> list[tuple[str | None, str]]:
    """What is wrong, one by one, in the order of the fields."""
    if problem is not None and not errors:
        return [(None, problem.detail)]
    more = [field.name for group in fields["more"].values() for field in group]
    names = ["name", "kind", *(field.name for field in fields["payload"]), *schedule_form.LABELS, *more]
    return schema_form.listed(errors, names, schedule_form.LABELS)


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of jobs, by name."""
    return {one["kind"]: one for one in (await api.get("/kinds"))["actions"]}

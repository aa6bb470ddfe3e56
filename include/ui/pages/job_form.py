"""A form for a new job, and for one that is there; what is filled in can be tried out before it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.job import JOBS, JobSettings
from include.ui.api import Api, ProblemError
from include.ui.form import SentForm
from include.ui.page import PageApi, draw, page_router
from include.ui.row_form import Draft, RowForm
from include.ui.row_page import RowPage

router = page_router()

_FORM = RowForm(
    settings=JobSettings,
    judge=JOBS.judge,
    code="payload",
    always=("name",),
    groups={
        "Attempts and retries": (
            *("timeout", "retries", "retry_delay", "retry_backoff", "retry_max_delay", "retry_jitter", "no_retry_on"),
            "delivery",
        ),
        "Occurrences that are late, or overlap": ("overlap", "misfire", "max_lateness", "jitter", "every_mode"),
        "After failures": ("disable_after", "half_open", "probe_every", "notify"),
        "Row": ("external_id", "owner", "is_active"),
    },
    begins={"every": 300},
    unchosen="choose what the job does",
    has_schedule=True,
)
_TRIED = ("timeout",)
_NOT_COPIED = ("id", "external_id", "owner", "is_active", "paused_until")
_LONGEST_NAME = 200


async def _kinds(api: Api) -> dict[str, Any]:
    """The kinds of jobs, by name."""
    return {one["kind"]: one for one in (await api.get("/kinds"))["actions"]}


_PAGE = RowPage("job", _FORM, _kinds)


@router.get("/jobs/new")
async def new_job_page(
    request: Request, api: PageApi, caller: CallerDep, kind: str = "", like: int | None = None
) -> Response:
    """An empty form, with the settings of a kind if one is chosen; or one that is filled in `like` another job."""
    begins = {"kind": kind} if like is None else _copied(await api.get(f"/jobs/{like}"))
    return await _PAGE.new(request, api, caller, **begins)


@router.post("/jobs/new")
async def create_job(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the job; or show the form again, with what is wrong, or with the settings of another kind."""
    return await _PAGE.create(request, api, caller, form)


@router.get("/jobs/{job_id}/edit")
async def edit_job_page(job_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """The form with a job's settings."""
    return await _PAGE.edit(request, api, caller, job_id)


@router.post("/jobs/{job_id}/edit")
async def replace_job(job_id: int, request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Save the job, unless somebody has changed it since it was shown; or show the form again, as for a new one."""
    return await _PAGE.save(request, api, caller, form, job_id)


@router.post("/jobs/trial")
async def try_job(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Run once what is filled in, without saving it, and show beside the form what came of that."""
    caller.check_writes()
    edited = form.get("job_id", "")
    job = await api.get(f"/jobs/{edited}") if edited.isascii() and edited.isdigit() else None
    draft = Draft(row=job, form=form)
    settings: dict[str, Any] = {}
    try:
        settings = _FORM.part_sent(form, await _kinds(api), job, _TRIED)
        trial = await api.post("/jobs/trial", settings)
    except ProblemError as problem:
        wrong = _FORM.all_wrong(problem, {"name": "trial", **(settings or problem.document)})
        return await _PAGE.draw(request, api, caller, replace(draft, problem=wrong), is_tried=True)
    return await _PAGE.draw(request, api, caller, draft, tried=trial, is_tried=True)


@router.get("/jobs/trials/{trial_id}")
async def trial_page(trial_id: int, request: Request, api: PageApi) -> Response:
    """What has become of a trial on a worker so far."""
    return draw(request, "job_form_trial.html", trial=await api.get(f"/jobs/trials/{trial_id}"), problems=[])


def _copied(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job as the beginning of a new one."""
    kept = {name: value for name, value in job.items() if name not in _NOT_COPIED}
    return {**kept, "name": f"Copy of {job['name']}"[:_LONGEST_NAME].strip()}

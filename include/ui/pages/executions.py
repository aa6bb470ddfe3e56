"""What became of all jobs: by status, with permanent failures to redrive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.errors import RefusedError
from include.times import parse_duration, utcnow
from include.ui import attempts
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_GUESSES = 20
_STATUSES = ("success", "failed", "running", "retrying", "skipped", "missed", "cancelled")
_WITHIN = ("5 min", "1 h", "6 h", "1 d", "7 d", "30 d")
_SOURCES = ("job", "timer", "workflow")
_LETTER_STATUSES = ("open", "dead", "redriving", "redriven", "discarded", "all")
_DECISIONS = {"redrive": "sent again", "discard": "discarded"}


@router.get("/executions")
async def executions_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    status: str = "",
    kind: str = "",
    job: str = "",
    within: str = "",
    owner: str = "",
    cursor: str = "",
) -> Response:
    """The newest executions of all jobs, or of one, by status, kind and time."""
    chosen = {"status": status, "kind": kind, "job": job.strip(), "within": within, "owner": owner}
    asked = {"status": status, "since": _since(within), "cursor": cursor, "limit": _SIZE}
    jobs = await _jobs_named(api, **chosen) if chosen["job"] else None
    if jobs is None:
        page = await api.get("/executions", **asked, kind=kind, owner=owner)
    elif len(jobs) == 1:
        page = await api.get(f"/jobs/{jobs[0]['id']}/executions", **asked)
    else:
        page = {"items": [], "next": None}
    return draw(
        request,
        "executions.html",
        page=page,
        jobs=jobs,
        kind_of=await _kinds_of(api, page["items"]),
        chosen=chosen,
        statuses=_STATUSES,
        lengths=_WITHIN,
        kinds=[found["kind"] for found in (await api.get("/kinds"))["actions"]],
        is_filtered=any(chosen.values()),
    )


@router.get("/dead-letters")
async def dead_letters_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    source: str = "",
    status: str = "open",
    job_id: str = "",
    workflow_id: str = "",
    owner: str = "",
    cursor: str = "",
) -> Response:
    """What has failed for good, of jobs, timers and workflows, until a person decides about it."""
    chosen = {"source": source, "status": status, "job_id": job_id, "workflow_id": workflow_id, "owner": owner}
    page = await api.get("/dead-letters", **chosen, cursor=cursor, limit=_SIZE)
    is_filtered = any((source, job_id, workflow_id, owner, status != "open"))
    return draw(
        request,
        "dead_letters.html",
        page=page,
        chosen=chosen,
        sources=_SOURCES,
        statuses=_LETTER_STATUSES,
        is_filtered=is_filtered,
    )


@router.post("/dead-letters/decide")
async def decide(request: Request, api: PageApi, form: SentForm) -> Response:
    """Redrive or discard those that are ticked, all of them or none; or up to 1,000 of those that are dead."""
    what, _, of_all = form.get("do", "").partition("-")
    if what not in _DECISIONS or of_all not in ("", "all"):
        raise RefusedError(422, f"choose what to do: {', '.join(_DECISIONS)}")
    choices = _all_chosen(form) if of_all else [{"ids": _ticked(form)}]
    results = [await api.post(f"/dead-letters/{what}", choice) for choice in choices]
    count = sum(result["count"] for result in results)
    said = f"{count} {'are' if count != 1 else 'is'} {_DECISIONS[what]}."
    if waiting := sum(result["at_next_run"] for result in results):
        said += f" {waiting} of these wait for the next run of their job."
    if any(result["more"] for result in results):
        said += " There are more: press it again."
    return done(request, said)


@router.get("/dead-letters/{source}/{letter_id}")
async def dead_letter_page(source: str, letter_id: str, request: Request, api: PageApi) -> Response:
    """One of them: every attempt, and what was to be processed."""
    letter = await api.get(f"/dead-letters/{source}/{letter_id}")
    return draw(request, "dead_letter.html", letter=letter, attempts=attempts.shown(letter["attempts"]))


def _since(within: str) -> str | None:
    """The instant so long ago; a length that is not offered is none."""
    return (utcnow() - parse_duration(within, "within")).isoformat() if within in _WITHIN else None


async def _jobs_named(api: Api, job: str, kind: str, owner: str, **_: str) -> list[dict[str, Any]]:
    """The job of this number or name; else those whose name or settings have it in them."""
    if job.isascii() and job.isdigit():
        try:
            return [await api.get(f"/jobs/{job}")]
        except ProblemError as problem:
            if problem.status in (404, 422):
                return []
            raise
    exact: list[dict[str, Any]] = (await api.get("/jobs", name=job, kind=kind, owner=owner, limit=_GUESSES))["items"]
    return exact or (await api.get("/jobs", search=job, kind=kind, owner=owner, limit=_GUESSES))["items"]


async def _kinds_of(api: Api, executions: Sequence[dict[str, Any]]) -> dict[int, str]:
    """The kind of each job that has executions on the page; of one that was deleted meanwhile, none."""
    ids = {execution["job_id"] for execution in executions}
    found = await asyncio.gather(*(api.get(f"/jobs/{one}") for one in ids), return_exceptions=True)
    return {job["id"]: job["kind"] for job in found if not isinstance(job, BaseException)}


def _ticked(form: Form) -> list[dict[str, str]]:
    """What is ticked, each written as `source:id`."""
    pairs = [value.partition(":") for value in form.of("id")]
    if not pairs:
        raise RefusedError(422, "Tick at least one first.")
    return [{"source": source, "id": name} for source, _, name in pairs]


def _all_chosen(form: Form) -> list[dict[str, Any]]:
    """All that are dead, as the list was narrowed."""
    if form.text("owner"):
        raise RefusedError(422, "All of one owner cannot be chosen at once: tick them, or choose a job.")
    narrowed = {name: int(value) for name in ("job_id", "workflow_id") if (value := form.get(name, "")).isdecimal()}
    source = form.text("source") or next((name[:-3] for name in narrowed), None)
    return [{"source": source, **narrowed}] if source else [{"source": one} for one in _SOURCES]

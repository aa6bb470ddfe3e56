"""What became of all jobs, by status; and dead letters, to redrive or discard."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, get_args

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.errors import ConfigError, RefusedError
from include.model import Status
from include.times import parse_duration, parse_instant, utcnow
from include.ui import attempts
from include.ui.api import Api
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_GUESSES = 20
_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_WITHIN = ("5 min", "1 h", "6 h", "1 d", "7 d", "30 d")
_SOURCES = ("job", "timer", "workflow")
_LETTER_STATUSES = ("open", "dead", "redriving", "redriven", "discarded", "all")
_DECISIONS = {"redrive": "sent again", "discard": "discarded"}
_NOTHING: dict[str, Any] = {"items": [], "next": None}


@router.get("/executions")
async def executions_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    status: str = "",
    kind: str = "",
    job: str = "",
    within: str = "",
    since: str = "",
    until: str = "",
    owner: str = "",
    cursor: str = "",
) -> Response:
    """The newest executions of all jobs, or of one, by status, kind and time."""
    chosen = {"status": status, "kind": kind, "job": job.strip(), "within": within, "since": since, "until": until}
    chosen["owner"] = owner
    page, jobs, wrong = _NOTHING, None, None
    try:
        asked = {"status": status, **_range(within, since, until), "cursor": cursor, "limit": _SIZE}
    except ConfigError as error:
        wrong = str(error)
    else:
        jobs = await _jobs_named(api, **chosen) if chosen["job"] else None
        if jobs is None:
            page = await api.get("/executions", **asked, kind=kind, owner=owner)
        elif len(jobs) == 1:
            page = await api.get(f"/jobs/{jobs[0]['id']}/executions", **asked)
    return draw(
        request,
        "executions.html",
        page=page,
        jobs=jobs,
        wrong=wrong,
        chosen=chosen,
        statuses=get_args(Status),
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


def _range(within: str, since: str, until: str) -> dict[str, str]:
    """What was due in the last time, if that is offered, and from one instant until before another; `ConfigError`."""
    now = utcnow()
    begin, end = _typed(since, "from", now), _typed(until, "until", now)
    if within in _WITHIN:
        recent = now - parse_duration(within, "within")
        begin = recent if begin is None else max(begin, recent)
    if begin is not None and end is not None and begin >= end:
        raise ConfigError("Nothing can lie between: write an “until” that is after “from”.")
    return {name: at.isoformat() for name, at in (("since", begin), ("until", end)) if at is not None}


def _typed(text: str, field: str, now: datetime) -> datetime | None:
    return parse_instant(text, field, zone="UTC", now=now) if text.strip() else None


async def _jobs_named(api: Api, job: str, kind: str, owner: str, **_: str) -> list[dict[str, Any]]:
    """The job of this number or name; else those whose name or settings have it in them."""
    ways = ["jobId"] if _ID.fullmatch(job) else ["name", "search"]
    found: list[dict[str, Any]] = []
    for way in ways:
        found = found or (await api.get("/jobs", **{way: job}, kind=kind, owner=owner, limit=_GUESSES))["items"]
    return found


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
    narrowed = {name: value for name in ("job_id", "workflow_id") if (value := form.text(name))}
    source = form.text("source") or next((name[:-3] for name in narrowed), None)
    return [{"source": source, **narrowed}] if source else [{"source": one} for one in _SOURCES]

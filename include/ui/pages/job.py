"""One job: its settings, what became of it, and why it did not run."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, get_args

from fastapi import Request
from fastapi.responses import Response

from include.errors import ConfigError
from include.model import Status
from include.time_zones import zone_named
from include.times import parse_instant, spell_wall, utcnow
from include.ui import attempts
from include.ui.api import Api, ProblemError
from include.ui.cron_words import reading
from include.ui.form import SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_IN_STRIP = 60
_IN_TABLE = 15
_FIRES = 5
_UNDER_WAY = frozenset({"running", "retrying"})
_AS_TYPED = timedelta(minutes=1)
_SOON = timedelta(minutes=5)


@router.get("/jobs/{job_id}")
async def job_page(
    job_id: int,
    request: Request,
    api: PageApi,
    status: str = "",
    cursor: str = "",
    why: str | None = None,
) -> Response:
    """A job as it is, what became of it and, asked for an occurrence or in trouble, why it did not run."""
    return await _page(request, api, job_id, status=status, cursor=cursor, why=why)


@router.post("/jobs/{job_id}/pause-until")
async def pause_job_until(job_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Take a job off duty until an instant on the clock of its zone."""
    job = await api.get(f"/jobs/{job_id}")
    try:
        until = _instant(form.text("until"), "until", job)
        await api.post(f"/jobs/{job_id}/pause", {"until": until.isoformat()})
    except (ConfigError, ProblemError) as error:
        if isinstance(error, ProblemError) and error.status != 422:
            raise
        return await _page(request, api, job_id, 422, until=form.get("until", ""), until_wrong=_said(error))
    return done(request, f"{job['name']} is paused until {spell_wall(until)} UTC.", f"/jobs/{job_id}")


@router.get("/jobs/{job_id}/executions/{due}")
async def execution_page(job_id: int, due: str, request: Request, api: PageApi) -> Response:
    """What became of one occurrence; where nothing has, why."""
    job = await api.get(f"/jobs/{job_id}")
    try:
        execution = await api.get(f"/jobs/{job_id}/executions/{due}")
    except ProblemError as problem:
        if problem.status != 404:
            raise
        why = await api.get(f"/jobs/{job_id}/why", due=due)
        is_fresh = abs(attempts.moment(why["scheduled_for"]) - utcnow()) < _SOON
        return draw(request, "execution_none.html", 404, job=job, why=why, is_fresh=is_fresh)
    tries = attempts.shown(execution["attempts"])
    return draw(
        request,
        "execution.html",
        job=job,
        execution=execution,
        attempts=tries,
        bars=attempts.line_of_time(execution["scheduled_for"], execution["finished_at"], tries, utcnow()),
        is_live=execution["status"] in _UNDER_WAY or _is_waiting(execution),
        here=f"/jobs/{job_id}/executions/{due}",
        why=(await api.get(f"/jobs/{job_id}/why", due=due))["lines"],
    )


@router.post("/jobs/{job_id}/executions/{due}/redrive")
async def redrive_execution(job_id: int, due: str, request: Request, api: PageApi, form: SentForm) -> Response:
    """Have a failed execution sent again."""
    return await _decided(request, api, job_id, due, "redrive", "It is sent again within seconds.")


@router.post("/jobs/{job_id}/executions/{due}/discard")
async def discard_execution(job_id: int, due: str, request: Request, api: PageApi, form: SentForm) -> Response:
    """Give up on a failed execution for good."""
    return await _decided(request, api, job_id, due, "discard", "It is discarded: kept, and resolved.")


async def _page(request: Request, api: Api, job_id: int, code: int = 200, **asked: Any) -> Response:
    job = await api.get(f"/jobs/{job_id}")
    path = f"/jobs/{job_id}/executions"
    strip = await api.get(path, limit=_IN_STRIP)
    newest = strip["items"]
    chosen = {"status": asked.get("status", "")}
    failures = _failures(newest)
    is_in_trouble = job["state"] != "active" or bool(failures)
    why = asked.get("why")
    return draw(
        request,
        "job.html",
        code,
        job=job,
        newest=newest[::-1],
        page=await api.get(path, **chosen, cursor=asked.get("cursor"), limit=_IN_TABLE),
        chosen=chosen,
        statuses=get_args(Status),
        failures=failures,
        are_more=strip["next"] is not None and len(failures) == len(newest),
        reading=reading(job["cron"]) if job["cron"] else None,
        fires=_fires(job, (await api.get(f"/jobs/{job_id}/next", n=_FIRES))["next"]),
        is_live=code == 200 and (job["state"] == "active" or any(one["status"] in _UNDER_WAY for one in newest)),
        why=await _why(api, job, why) if is_in_trouble or why is not None else None,
        asked_why=why or "",
        until=asked.get("until", ""),
        until_wrong=asked.get("until_wrong"),
        key=secrets.token_urlsafe(12),
    )


async def _why(api: Api, job: dict[str, Any], asked: str | None) -> dict[str, Any]:
    """What the API says of the last occurrence, or of the one at a time that somebody has typed; or what is wrong."""
    path = f"/jobs/{job['id']}"
    if not asked:
        return {"lines": (await api.get(f"{path}/why"))["lines"], "wrong": None}
    try:
        at = _instant(asked, "at", job)
        if at > utcnow():
            raise ConfigError("at: it has not come yet; choose a time that has passed")
        # People type minutes, and mean what was due in them.
        within = {"since": at.isoformat(), "until": (at + _AS_TYPED).isoformat()}
        found = (await api.get(f"{path}/executions", **within, sort="scheduled_for", limit=1))["items"]
        due = found[0]["scheduled_for"] if found else at.isoformat()
        return {"lines": (await api.get(f"{path}/why", due=due))["lines"], "wrong": None}
    except (ConfigError, OverflowError, ProblemError) as error:
        return {"lines": [], "wrong": _said(error)}


def _instant(text: str | None, field: str, job: dict[str, Any]) -> datetime:
    """An instant on the clock of the job's zone; `ConfigError` if it is none."""
    if text is None:
        raise ConfigError(f"{field}: choose a day and a time")
    return parse_instant(text, field, zone=job["timezone"], now=utcnow())


def _said(error: Exception) -> str:
    """What is wrong, without the name of the field that it stands beside."""
    said = error.errors[0][1] if isinstance(error, ProblemError) and error.errors else str(error)
    return said.removeprefix("until: ").removeprefix("at: ")


def _failures(newest: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The executions that have failed since the last success, the newest first."""
    ended = (execution for execution in newest if execution["status"] in ("success", "failed"))
    return list(takewhile(lambda execution: execution["status"] == "failed", ended))


def _fires(job: dict[str, Any], instants: Sequence[str]) -> list[dict[str, str | None]]:
    """Instants, each with what the clock of the job's zone shows then, unless that is UTC, or no zone at all."""
    try:
        zone = None if job["timezone"] == "UTC" else zone_named(job["timezone"])
    except ConfigError:
        zone = None
    walls = [None if zone is None else spell_wall(attempts.moment(instant).astimezone(zone)) for instant in instants]
    return [{"at": instant, "wall": wall} for instant, wall in zip(instants, walls, strict=True)]


async def _decided(request: Request, api: Api, job_id: int, due: str, what: str, said: str) -> Response:
    path = f"/jobs/{job_id}/executions/{due}"
    await api.post(f"{path}/{what}")
    return done(request, said, path)


def _is_waiting(execution: dict[str, Any]) -> bool:
    return execution["redrive_at"] is not None and execution["discarded_at"] is None

"""What a schedule means, while people fill it in: in words, and the next times on the row's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.ui import schedule_form, schema_form, wall_time
from include.ui.api import ProblemError
from include.ui.cron_words import reading
from include.ui.form import SentForm
from include.ui.page import PageApi, draw, page_router

router = page_router()

_UNREADABLE = 422


@router.post("/schedule/next")
async def next_of_schedule(request: Request, api: PageApi, form: SentForm) -> Response:
    """A part of a page: what the schedule in the form says in words, and its next five times; or what is wrong."""
    walls = schedule_form.walls(form)
    try:
        settings = schedule_form.sent(form)
        found = await api.post("/jobs/schedule", settings)
    except ProblemError as problem:
        if problem.status != _UNREADABLE:
            raise
        errors = schema_form.by_place(problem.errors)
        return draw(request, "schedule_next.html", problems=errors.items(), labels=schedule_form.LABELS, walls=walls)
    return draw(
        request,
        "schedule_next.html",
        problems=(),
        labels=schedule_form.LABELS,
        walls=walls,
        words=_words(settings, found["schedule"]),
        fires=[_fire(instant, settings["timezone"]) for instant in found["next"]],
        is_spread=settings["every"] is not None and settings["starts_at"] is None,
        is_by_hand=all(settings[name] is None for name in ("cron", "every", "run_at")),
    )


def _words(settings: dict[str, Any], schedule: str) -> str:
    said = reading(settings["cron"]) if settings["cron"] else None
    return f"{said}, on the clock of {settings['timezone']}" if said else schedule[:1].upper() + schedule[1:]


def _fire(instant: str, zone: str) -> dict[str, str]:
    local = datetime.fromisoformat(instant.replace("Z", "+00:00")).astimezone(wall_time.zone_or_utc(zone))
    return {"instant": instant, "wall": f"{local:%a %Y-%m-%d %H:%M:%S}", "offset": wall_time.offset(local)}

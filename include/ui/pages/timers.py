"""Timers: those to come, with a countdown, and what became of the others."""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.documents.caller import Caller
from include.ui import attempts, schedule_form, schema_form, timer_form
from include.ui.api import Api, ProblemError
from include.ui.form import Form, SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_STATUSES = ("pending", "firing", "fired", "failed", "cancelled", "all")
_TO_COME = ("pending", "firing")
_LEAVE = frozenset({401, 404})  # what nobody can mend in the form


@router.get("/timers")
async def timers_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    status: str = "pending",
    external_id: str = "",
    owner: str = "",
    cursor: str = "",
) -> Response:
    """Timers of a status: those that are pending by when they are due, with a countdown; others the newest first."""
    wanted = {"status": "" if status == "all" else status, "external_id": external_id, "owner": owner}
    sort = "due_at" if status in _TO_COME else "-due_at"
    page = await api.get("/timers", **wanted, sort=sort, cursor=cursor, limit=_SIZE)
    chosen = {**wanted, "status": status}
    return draw(request, "timers.html", page=page, chosen=chosen, statuses=_STATUSES, to_come=status in _TO_COME)


@router.get("/timers/new")
async def new_timer_page(request: Request, api: PageApi, caller: CallerDep, like: int | None = None) -> Response:
    """A form for a timer; it is filled in `like` another one."""
    caller.check_writes()
    before = None if like is None else await api.get(f"/timers/{like}")
    return await _form_page(request, api, caller, like=before)


@router.post("/timers/new")
async def create_timer(request: Request, api: PageApi, caller: CallerDep, form: SentForm) -> Response:
    """Add the timer; or show the form again, with what is wrong."""
    caller.check_writes()
    settings: dict[str, Any] = {}
    try:
        settings = timer_form.sent(form, is_admin=caller.is_admin)
        timer = await api.post("/timers", settings, key=form.text("key"))
    except ProblemError as problem:
        wrong = timer_form.all_wrong(problem, settings)
        return await _form_page(request, api, caller, form=form, problem=wrong)
    return done(request, f"Timer {timer['id']} is set.", f"/timers/{timer['id']}")


@router.get("/timers/{timer_id}")
async def timer_page(timer_id: int, request: Request, api: PageApi, caller: CallerDep) -> Response:
    """One timer: when it is sent, what, and what became of each attempt."""
    timer = await api.get(f"/timers/{timer_id}")
    letter = await api.get(_letter(timer_id)) if timer["status"] == "failed" else None
    return draw(
        request,
        "timer.html",
        timer=timer,
        attempts=attempts.shown(timer["attempts"]),
        is_live=timer["status"] in _TO_COME,
        is_discarded=letter is not None and letter["status"] == "discarded",
    )


@router.post("/timers/{timer_id}/cancel")
async def cancel_timer(timer_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Cancel a timer; it stays in the list."""
    await api.post(f"/timers/{timer_id}/cancel")
    return done(request, f"Timer {timer_id} is cancelled.")


@router.post("/timers/{timer_id}/redrive")
async def redrive_timer(timer_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Have a timer that has failed sent again."""
    await api.post(f"{_letter(timer_id)}/redrive")
    return done(request, f"Timer {timer_id} is sent again.")


@router.post("/timers/{timer_id}/discard")
async def discard_timer(timer_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Give up on a timer that has failed."""
    await api.post(f"{_letter(timer_id)}/discard")
    return done(request, f"Timer {timer_id} is given up.")


def _letter(timer_id: int) -> str:
    """Where the API has a timer that has failed."""
    return f"/dead-letters/timer/timer_{timer_id}"


async def _form_page(
    request: Request,
    api: Api,
    caller: Caller,
    *,
    like: dict[str, Any] | None = None,
    form: Form | None = None,
    problem: ProblemError | None = None,
) -> Response:
    if problem is not None and problem.status in _LEAVE:
        raise problem
    errors = {} if problem is None else schema_form.by_place(problem.errors)
    filled = timer_form.shown(like, form, errors, is_admin=caller.is_admin)
    names = [*timer_form.PARTS, "due_at", "timezone", *(field.name for field in filled["fields"])]
    return draw(
        request,
        "timer_form.html",
        200 if problem is None else problem.status,
        form=filled,
        zones=schedule_form.zones(),
        key=(form and form.text("key")) or secrets.token_urlsafe(16),
        problems=[(None, problem.detail)]
        if problem and not errors
        else schema_form.listed(errors, names, timer_form.LABELS),
        connections=[one["conn_id"] for one in (await api.get("/me"))["connections"]],
    )

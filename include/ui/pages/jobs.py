"""The jobs, a page at a time, and what can be done to many of them at once."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.api.login import CallerDep
from include.errors import RefusedError
from include.ui.form import SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_SIZE = 50
_LONGEST = 20  # digits of an id
_STATES = ("active", "paused", "failing", "error")
_SORTS = ("name", "-created_at", "-updated_at", "kind", "owner")
_BULK = {"pause": "paused", "resume": "back on duty", "delete": "deleted"}


@router.get("/jobs")
async def jobs_page(
    request: Request,
    api: PageApi,
    caller: CallerDep,
    search: str = "",
    kind: str = "",
    owner: str = "",
    state: str = "",
    sort: str = "name",
    cursor: str = "",
) -> Response:
    """Jobs that can be searched, filtered and sorted; each with its last outcome and when it is due next."""
    chosen: dict[str, Any] = {"search": search, "kind": kind, "owner": owner, "state": state, "sort": sort}
    page = await api.get("/jobs", **chosen, cursor=cursor, limit=_SIZE)
    kinds = [found["kind"] for found in (await api.get("/kinds"))["actions"]]
    is_filtered = bool(search or kind or owner or state)
    return draw(
        request, "jobs.html", page=page, chosen=chosen, kinds=kinds, states=_STATES, sorts=_SORTS, filtered=is_filtered
    )


@router.post("/jobs/bulk")
async def change_jobs(request: Request, api: PageApi, form: SentForm) -> Response:
    """Pause, resume or delete those that are ticked: all of them, or none."""
    what = form.get("do", "")
    if what not in _BULK:
        raise RefusedError(422, f"choose what to do: {', '.join(_BULK)}")
    ids = [int(chosen) for chosen in form.of("id") if chosen.isascii() and chosen.isdigit() and len(chosen) < _LONGEST]
    if not ids:
        raise RefusedError(422, "Tick at least one job first.")
    await api.post(f"/jobs/bulk-{what}", {"ids": ids})
    return done(request, f"{len(ids)} job{'s are' if len(ids) > 1 else ' is'} {_BULK[what]}.")

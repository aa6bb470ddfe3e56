"""What can be done to jobs, connectors and workflows alike, by a button: pause, resume, run now, delete."""

from __future__ import annotations

from typing import Literal

from fastapi import Request
from fastapi.responses import Response

from include.ui.form import SentForm
from include.ui.page import PageApi, done, page_router

router = page_router()

Table = Literal["jobs", "connectors", "workflows"]
_STARTED = {
    "jobs": "A run of {} has been started; it begins within seconds.",
    "connectors": "A pull of {} has been started; it begins within seconds.",
    "workflows": "{} looks for new records now.",
}


@router.post("/{table}/{row_id}/pause")
async def pause(table: Table, row_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Take a row off duty."""
    row = await api.post(f"/{table}/{row_id}/pause")
    return done(request, f"{row['name']} is paused.")


@router.post("/{table}/{row_id}/resume")
async def resume(table: Table, row_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Put a row back on duty, where it was."""
    row = await api.post(f"/{table}/{row_id}/resume")
    return done(request, f"{row['name']} is back on duty.")


@router.post("/{table}/{row_id}/run")
async def run(table: Table, row_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Run a row once, now; with a `key`, once however often it is sent."""
    row = await api.get(f"/{table}/{row_id}")
    await api.post(f"/{table}/{row_id}/run", key=form.text("key"))
    return done(request, _STARTED[table].format(row["name"]))


@router.post("/{table}/{row_id}/delete")
async def delete(table: Table, row_id: int, request: Request, api: PageApi, form: SentForm) -> Response:
    """Delete a row, and go to the list that it was in."""
    row = await api.get(f"/{table}/{row_id}")
    await api.delete(f"/{table}/{row_id}")
    return done(request, f"{row['name']} is deleted.", f"/{table}")

"""What Airflow's page of a DAG shows in our tab: the row that the DAG is made of."""

from __future__ import annotations

import re
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.errors import RefusedError
from include.ui.api import Api, ProblemError
from include.ui.form import SentForm
from include.ui.page import PageApi, done, draw, page_router

router = page_router()

_ROW = re.compile(r"(job|connector|workflow)_([1-9][0-9]{0,17})", re.ASCII)
_NEWEST = 40
# DAGs of ours that are no row, and what they are for.
_OURS = {
    "millrace_timers": ("The DAG of all timers", "It sends the timers of everybody, each at its instant."),
    "millrace_trial": ("The DAG of trials", "It tries settings of jobs out on a worker before there is a job."),
    "millrace_upkeep": (
        "The DAG of upkeep",
        "It removes what is older than is kept, sees to what is stuck, and looks for what has gone quiet.",
    ),
}
_STRANGER = ("No row", "This DAG is made by a file of its own, and not by a row of Millrace’s.")
_GONE = "Its {} was deleted, or is somebody else’s."
_DONE = {"pause": "is paused", "resume": "is back on duty", "run": "has been started"}


@router.get("/dag/{dag_id}")
async def dag_page(dag_id: str, request: Request, api: PageApi) -> Response:
    """The row of a DAG in short; of a DAG that has none, what it is."""
    found = _ROW.fullmatch(dag_id)
    if found is None:
        heading, about = _OURS.get(dag_id, _STRANGER)
        return draw(request, "dag_none.html", dag_id=dag_id, heading=heading, about=about)
    table, row_id = found.groups()
    try:
        row = await api.get(f"/{table}s/{row_id}")
    except ProblemError as problem:
        if problem.status != 404:
            raise
        about = _GONE.format(table)
        return draw(request, "dag_none.html", 404, dag_id=dag_id, heading="No row", about=about)
    newest = await _newest(api, row_id) if table == "job" else []
    return draw(request, "dag.html", table=table, row=row, here=f"/dag/{dag_id}", newest=newest)


@router.post("/dag/{dag_id}/{what}")
async def act_on_row(dag_id: str, what: str, request: Request, api: PageApi, form: SentForm) -> Response:
    """Pause, resume or run the row of a DAG."""
    found = _ROW.fullmatch(dag_id)
    if found is None or what not in _DONE:
        raise RefusedError(404, "There is no such row, or nothing like that to do.")
    table, row_id = found.groups()
    await api.post(f"/{table}s/{row_id}/{what}", key=form.text("key"))
    return done(request, f"The {table} {_DONE[what]}.", f"/dag/{dag_id}")


async def _newest(api: Api, job_id: str) -> list[dict[str, Any]]:
    page = await api.get(f"/jobs/{job_id}/executions", limit=_NEWEST)
    newest: list[dict[str, Any]] = page["items"]
    return newest[::-1]

"""The app that Airflow's API server mounts at /millrace: the API, and the dashboard on top of it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from include.api import app as api
from include.ui import static
from include.ui.pages import (
    audit,
    connector_form,
    connectors,
    dag,
    executions,
    job,
    job_form,
    jobs,
    missing,
    overview,
    records,
    row_actions,
    schedule,
    timers,
    workflow_form,
    workflows,
)

# Forms before rows: `/jobs/new` is no id.
PAGES = (
    overview,
    jobs,
    schedule,
    job_form,
    job,
    executions,
    connector_form,
    connectors,
    records,
    workflow_form,
    workflows,
    timers,
    audit,
    dag,
    row_actions,
    missing,
)


def create_app(*args: Any, **options: Any) -> FastAPI:
    """Make the app; what may be chosen is what `include.api.app.create_app` takes."""
    app = api.create_app(*args, **options)
    app.mount("/ui/static", static.files())
    for page in PAGES:
        app.include_router(page.router, prefix="/ui", include_in_schema=False)
    return app


app = create_app()

"""The app that Airflow's API server mounts at /millrace.

Airflow does not authenticate what a plugin mounts: each router says for itself who may call it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from include.api import health, hooks, metrics, openapi
from include.api.compat import forms as compat_forms
from include.api.compat import jobs as compat_jobs
from include.api.compat import timers as compat_timers
from include.api.hooks import FindConnection, Intake
from include.api.login import AirflowLogin, Login
from include.api.problem import answer_problems
from include.api.routes import (
    audit,
    config,
    connectors,
    dead_letters,
    executions,
    job_runs,
    jobs,
    kinds,
    owners,
    records,
    schedules,
    stats,
    timers,
    trials,
    warnings,
    workflows,
)
from include.api.threads import Threads
from include.api.transactions import Transactions
from include.orchestration import connections
from include.settings import Settings, settings
from include.store.log import RecordLog

_MOST_SECONDS = 30.0
_SWITCH_SECONDS = 0.0005
ROUTES = (
    openapi,
    trials,
    schedules,
    jobs,
    job_runs,
    executions,
    connectors,
    records,
    workflows,
    dead_letters,
    timers,
    kinds,
    audit,
    stats,
    warnings,
    owners,
    config,
)
COMPAT = (compat_timers, compat_jobs, compat_forms)
OPERATIONS = (health, metrics)


def create_app(
    chosen: Settings | None = None,
    *,
    find: FindConnection = connections.find,
    login: Login | None = None,
    most_seconds: float = _MOST_SECONDS,
) -> FastAPI:
    """Make the app, with the settings of its process unless others are chosen.

    `find` knows the connections that hold the secrets, `login` who calls (Airflow's, by itself); `most_seconds` is how
    long a pushed body may take to arrive. Settings are read when the app starts, so that it can be made, to be looked
    at, where there are none.
    """

    def lifespan(app: FastAPI) -> AbstractAsyncContextManager[None]:
        limits = chosen or settings()
        return _serving(app, limits, find, login or AirflowLogin(limits), most_seconds)

    app = FastAPI(
        title="Millrace",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        servers=[{"url": "/millrace"}],
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # what clients that are made from it call it
        lifespan=lifespan,
    )
    app.include_router(hooks.router)
    for routes in ROUTES:
        app.include_router(routes.router, prefix="/api/v1")
    for routes in COMPAT:
        app.include_router(routes.router, prefix="/compat")
    for routes in OPERATIONS:
        app.include_router(routes.router)
    answer_problems(app)
    return app


@asynccontextmanager
async def _serving(
    app: FastAPI, limits: Settings, find: FindConnection, login: Login, most_seconds: float
) -> AsyncIterator[None]:
    """What routes find in `app.state`, for as long as the app serves."""
    log = RecordLog(limits.database_url, via="api")
    app.state.intake = Intake(log, find, limits.hook_kib * 1024, most_seconds)
    app.state.settings = limits
    app.state.find_connection = find
    app.state.login = login
    app.state.threads = Threads()
    app.state.transactions = Transactions(limits.database_url)
    app.state.transactions.open()
    app.state.new_timers = timers.new_timers(app.state.transactions)
    app.state.asked_timers = timers.asked_timers(app.state.transactions)
    # A thread that comes back from the database waits for so long until it may go on beside a busy event loop, five
    # times per transaction. Python's own 5 ms made that most of what a small request takes.
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        await app.state.new_timers.close()
        await app.state.asked_timers.close()
        await asyncio.to_thread(app.state.transactions.close)
        await log.close()


app = create_app()

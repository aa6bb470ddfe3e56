"""The app that Airflow's API server mounts at /millrace.

Airflow does not authenticate what a plugin mounts: each router says for itself who may call it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from include.api.hooks import FindConnection, Intake, router
from include.api.problem import answer_problems
from include.orchestration import connections
from include.settings import Settings, settings
from include.store.log import RecordLog

_MOST_SECONDS = 30.0


def create_app(
    chosen: Settings | None = None, *, find: FindConnection = connections.find, most_seconds: float = _MOST_SECONDS
) -> FastAPI:
    """Make the app, with the settings of its process unless others are chosen.

    `find` knows the connections that hold the secrets; `most_seconds` is how long a body may take to arrive. Settings
    are read when the app starts, so that it can be made, to be looked at, where there are none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = chosen or settings()
        log = RecordLog(limits.database_url, via="api")
        app.state.intake = Intake(log, find, limits.hook_kib * 1024, most_seconds)
        try:
            yield
        finally:
            await log.close()

    app = FastAPI(title="Millrace", openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.include_router(router)
    answer_problems(app)
    return app


app = create_app()

"""The API as a program finds it: over HTTP, below /millrace, with tokens and a login of Airflow's shape."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from include.api.app import create_app
from include.documents.caller import Caller
from include.errors import RefusedError
from include.settings import Settings
from tests.api_client import CALLERS


async def login_by_token(request: Request) -> Caller:
    """A token is the caller's name."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in CALLERS:
        raise RefusedError(401, "log in first: the token is none")
    return CALLERS[name]


@contextmanager
def airflow_with_api(database_url: str) -> Iterator[str]:
    """The URL of a server that has /auth/token, and our API at /millrace."""
    api = create_app(Settings(database_url=database_url), login=login_by_token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with api.router.lifespan_context(api):
            yield

    airflow = FastAPI(lifespan=lifespan)
    airflow.mount("/millrace", api)

    @airflow.post("/auth/token", status_code=201)
    def token(body: dict[str, Any]) -> dict[str, str]:
        return {"access_token": body["username"] if body["password"] == "secret" else "none"}

    server = uvicorn.Server(uvicorn.Config(airflow, port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

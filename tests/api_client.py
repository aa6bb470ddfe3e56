"""The API in this process, with callers as a test wants them instead of Airflow's login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.datastructures import State

from include.api.app import create_app
from include.documents.caller import Caller
from include.errors import RefusedError
from include.settings import Settings

BASE = "/api/v1"
ADMIN = Caller("admin", may_write=True, is_admin=True)
ALICE = Caller("alice", may_write=True, is_admin=False, admin_kinds=frozenset({"shell"}))
BOB = Caller("bob", may_write=True, is_admin=False, admin_kinds=frozenset({"shell"}))
VIEWER = Caller("viewer", may_write=False, is_admin=False)
CALLERS = {caller.name: caller for caller in (ADMIN, ALICE, BOB, VIEWER)}


async def stated_login(request: Request) -> Caller:
    """Whoever a test says it is, by the header `X-Caller`."""
    name = request.headers.get("x-caller")
    if name is None:
        raise RefusedError(401, "log in first")
    return CALLERS[name]


class Api:
    """Requests as one caller: `api.post("/jobs", {...})`."""

    def __init__(self, client: TestClient, caller: Caller | None) -> None:
        self._client = client
        self._headers = {} if caller is None else {"X-Caller": caller.name}

    def as_(self, caller: Caller | None) -> Api:
        return Api(self._client, caller)

    def get(self, path: str, **query: Any) -> Response:
        return self.send("GET", path, query=query)

    def post(self, path: str, body: Any = None, **headers: str) -> Response:
        return self.send("POST", path, body, headers)

    def put(self, path: str, body: Any, **headers: str) -> Response:
        return self.send("PUT", path, body, headers)

    def patch(self, path: str, body: Any, **headers: str) -> Response:
        return self.send("PATCH", path, body, headers)

    def delete(self, path: str, **headers: str) -> Response:
        return self.send("DELETE", path, None, headers)

    def raw(self, path: str, content: bytes, media_type: str) -> Response:
        """A POST of these bytes."""
        headers = {**self._headers, "Content-Type": media_type}
        return self._client.post(BASE + path, content=content, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
    ) -> Response:
        """`headers` are written as Python names: `Idempotency_Key`. Paths are below /api/v1, or whole with `//`."""
        spelt = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        whole = path[1:] if path.startswith("//") else BASE + path
        content = {} if body is None else {"json": body}
        return self._client.request(method, whole, params=query, headers={**self._headers, **spelt}, **content)


@lru_cache(maxsize=4)
def _app(chosen: Settings) -> FastAPI:
    """It takes a tenth of a second to make, and is started and ended for each test."""
    return create_app(chosen, login=stated_login)


@contextmanager
def api_of(database_url: str, **settings: Any) -> Iterator[Api]:
    """The API on a database; an admin is calling."""
    app = _app(Settings(database_url=database_url, **settings))
    app.state = State()  # as that of a new one: what an earlier test has found out is not remembered
    with TestClient(app, base_url="http://millrace.test") as client:
        yield Api(client, ADMIN)


def problem(response: Response, status: int) -> str:
    """The detail of an answer, which must be problem details with this status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    return str(body["detail"])


def ok(response: Response, status: int = 200) -> Any:
    """The document of an answer with this status."""
    assert response.status_code == status, response.text
    return response.json() if response.content else None

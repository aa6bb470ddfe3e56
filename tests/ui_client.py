"""The dashboard in this process, with callers as a test wants them instead of Airflow's login."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.testclient import TestClient
from httpx2 import Response

from include.documents.caller import Caller
from include.settings import Settings
from include.ui.app import create_app
from tests.api_client import ADMIN, Api, stated_login


class Pages:
    """Pages as one caller sees them: `pages.get("/jobs")`, `pages.send("/jobs/1/pause")`; redirects are followed."""

    def __init__(self, client: TestClient, caller: Caller | None) -> None:
        self._client = client
        self._caller = caller

    @property
    def api(self) -> Api:
        """The API beside it, as the same caller."""
        return Api(self._client, self._caller)

    def as_(self, caller: Caller | None) -> Pages:
        return Pages(self._client, caller)

    def get(self, path: str, *, follow: bool = True, **query: Any) -> Response:
        return self._client.get(f"/ui{path}", params=query or None, headers=self._headers(), follow_redirects=follow)

    def send(self, path: str, form: dict[str, Any] | None = None, *, follow: bool = True, **headers: str) -> Response:
        """A form, as a browser sends it from a page of ours; `headers` are written as Python names."""
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"Content-Type": "application/x-www-form-urlencoded", **self._headers(), **spelt}
        return self._client.post(f"/ui{path}", data=form or {}, headers=given, follow_redirects=follow)

    def _headers(self) -> dict[str, str]:
        return {} if self._caller is None else {"X-Caller": self._caller.name}


@contextmanager
def pages_of(database_url: str, **settings: Any) -> Iterator[Pages]:
    """The dashboard on a database; an admin is looking."""
    app = create_app(Settings(database_url=database_url, **settings), login=stated_login)
    with TestClient(app, base_url="http://millrace.test") as client:
        yield Pages(client, ADMIN)

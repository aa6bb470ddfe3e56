"""Configurations of a system elsewhere, over its API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.cli.airflow_api import AirflowApi
from include.cli.millrace_api import MillraceApi
from include.errors import ConfigError

if TYPE_CHECKING:
    import requests


class ApiTarget:
    """The API; whoever logs in is the owner of documents that name none, unless `owner` does."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self.owner = ""
        self._api = MillraceApi(session, url)

    def export(self, only: Sequence[str]) -> list[dict[str, Any]]:
        documents: list[dict[str, Any]] = self._api.ask("GET", "", params={"owner": list(only)})["documents"]
        if not self.owner:
            return documents
        return [_without(document, self.owner) for document in documents]

    def plan(self, documents: list[dict[str, Any]], *, prune: bool) -> dict[str, Any]:
        return self._api.ask("POST", "/plan", {"documents": self._owned(documents), "prune": prune})

    def apply(self, documents: list[dict[str, Any]], *, prune: bool, replace: bool, fingerprint: str) -> dict[str, Any]:
        body = {"documents": self._owned(documents), "prune": prune, "replace": replace, "fingerprint": fingerprint}
        return self._api.ask("POST", "/apply", body)

    def _owned(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"owner": self.owner, **document} for document in documents] if self.owner else documents


@contextmanager
def open_api(url: str, airflow: str, token: str | None) -> Iterator[ApiTarget]:
    """The API at `url`, logged in by a token, or by name and password at `airflow`."""
    import requests

    with requests.Session() as session:
        if token is not None:
            session.auth = _Bearer(token)
        else:
            user, password = os.environ.get("MILLRACE_USER"), os.environ.get("MILLRACE_PASSWORD")
            if not user or not password:
                raise ConfigError("the API wants a login; set MILLRACE_TOKEN, or MILLRACE_USER and MILLRACE_PASSWORD")
            AirflowApi(session, airflow).log_in(user, password)
        yield ApiTarget(session, url)


class _Bearer:
    """The token as `requests` wants it: not as a header, which a .netrc would replace."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _without(document: dict[str, Any], owner: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "owner" or value != owner}

"""Configurations of a system elsewhere, over its API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.cli.airflow_api import AirflowApi
from include.documents.invalid import InvalidDocumentError
from include.errors import ConfigError, RefusedError, RetryableError

if TYPE_CHECKING:
    import requests

_TIMEOUT = (5, 300)  # seconds to connect, and to answer: a whole configuration takes its time
_MOST_SHOWN = 200


class ApiTarget:
    """The API; whoever logs in is the owner of documents that name none, unless `owner` does."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self.owner = ""
        self._session = session
        self._url = url

    def export(self, only: Sequence[str]) -> list[dict[str, Any]]:
        documents: list[dict[str, Any]] = self._ask("GET", "", params={"owner": list(only)})["documents"]
        if not self.owner:
            return documents
        return [_without(document, self.owner) for document in documents]

    def plan(self, documents: list[dict[str, Any]], *, prune: bool) -> dict[str, Any]:
        return self._ask("POST", "/plan", {"documents": self._owned(documents), "prune": prune})

    def apply(self, documents: list[dict[str, Any]], *, prune: bool, replace: bool, fingerprint: str) -> dict[str, Any]:
        body = {"documents": self._owned(documents), "prune": prune, "replace": replace, "fingerprint": fingerprint}
        return self._ask("POST", "/apply", body)

    def _owned(self, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"owner": self.owner, **document} for document in documents] if self.owner else documents

    def _ask(self, method: str, path: str, body: object = None, params: Any = None) -> dict[str, Any]:
        import requests

        try:
            response = self._session.request(method, self._url + path, json=body, params=params, timeout=_TIMEOUT)
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise RetryableError(f"{self._url}{path} answered {response.status_code}, without JSON") from error
        except requests.RequestException as error:
            raise RetryableError(f"{self._url} cannot be reached: {error}") from error
        if not isinstance(answer, dict):
            raise ConfigError(f"{self._url} is not Millrace's address: its answer is no object")
        if response.ok:
            return answer
        raise _refusal(self._url, response.status_code, answer)


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


def _refusal(url: str, status: int, answer: dict[str, Any]) -> Exception:
    said = str(answer.get("detail", answer))
    if isinstance(answer.get("errors"), list):
        return InvalidDocumentError([(str(error["place"]), str(error["detail"])) for error in answer["errors"]])
    if status >= 500:
        return RetryableError(f"{url} answered {status}: {said}")
    if status == 404:
        return ConfigError(f"{url} is not Millrace's address: {said[:_MOST_SHOWN]}")
    return RefusedError(status, said)


def _without(document: dict[str, Any], owner: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "owner" or value != owner}

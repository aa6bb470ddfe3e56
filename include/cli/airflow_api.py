"""Airflow's REST API, as far as the commands need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from include.cli.unreachable import unreachable
from include.errors import ConfigError, RetryableError

if TYPE_CHECKING:
    import requests

_TIMEOUT = (5, 30)  # seconds to connect, and to answer
_NOT_FOUND = 404
_REFUSED_LOGIN = (401, 403)


class Login(NamedTuple):
    url: str
    user: str
    password: str
    is_local: bool


def login() -> Login:
    """`MILLRACE_URL`, `_USER` and `_PASSWORD`, or else those of the system that `./millrace up` runs."""
    from include.local.home import Home
    from include.local.system import running

    given = {name: os.environ.get(f"MILLRACE_{name.upper()}") for name in ("url", "user", "password")}
    run = None if all(given.values()) else running(Home.from_environment())
    url = given["url"] or (run.url if run else "")
    user = given["user"] or (run.user if run else "admin")
    password = given["password"] or (run.password if run else "")
    if not url or not password:
        raise ConfigError(
            "the system is not up; start it with `./millrace up`, or set MILLRACE_URL, MILLRACE_USER and "
            "MILLRACE_PASSWORD"
        )
    return Login(url.rstrip("/"), user, password, is_local=given["url"] is None)


class Run(NamedTuple):
    """A run: `queued`, `running`, `success` or `failed`, and the first instant that it is on duty for."""

    state: str
    due: datetime


class AirflowApi:
    """A session that is logged in. Errors are `RetryableError` if trying again may help, else `ConfigError`."""

    def __init__(self, session: requests.Session, url: str) -> None:
        self._session = session
        self._url = url

    def trigger(self, dag_id: str, logical_date: datetime, conf: dict[str, Any]) -> str | None:
        """Start a run by hand and return its id; None if Airflow has no such DAG (yet)."""
        body = {"logical_date": logical_date.isoformat(), "conf": conf}
        response = self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
        return None if response is None else str(response["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """`queued`, `running`, `success` or `failed`; None if the run is gone."""
        response = self._dag_run(dag_id, run_id)
        return None if response is None else str(response["state"])

    def run(self, dag_id: str, run_id: str) -> Run | None:
        """A run as it stands; None if it is gone."""
        response = self._dag_run(dag_id, run_id)
        if response is None:
            return None
        due = response.get("data_interval_end") or response.get("logical_date") or response["run_after"]
        return Run(str(response["state"]), datetime.fromisoformat(str(due).replace("Z", "+00:00")))

    def clear(self, dag_id: str, run_id: str) -> bool:
        """Have a run that has failed begin again, with another try; False if it is gone, or has not failed."""
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": True, "reset_dag_runs": True}
        response = self._ask("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)
        return response is not None and bool(response.get("total_entries"))

    def log_in(self, user: str, password: str) -> None:
        answer = self._ask("POST", "/auth/token", {"username": user, "password": password})
        if answer is None or "access_token" not in answer:
            raise ConfigError(f"{self._url} is not Airflow's address: it has no /auth/token")
        token = answer["access_token"]

        def bear(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        self._session.auth = bear  # and not a header, which a .netrc would replace

    def _dag_run(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        return self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any] | None:
        import requests

        try:
            response = self._session.request(method, self._url + path, json=body, timeout=_TIMEOUT)
            if response.status_code == _NOT_FOUND:
                return None
            answer = response.json()
        except requests.JSONDecodeError as error:
            raise RetryableError(f"{self._url}{path} answered {response.status_code}, without JSON") from error
        except requests.RequestException as error:
            raise RetryableError(f"Airflow at {unreachable(self._url, error)}") from error
        if response.status_code in _REFUSED_LOGIN:
            raise ConfigError(f"Airflow at {self._url} refuses the login; check MILLRACE_USER and MILLRACE_PASSWORD")
        if not response.ok or not isinstance(answer, dict):
            said = answer.get("detail", answer) if isinstance(answer, dict) else answer
            kind = RetryableError if response.status_code >= 500 else ConfigError
            raise kind(f"Airflow at {self._url} answered {response.status_code}: {said}")
        return answer


@contextmanager
def airflow_api() -> Iterator[AirflowApi]:
    """The API of the system in use, logged in."""
    import requests

    who = login()
    with requests.Session() as session:
        session.trust_env = not who.is_local  # a proxy has no part in what stays on this machine
        api = AirflowApi(session, who.url)
        api.log_in(who.user, who.password)
        yield api

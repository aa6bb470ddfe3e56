"""`./millrace jobs try`, with a server on the loopback in Airflow's place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from include.cli import jobs_try
from include.cli.jobs import app
from include.store.db import DictConnection
from tests.job_commands import URL, Refused, Run, document, environment, refused, run
from tests.json_server import in_place_of_airflow

__all__ = ["environment", "refused", "run"]

ENDED = {
    "id": None,
    "kind": "ping",
    "status": "success",
    "started_at": "2026-11-21T09:00:00Z",
    "finished_at": "2026-11-21T09:00:00.120000Z",
    "duration": 0.12,
    "attempts": [{"attempt": 1, "code": 200}],
    "code": 200,
    "output": {"line": "200 OK"},
    "error": None,
}


class Server:
    """Logs anybody in, and answers trials with what comes next of `answers`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: list[tuple[int, Any]] = [(200, ENDED)]

    def __call__(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "the token"}
        assert headers["authorization"] == "Bearer the token"
        self.asked.append((method, path, body))
        return self.answers.pop(0)


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setattr(jobs_try, "_POLL_SECONDS", 0.01)
    with in_place_of_airflow(server, monkeypatch):
        yield server


def test_the_row_is_tried_as_it_stands(run: Run, airflow: Server, db: DictConnection) -> None:
    """What the row does is sent to be tried, also while it is paused; neither the row nor the ledger changes."""
    run("add", "a", "ping", "--set", URL, "--timeout", "5s")
    run("pause", "a")
    before = db.execute("select * from job").fetchall()
    shown = run("try", "a").stdout
    settings = {"owner": "admin", "kind": "ping", "payload": {"url": "http://127.0.0.1:9/"}, "timeout": 5.0}
    assert airflow.asked == [("POST", "/millrace/api/v1/jobs/trial", settings)]
    assert "success" in shown
    assert "120 ms" in shown
    assert "line: 200 OK" in shown
    assert db.execute("select * from job").fetchall() == before
    assert db.execute("select from execution").fetchall() == []


def test_what_came_out_is_shown_as_json(run: Run, airflow: Server) -> None:
    """As everywhere else, and so that it can be pasted into a payload; a text is shown as it is."""
    run("add", "a", "ping", "--set", URL)
    airflow.answers = [(200, ENDED | {"output": {"result": {"greeting": "Grüß Gott", "done": True}, "line": "it's"}})]
    shown = run("try", "a").stdout.splitlines()
    assert 'result: {"greeting": "Grüß Gott", "done": true}' in shown
    assert "line: it's" in shown


def test_what_runs_on_a_worker_is_waited_for(run: Run, airflow: Server) -> None:
    """It asks until the trial has ended; scripts get that as one document."""
    run("add", "a", "ping", "--set", URL)
    waiting = ENDED | {"id": 7, "status": "running", "duration": None, "code": None, "output": None, "attempts": []}
    airflow.answers = [(202, waiting), (200, waiting), (200, ENDED | {"id": 7})]
    found = document(run("try", "a", "--json"))
    assert [(method, path) for method, path, _ in airflow.asked[1:]] == [("GET", "/millrace/api/v1/jobs/trials/7")] * 2
    assert found == {"job_id": 1, **ENDED, "id": 7}


def test_the_exit_code_says_how_it_went(run: Run, airflow: Server) -> None:
    """1 for a failure, with what went wrong."""
    run("add", "a", "ping", "--set", URL)
    airflow.answers = [(200, ENDED | {"status": "failed", "code": 500, "error": "500 Server Error"})] * 2
    result = CliRunner().invoke(app, ["try", "a"])
    assert (result.exit_code, "500 Server Error" in result.stdout) == (1, True)
    result = CliRunner().invoke(app, ["try", "a", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["status"]) == (1, "failed")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((422, {"detail": "x", "errors": [{"place": "body.payload.url", "detail": "Field required"}]}), "payload.url"),
        ((403, {"detail": "kind sql is for admins"}), "for admins"),
    ],
)
def test_what_the_api_refuses_is_said(run: Run, refused: Refused, airflow: Server, answer: Any, said: str) -> None:
    """In the API's words, with exit code 1."""
    run("add", "a", "ping", "--set", URL)
    airflow.answers = [answer]
    assert said in str(refused("try", "a"))


def test_a_job_that_is_not_there_is_not_tried(refused: Refused, airflow: Server) -> None:
    """Nothing is asked of the API."""
    assert "nobody" in str(refused("try", "nobody"))
    assert airflow.asked == []

"""`./millrace jobs run`, with a server on the loopback in Airflow's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from typer.testing import CliRunner

from include.cli import jobs_run
from include.cli.jobs import app
from include.errors import RetryableError
from include.store import jobs
from include.store.db import DictConnection
from tests.job_commands import URL, Refused, Run, add_execution, document, environment, refused, run
from tests.json_server import in_place_of_airflow

__all__ = ["environment", "refused", "run"]


class Airflow:
    """What `jobs run` needs of Airflow's API; `fire(due, conf)` stands for all that a run sets in motion."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.missing_dag = 0  # how often the DAG is not there yet
        self.state = "running"
        self.fire: Callable[[datetime, dict[str, Any]], None] = lambda due, conf: None

    def __call__(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if path == "/auth/token":
            known = body == {"username": "admin", "password": "secret"}
            return (201, {"access_token": "the token"}) if known else (401, {"detail": "Invalid credentials"})
        if headers.get("authorization") != "Bearer the token":
            return 401, {"detail": "not authenticated"}
        if method == "GET":
            return 200, {"state": self.state}
        if self.missing_dag:
            self.missing_dag -= 1
            return 404, {"detail": "Dag not found"}
        self.fire(datetime.fromisoformat(body["logical_date"]), body["conf"])
        return 200, {"dag_run_id": "manual__1", "state": "queued"}


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow = Airflow()
    monkeypatch.setattr(jobs_run, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs_run, "_DAG_POLL_SECONDS", 0.01)
    with in_place_of_airflow(airflow, monkeypatch) as url:
        monkeypatch.setenv("MILLRACE_URL", url)  # people write it with a slash as well
        yield airflow


def test_run_triggers_the_dag_with_its_conf(run: Run, airflow: Airflow, db: DictConnection) -> None:
    """One run of the job's DAG, now, with the settings to override; its DAG may still be on its way."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    airflow.missing_dag = 2
    before = datetime.now(timezone.utc)
    result = run("run", "a", "--conf", '{"expect_status": 204}', "--json")
    method, path, body = airflow.asked[-1]
    assert (method, path) == ("POST", f"/api/v2/dags/job_{job_id}/dagRuns")
    assert body["conf"] == {"expect_status": 204}
    assert before <= datetime.fromisoformat(body["logical_date"]) <= datetime.now(timezone.utc)
    assert document(result) == {
        "job_id": job_id,
        "dag_run_id": "manual__1",
        "scheduled_for": body["logical_date"],
        "execution": None,
    }
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("status", "code"), [("success", 0), ("failed", 1), ("skipped", 1)])
def test_run_waits_for_the_outcome(
    run: Run, airflow: Airflow, db: DictConnection, database_url: str, status: str, code: int
) -> None:
    """With --wait the execution is printed once it is final, and anything but success has exit code 1."""
    run("add", "a", "ping", "--set", URL)
    job_id = jobs.find(db, "a")["id"]
    airflow.fire = lambda due, conf: add_execution(db, job_id, due, status)
    result = CliRunner().invoke(app, ["run", "a", "--wait"])
    assert (result.exit_code, result.exception is None or isinstance(result.exception, SystemExit)) == (code, True)
    assert status in result.stdout
    result = CliRunner().invoke(app, ["run", str(job_id), "--wait", "--json"])
    assert document(result)["execution"]["status"] == status


def test_a_run_that_ends_without_an_execution_is_not_waited_for(run: Run, airflow: Airflow) -> None:
    """If Airflow ends the run and the ledger knows nothing of it, the command says so."""
    run("add", "a", "ping", "--set", URL)
    airflow.state = "failed"
    result = CliRunner().invoke(app, ["run", "a", "--wait"])
    assert result.exit_code == 1
    assert "ended in Airflow without an execution" in str(result.exception)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a", "--conf", '{"ulr": "x"}'], "ulr: Extra inputs are not permitted"),
        (["a", "--conf", "5"], "--conf is not a JSON object"),
        (["off"], "`./millrace jobs resume"),
        (["bad"], "cannot run: kind 'shell' is off; `./millrace jobs edit"),
    ],
)
def test_a_run_that_cannot_work_is_not_started(
    run: Run, refused: Refused, db: DictConnection, airflow: Airflow, words: list[str], says: str
) -> None:
    """A conf that does not fit, a job that is paused or has an error, is refused before Airflow hears of it."""
    run("add", "a", "ping", "--set", URL)
    run("add", "off", "ping", "--set", URL, "--inactive")
    run("add", "bad", "ping", "--set", URL)
    db.execute("update job set error = 'kind ''shell'' is off' where name = 'bad'")
    assert says in refused("run", *words)
    assert airflow.asked == []


def test_run_says_what_is_wrong_with_the_way_to_airflow(
    run: Run, refused: Refused, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, an address where nobody listens, and no system at all are told apart."""
    run("add", "a", "ping", "--set", URL)
    monkeypatch.setenv("MILLRACE_PASSWORD", "wrong")
    assert "check MILLRACE_USER and MILLRACE_PASSWORD" in refused("run", "a")
    monkeypatch.setenv("MILLRACE_URL", "http://127.0.0.1:9")
    result = CliRunner().invoke(app, ["run", "a"])
    assert isinstance(result.exception, RetryableError)
    assert "whether the system is up" in str(result.exception)
    monkeypatch.delenv("MILLRACE_URL")
    assert "the system is not up; start it with `./millrace up`" in refused("run", "a")

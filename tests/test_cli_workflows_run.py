"""`./millrace workflows run`, and what all runs by hand share, with a server on the loopback in Airflow's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from include.cli import dag_runs
from include.cli.airflow_api import airflow_api
from include.errors import MillraceError, RetryableError
from include.store import workflows
from include.store.db import DictConnection
from include.store.rows import workflow_from_row
from tests.json_server import in_place_of_airflow
from tests.workflow_commands import (
    URL,
    Refused,
    Run,
    add_records,
    call,
    document,
    environment,
    issues,
    refused,
    run,
    stop,
)

__all__ = ["environment", "issues", "refused", "run"]


class Airflow:
    """What a run by hand needs of Airflow's API. `states`: what is answered about the run, the last one for ever."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Any]] = []
        self.missing_dag = 0  # how often the DAG is not there yet
        self.states: list[str | None] = ["success"]
        self.fire: Callable[[], None] = lambda: None

    def __call__(self, method: str, path: str, _headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "the token"}
        if method == "GET":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            if state == "away":
                return 503, {"detail": "Service Unavailable"}
            return (404, {"detail": "not found"}) if state is None else (200, {"state": state})
        if self.missing_dag:
            self.missing_dag -= 1
            return 404, {"detail": "Dag not found"}
        self.started.append((path, body))
        self.fire()
        return 200, {"dag_run_id": "manual__1", "state": "queued"}


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow = Airflow()
    monkeypatch.setattr(dag_runs, "_FIRST_POLL_SECONDS", 0.001)
    with in_place_of_airflow(airflow, monkeypatch):
        yield airflow


@pytest.fixture
def crm(run: Run, db: DictConnection, issues: int) -> int:
    """A workflow with two records ahead of it; its id."""
    add_records(db, issues, None, None)
    run(f"workflows add crm webhook --connector issues --start-from beginning {URL}")
    workflow_id: int = workflows.find(db, "crm")["id"]
    return workflow_id


def test_run_triggers_the_dag(run: Run, airflow: Airflow, crm: int) -> None:
    """One run of the workflow's DAG, now; its DAG may still be on its way."""
    airflow.missing_dag = 2
    result = run("workflows run crm --json")
    [(path, body)] = airflow.started
    assert (path, body["conf"]) == (f"/api/v2/dags/workflow_{crm}/dagRuns", {})
    assert document(result) == {"workflow_id": crm, "dag_run_id": "manual__1", "state": None, "progress": None}
    assert result.stderr == f"waiting for the workflow's DAG, workflow_{crm}\n"
    assert f"`./millrace workflows lag {crm}` shows how far it is" in run("workflows run crm").stdout


def test_run_waits_for_the_outcome(run: Run, airflow: Airflow, db: DictConnection, crm: int) -> None:
    """With --wait it says what became of the records, although Airflow was silent for a moment."""
    airflow.states = ["queued", "away", "running", "success"]
    airflow.fire = lambda: db.execute("update workflow_progress set position = 2, processed = 1, failed = 1") and None
    assert "success: processed 1, failed 1; the watermark is at 2 of 2" in run("workflows run crm --wait").stdout
    made = document(run("workflows run crm --wait --json"))
    assert (made["state"], made["progress"]["position"], made["progress"]["lag_records"]) == ("success", 2, 0)


def test_what_is_no_success_has_exit_code_1(airflow: Airflow, db: DictConnection, crm: int) -> None:
    """A run that failed, or in which the workflow has stopped at a record, is not a success; the reason is told."""
    airflow.states = ["failed"]
    result = call("workflows run crm --wait")
    assert (result.exit_code, "failed: processed 0" in result.stdout) == (1, True)
    airflow.states = ["success"]
    airflow.fire = lambda: stop(db, crm, 1)
    result = call("workflows run crm --wait")
    assert (result.exit_code, "stopped at record 1: HTTP 422" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update workflow set is_active = false", "is paused, and Airflow starts no run of a paused DAG"),
        ("update workflow set payload = '{}'", "url: Field required"),
        (
            "update workflow_progress set stopped_at = 1, error = 'HTTP 422'",
            "stopped at record 1: HTTP 422; `./millrace",
        ),
        (
            "update workflow set started_at = now() + interval '1 day';update workflow_progress set begun = false",
            "does not begin before",
        ),
    ],
)
def test_a_run_that_cannot_work_is_not_started(
    refused: Refused, airflow: Airflow, db: DictConnection, crm: int, change: str, says: str
) -> None:
    """What would keep the run from doing anything is told before Airflow hears of it."""
    db.execute(change.encode())
    assert says in refused("workflows run crm")
    assert airflow.started == []


def test_a_run_that_vanished_is_not_waited_for(airflow: Airflow, db: DictConnection, crm: int) -> None:
    """If somebody deletes the run in Airflow, the command says so instead of waiting for ever."""
    airflow.states = ["running", None]
    result = call("workflows run crm --wait")
    assert isinstance(result.exception, MillraceError)
    assert "run manual__1 of workflow 'crm' is gone" in str(result.exception)


def test_waiting_has_an_end(airflow: Airflow, db: DictConnection, crm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DAG that never comes, and an Airflow that has gone silent, are errors to try again later."""
    monkeypatch.setattr(dag_runs, "_LONGEST_WAIT_FOR_DAG_SECONDS", 0.0)
    monkeypatch.setattr(dag_runs, "_LONGEST_SILENCE_SECONDS", 0.0)
    workflow = workflow_from_row(workflows.find(db, "crm"))
    airflow.missing_dag = 1000
    airflow.states = ["away"]
    with airflow_api() as api:
        with pytest.raises(RetryableError, match=rf"has no DAG workflow_{crm} .* workflows show {crm}"):
            dag_runs.trigger(api, workflow)
        with pytest.raises(RetryableError, match="503"):
            dag_runs.wait_for_end(api, workflow, "manual__1")
        assert not dag_runs.has_ended(api, workflow, "manual__1")

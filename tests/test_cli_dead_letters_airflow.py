"""`./millrace dead-letters redrive` of jobs that run on a worker, with a server on the loopback in Airflow's place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.job_commands import add_execution
from tests.json_server import in_place_of_airflow
from tests.test_cli_dead_letters_jobs import HOUR, now
from tests.test_store import add_job
from tests.workflow_commands import Run, document, environment, run

__all__ = ["environment", "run"]


class Airflow:
    """What redriving needs of Airflow's API: `runs` by their ids, each with its state and its due instant."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[str, datetime]] = {}
        self.cleared: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        if path == "/auth/token":
            return 201, {"access_token": "the token"}
        if method == "GET":
            run = self.runs.get(path.rpartition("/")[2])
            if run is None:
                return 404, {"detail": "no such run"}
            due = run[1].isoformat().replace("+00:00", "Z")
            return 200, {"state": run[0], "logical_date": None, "data_interval_end": due, "run_after": due}
        self.cleared.append((path, body))
        failed = self.runs[body["dag_run_id"]][0] == "failed"
        return 200, {"task_instances": [], "total_entries": int(failed)}


@pytest.fixture
def airflow(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Airflow]:
    airflow = Airflow()
    with in_place_of_airflow(airflow, monkeypatch):
        yield airflow


def die(db: DictConnection, job_id: int, run_id: str, ago: timedelta = HOUR) -> datetime:
    """A failed execution of that run, which was due so long ago; its instant."""
    due = now() - ago
    add_execution(db, job_id, due, "failed", error="exit code 1")
    db.execute("update execution set dag_run_id = %s where scheduled_for = %s", (run_id, due))
    return due


def asked(db: DictConnection) -> list[bool]:
    rows = db.execute("select redrive_at is not null as asked from execution order by scheduled_for desc").fetchall()
    return [bool(row["asked"]) for row in rows]


def test_its_run_is_cleared_or_its_next_run_is_waited_for(run: Run, db: DictConnection, airflow: Airflow) -> None:
    """A failed run begins again; where it is gone, or was another occurrence's, the job's next run redrives it."""
    job_id = add_job(db, "load", kind="python", payload='{"function": "example:hello"}')
    dues = {
        name: die(db, job_id, name, number * HOUR) for number, name in enumerate(("a b", "gone", "shared", "busy"), 1)
    }
    airflow.runs = {
        "a%20b": ("failed", dues["a b"]),
        "a b": ("failed", dues["a b"]),
        "shared": ("failed", dues["a b"]),
        "busy": ("running", dues["busy"]),
    }
    result = run("dead-letters redrive --job load --all --json")
    ids = {name: webhook_id(job_id, due) for name, due in dues.items()}
    expected = [ids["a b"], ids["gone"], ids["shared"]]
    assert document(result) == {"redriving": 3, "ids": expected, "gone": [], "cleared": [ids["a b"]]}
    wanted = {"dag_run_id": "a b", "dry_run": False, "only_failed": True, "reset_dag_runs": True}
    assert airflow.cleared == [(f"/api/v2/dags/job_{job_id}/clearTaskInstances", wanted)]
    assert asked(db) == [False, True, True, False]
    said = result.stderr
    assert "1 dead letter: the run in Airflow was cleared, and begins again on a worker" in said
    assert "2 dead letters: the next run of the job will redrive it, on a worker" in said
    assert "1 dead letter had been asked for already" in said


def test_a_run_that_was_marked_as_good_is_not_cleared(run: Run, db: DictConnection, airflow: Airflow) -> None:
    """Airflow clears what has failed only; what a person has marked there is redriven by the job's next run."""
    job_id = add_job(db, "load", kind="python", payload="{}", is_active=False)
    airflow.runs = {"marked": ("success", die(db, job_id, "marked"))}
    result = run(f"dead-letters redrive {webhook_id(job_id, airflow.runs['marked'][1])}")
    assert result.stdout == "redriving 1 dead letter\n"
    assert asked(db) == [True]
    assert f"job 'load' is paused: Airflow runs it after `./millrace jobs resume {job_id}`" in result.stderr


def test_without_airflow_the_next_run_redrives(
    run: Run, db: DictConnection, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow being away keeps nobody from asking: the reason is said, and the job's next run sees to it."""
    die(db, add_job(db, "load", kind="python", payload="{}"), "away")
    monkeypatch.setenv("MILLRACE_URL", "http://127.0.0.1:9")
    result = run("dead-letters redrive --all")
    assert result.stdout == "redriving 1 dead letter\n"
    assert "cannot be reached" in result.stderr
    assert asked(db) == [True]


def test_what_runs_in_the_triggerer_is_no_business_of_airflows(run: Run, db: DictConnection, airflow: Airflow) -> None:
    """Other kinds are redriven by the pumps, whatever has become of their run."""
    job_id = add_job(db, "ping")
    airflow.runs = {"failed": ("failed", die(db, job_id, "failed"))}
    assert document(run("dead-letters redrive --all --json"))["cleared"] == []
    assert (airflow.cleared, asked(db)) == ([], [True])

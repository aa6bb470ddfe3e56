"""Trials of kinds that run on workers, by way of Airflow's own tables."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk.exceptions import AirflowSkipException
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from include.orchestration.trials import TrialOperator, trial_dag
from include.settings import settings
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, Api, api_of, ok, problem

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

GREET = {"kind": "python", "payload": {"function": "example:greet", "arguments": {"name": "Ada"}}, "timeout": 30}


@pytest.fixture
def api(airflow_url: str, airflow_session: Session) -> Iterator[Api]:
    with api_of(airflow_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def with_dag(airflow_session: Session) -> None:
    """Airflow has the DAG, as its processor writes it."""
    airflow_session.merge(DagBundleModel(name="doors"))
    airflow_session.flush()
    dag = LazyDeserializedDAG.from_dag(trial_dag())
    SerializedDAG.bulk_write_to_db("doors", None, [dag], session=airflow_session)
    SerializedDagModel.write_dag(dag, bundle_name="doors", session=airflow_session)
    airflow_session.execute(text("update dag set relative_fileloc = 'trial.py'"))
    airflow_session.commit()


def work(conf: dict[str, Any] | None) -> str:
    """The task, as a worker runs it for a run with this conf."""
    operator = trial_dag().get_task("try")
    assert isinstance(operator, TrialOperator)
    return operator.execute({"dag_run": SimpleNamespace(conf=conf)})


def all_runs(session: Session) -> list[DagRun]:
    session.expire_all()
    return list(session.scalars(select(DagRun)))


def test_the_dag_is_the_same_each_time(airflow_url: str) -> None:
    """It is on duty when it is added, has no schedule, tries nothing twice, and building it twice gives the same."""
    dag = trial_dag()
    assert (dag.dag_id, dag.tags, dag.is_paused_upon_creation) == ("millrace_trial", {"millrace"}, False)
    assert [(task.task_id, task.retries) for task in dag.tasks] == [("try", 0)]
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(trial_dag())


@pytest.mark.usefixtures("with_dag")
def test_what_needs_a_worker_is_tried_on_one(api: Api, ours: DictConnection, airflow_session: Session) -> None:
    """The run has the number of the trial and none of its settings; its owner learns what became of it, once."""
    answer = api.post("/jobs/trial", GREET)
    made = ok(answer, 202)
    assert (made["status"], made["started_at"], made["attempts"]) == ("running", None, [])
    [run] = all_runs(airflow_session)
    assert (run.dag_id, run.conf, run.triggering_user_name) == ("millrace_trial", {"trial": made["id"]}, "alice")
    path = answer.headers["location"].removeprefix("/millrace/api/v1")
    assert ok(api.get(path)) == made
    assert work(run.conf) == "success"
    ended = ok(api.get(path))
    assert (ended["status"], ended["output"]["result"]["attempt"]) == ("success", 1)
    assert "Hello Ada" in ended["output"]["result"]["greeting"]
    problem(api.as_(BOB).get(path), 404)
    with pytest.raises(AirflowSkipException, match="not waiting"):
        work(run.conf)
    assert ok(api.get(path)) == ended
    assert ours.execute("select 1 from job union all select 1 from execution").fetchall() == []


@pytest.mark.parametrize("conf", [None, {}, {"trial": "1"}, {"trial": True}, {"trial": 0}, {"trial": 2**63}])
def test_a_run_for_no_trial_does_nothing(ours: DictConnection, conf: dict[str, Any] | None) -> None:
    """Whoever starts the DAG by hand is told what it is for."""
    with pytest.raises(AirflowSkipException, match="POST /millrace/api/v1/jobs/trial"):
        work(conf)


def test_without_airflow_nothing_is_left(api: Api, ours: DictConnection) -> None:
    """While Airflow does not have the DAG yet, the answer says when to come again, and no trial waits."""
    refused = api.post("/jobs/trial", GREET)
    assert "no DAG millrace_trial yet" in problem(refused, 503)
    assert refused.headers["retry-after"]
    assert ours.execute("select 1 from trial").fetchall() == []


@pytest.mark.usefixtures("with_dag")
def test_who_has_a_few_under_way_waits(api: Api, airflow_session: Session) -> None:
    """A fifth is put off, and starts no run; a kind that needs no worker is tried all the same."""
    for _ in range(4):
        ok(api.post("/jobs/trial", GREET), 202)
    assert "4 trials of yours are under way" in problem(api.post("/jobs/trial", GREET), 503)
    assert len(all_runs(airflow_session)) == 4
    ok(api.post("/jobs/trial", {"kind": "ping", "payload": {"url": "http://127.0.0.1:1/"}}))


@pytest.mark.usefixtures("with_dag")
def test_shell_is_for_whom_it_is_allowed(api: Api, monkeypatch: pytest.MonkeyPatch, airflow_session: Session) -> None:
    """Where it is off, nobody tries it; where it is on, users still do not, unless the operator says so."""
    command = {"kind": "shell", "payload": {"command": "true"}}
    assert "kind 'shell' is off" in problem(api.post("/jobs/trial", command), 422)
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    settings.cache_clear()
    assert "'shell' is for admins" in problem(api.post("/jobs/trial", command), 403)
    assert all_runs(airflow_session) == []

"""Runs that are started over HTTP, in Airflow's own tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.airflow_run import write_dag
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.models.dagrun import DagRun
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from include.api.routes import job_runs
from include.orchestration import runs
from include.store import shards
from include.store.db import DictConnection
from tests.api_client import ALICE, Api, api_of, ok, problem

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

Insert = Callable[..., int]

ROWS = b"""
    insert into connector (name, kind, every, config)
    values ('pulls', 'feed', '1 hour', '{"url": "https://example.com/feed"}'),
           ('pushed', 'webhook', null, '{"conn_id": "key"}');
    insert into workflow (name, connector_id, kind, payload, started_at)
    values ('begun', 1, 'webhook', '{"url": "https://example.com/"}', now()),
           ('later', 1, 'webhook', '{"url": "https://example.com/"}', now() + interval '1 day');
"""


@pytest.fixture
def api(airflow_url: str, airflow_session: Session) -> Iterator[Api]:
    with api_of(airflow_url) as running:
        yield running


@pytest.fixture
def job_id(airflow_session: Session, ours: DictConnection, insert: Insert) -> int:
    """A job of Alice's, with its DAG."""
    return with_dag(airflow_session, ours, "job", insert(owner="alice", every="1 hour", kind="webhook"))


def with_dag(session: Session, ours: DictConnection, table: str, row_id: int) -> int:
    [row] = shards.rows_by_id(ours, table, [row_id])
    write_dag(session, row)  # type: ignore[arg-type]  # builds those of other tables as well
    return row_id


def all_runs(session: Session) -> list[DagRun]:
    session.expire_all()
    return list(session.scalars(select(DagRun)))


def test_a_run_is_started_as_by_airflows_button(api: Api, airflow_session: Session, job_id: int) -> None:
    """There is a run by hand, of the caller, with what he wants different; the answer says where its execution is."""
    conf = {"body": {"report": [1, None, "ü"]}, "headers": {}}
    response = api.as_(ALICE).post(f"/jobs/{job_id}/run", {"conf": conf})
    said = ok(response, 202)
    [run] = all_runs(airflow_session)
    assert (run.dag_id, run.run_id, run.conf) == (f"job_{job_id}", said["dag_run_id"], conf)
    assert (run.run_type, run.state, run.triggered_by.value) == ("manual", "queued", "rest_api")
    assert run.triggering_user_name == "alice"
    assert run.data_interval_end == run.logical_date == run.run_after == datetime.fromisoformat(said["scheduled_for"])
    assert (said["job_id"], said["dag_id"]) == (job_id, f"job_{job_id}")
    assert response.headers["location"] == said["execution"]
    assert "(yet)" in problem(api.get(said["execution"].removeprefix("/millrace/api/v1")), 404)


def test_without_a_body_nothing_is_different(api: Api, airflow_session: Session, job_id: int) -> None:
    """Each request is a run of its own, at an instant of its own."""
    first, second = (ok(api.post(f"/jobs/{job_id}/run"), 202) for _ in range(2))
    assert first["scheduled_for"] < second["scheduled_for"]
    assert [run.conf for run in all_runs(airflow_session)] == [{}, {}]


def test_a_key_starts_one_run_even_if_we_forget_it(
    api: Api, ours: DictConnection, airflow_session: Session, job_id: int
) -> None:
    """The same request with the same key is answered the same, also where the first answer was lost with its key."""
    first = ok(api.post(f"/jobs/{job_id}/run", {"conf": {"headers": {}}}, Idempotency_Key="k"), 202)
    assert ok(api.post(f"/jobs/{job_id}/run", {"conf": {"headers": {}}}, Idempotency_Key="k"), 202) == first
    ours.execute("delete from idempotency_key")  # as if we had died between Airflow's commit and ours
    assert ok(api.post(f"/jobs/{job_id}/run", {"conf": {"headers": {}}}, Idempotency_Key="k"), 202) == first
    assert len(all_runs(airflow_session)) == 1
    problem(api.post(f"/jobs/{job_id}/run", Idempotency_Key="k"), 422)
    ok(api.as_(ALICE).post(f"/jobs/{job_id}/run", {"conf": {"headers": {}}}, Idempotency_Key="k"), 202)
    assert len(all_runs(airflow_session)) == 2


def test_the_same_request_many_times_at_once_is_one_run(api: Api, airflow_session: Session, job_id: int) -> None:
    """However many send it at the same moment, all are told of the one run."""
    answers: list[Any] = []

    def send() -> None:
        answers.append(api.post(f"/jobs/{job_id}/run", Idempotency_Key="k"))

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    [run] = all_runs(airflow_session)
    assert {ok(said, 202)["dag_run_id"] for said in answers} == {run.run_id}


def test_runs_of_one_id_that_race_are_one_run(airflow_session: Session, job_id: int) -> None:
    """Whoever comes second gets the run of whoever was faster, although both found none."""
    started: list[runs.Started] = []

    def start() -> None:
        started.append(runs.start(f"job_{job_id}", run_id="manual__one", user="alice"))

    racing = [threading.Thread(target=start) for _ in range(6)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert len(started) == 6
    assert len(set(started)) == 1
    assert len(all_runs(airflow_session)) == 1


def test_a_job_without_a_dag_is_waited_for(
    api: Api, airflow_session: Session, ours: DictConnection, insert: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new row's DAG is waited for; if it does not come, or has gone, the answer is a 503 that says when to come."""
    new = insert(every="1 hour")
    monkeypatch.setattr(job_runs, "_PAUSES", (0.01, 0.01))
    refused = api.post(f"/jobs/{new}/run", Idempotency_Key="k")
    assert f"no DAG job_{new} yet" in problem(refused, 503)
    assert refused.headers["retry-after"] == "5"
    monkeypatch.setattr(job_runs, "_PAUSES", (0.1,) * 100)
    arriving = threading.Timer(0.3, with_dag, (airflow_session, ours, "job", new))
    arriving.start()
    ok(api.post(f"/jobs/{new}/run", Idempotency_Key="k"), 202)
    arriving.join()
    monkeypatch.setattr(job_runs, "_PAUSES", ())
    airflow_session.execute(text("update dag set is_stale = true"))
    airflow_session.commit()
    problem(api.post(f"/jobs/{new}/run"), 503)


def test_connectors_and_workflows_are_run_too(api: Api, airflow_session: Session, ours: DictConnection) -> None:
    """Those that pull, and those that have begun; a paused, a pushed, a stopped one is refused with the reason."""
    ours.execute(ROWS)
    for table in ("connector", "workflow"):
        with_dag(airflow_session, ours, table, 1)
        said = ok(api.post(f"/{table}s/1/run", {}, Idempotency_Key=table), 202)
        assert ok(api.post(f"/{table}s/1/run", {}, Idempotency_Key=table), 202) == said
        assert said["dag_id"] == f"{table}_1"
        assert "no " + table in problem(api.as_(ALICE).post(f"/{table}s/1/run"), 404)
        problem(api.post(f"/{table}s/1/run", {"conf": {}}), 422)
    assert len(all_runs(airflow_session)) == 2
    assert "pushed to it" in problem(api.post("/connectors/2/run"), 409)
    assert "does not begin before" in problem(api.post("/workflows/2/run"), 409)
    ours.execute("update connector set is_active = false")
    assert "POST /connectors/1/resume" in problem(api.post("/connectors/1/run"), 409)

"""A job that is started over HTTP, in the whole system."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


class Client:
    """A program that calls the API with a token of Airflow."""

    def __init__(self, system: System) -> None:
        self.url = system.facts["url"]
        login = {"username": system.facts["user"], "password": system.facts["password"]}
        answer = requests.post(f"{self.url}/auth/token", json=login, timeout=30)
        self.token = answer.json()["access_token"]

    def send(self, method: str, path: str, body: Any = None, key: str | None = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Idempotency-Key": key} if key else {})
        path = path if path.startswith("/millrace/") else f"/millrace/api/v1{path}"
        return requests.request(method, self.url + path, json=body, headers=headers, timeout=30)


def test_a_run_over_http_has_one_execution_however_often_it_is_sent(system: System, receiver: Receiver) -> None:
    """A job that was just added runs at once, by hand, with what is different this time; its key starts it once."""
    client = Client(system)
    job = {"name": "by a program", "kind": "webhook", "payload": {"url": receiver.url("/program")}}
    made = client.send("POST", "/jobs", job)
    assert made.status_code == 201, made.text
    path = f"/jobs/{made.json()['id']}"
    run = {"conf": {"body": {"report": "weekly"}}}

    def started() -> dict[str, Any] | None:
        answer = client.send("POST", f"{path}/run", run, key="once")
        assert answer.status_code in (202, 503), answer.text
        return answer.json() if answer.status_code == 202 else None

    first = wait_for(started, "DAG of the new job")
    assert started() == first

    def ended() -> dict[str, Any] | None:
        answer = client.send("GET", first["execution"])
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.ok and answer.json()["status"] == "success" else None

    execution = wait_for(ended, "execution of the run")
    assert (execution["dag_run_id"], execution["origin"]) == (first["dag_run_id"], "manual")
    assert started() == first
    system.sql("delete from idempotency_key")  # as if it had been answered by a process that died just then
    assert started() == first
    assert receiver.bodies["/program"] == [b'{"report":"weekly"}']
    del execution["request"]  # of a single one only, as what each attempt sent
    for attempt in execution["attempts"]:
        del attempt["request"], attempt["audit_id"]
    assert client.send("GET", f"{path}/executions").json()["items"] == [execution]
    assert system.api("GET", f"/dags/{first['dag_id']}/dagRuns")["total_entries"] == 1
    assert system.api("GET", f"/dags/{first['dag_id']}/dagRuns")["dag_runs"][0]["triggering_user_name"] == "admin"


def test_no_run_by_hand_chooses_the_connection(system: System, receiver: Receiver) -> None:
    """Whoever triggers the DAG in Airflow itself gets a failed execution, and nothing is sent."""
    job_id = system.add("of somebody else", receiver.url("/chosen"))
    body = {"logical_date": None, "conf": {"conn_id": "smtp_default"}}
    wait_for(lambda: system.sql("select 1 as found from public.dag where dag_id = %s", f"job_{job_id}"), "DAG")
    system.api("POST", f"/dags/job_{job_id}/dagRuns", body)
    [row] = wait_for(
        lambda: system.sql("select error from execution where job_id = %s and status = 'failed'", job_id), "execution"
    )
    assert row["error"] == "conn_id cannot be replaced for one run of kind 'webhook'; edit the row"
    assert not receiver.to("/chosen")

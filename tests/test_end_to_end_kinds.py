"""Timers, kinds that run on workers, and what is done about failures, in the whole system."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from include.shifts.execution import webhook_id
from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def executions(system: System, job_id: int) -> list[dict[str, Any]]:
    return system.sql("select * from execution where job_id = %s order by scheduled_for", job_id)


def ended(system: System, job_id: int, status: str = "success") -> dict[str, Any]:
    """The first execution of a job, once it has this status."""

    def look() -> dict[str, Any] | None:
        return next((row for row in executions(system, job_id) if row["status"] == status), None)

    row: dict[str, Any] = wait_for(look, f"{status} of job {job_id}")
    return row


def test_a_timer_fires_once_and_on_time(system: System, receiver: Receiver) -> None:
    """Added by the command line or by SQL, it calls when it is due; a cancelled one never does."""
    wait_for(
        lambda: system.sql("select 1 as found from public.dag_run where dag_id = 'millrace_timers'"), "run of the pumps"
    )
    [late] = system.sql("insert into timer (url, seconds) values (%s, 20) returning id", receiver.url("/cancelled"))
    assert system.millrace("timers", "cancel", str(late["id"])).returncode == 0
    # Due after the cancelled one: when it has come, that one would have, too.
    made = json.loads(system.millrace("timers", "add", receiver.url("/timer"), "--in", "20s", "--json").stdout)
    [(arrived_at, _, key)] = wait_for(lambda: receiver.to("/timer"), "call")
    assert key == f"timer_{made['id']}"
    assert arrived_at >= datetime.fromisoformat(made["due_at"])
    wait_for(lambda: system.sql("select 1 as found from timer where status = 'fired'"), "timer that says so")
    assert system.sql("select status from timer where id = %s", late["id"]) == [{"status": "cancelled"}]
    assert not receiver.to("/cancelled")


def test_functions_commands_and_statements_run_on_workers(system: System) -> None:
    """Each does its work in an Airflow worker, writes the same ledger, and never sees the system's own secrets."""
    place = urlsplit(system.facts["database_url"])
    connection = {"connection_id": "own", "conn_type": "postgres", "host": place.hostname, "port": place.port}
    connection |= {"login": place.username, "password": place.password, "schema": place.path[1:]}
    system.api("POST", "/connections", connection)
    payloads = {
        "python": {"function": "example:greet", "arguments": {"name": "Ada"}},
        "shell": {"command": "echo $MILLRACE_KEY; env | grep -c -e FERNET -e DATABASE_URL || true"},
        "sql": {"conn_id": "own", "sql": "select 40 + 2 as answer"},
    }
    ids = {
        kind: system.insert("job", name=f"on a worker: {kind}", kind=kind, payload=payload)
        for kind, payload in payloads.items()
    }
    for job_id in ids.values():
        done = system.millrace("jobs", "run", str(job_id), "--wait")
        assert done.returncode == 0, done.stdout + done.stderr
    outputs = {kind: ended(system, job_id)["output"] for kind, job_id in ids.items()}
    assert "Ada" in json.dumps(outputs["python"]["result"])
    key, secrets = outputs["shell"]["excerpt"].split()
    assert key == webhook_id(ids["shell"], executions(system, ids["shell"])[0]["scheduled_for"])
    assert secrets == "0"
    assert outputs["sql"]["statements"][0]["rows"] == [[42]]
    log = system.api("GET", f"/dags/job_{ids['shell']}/dagRuns")["dag_runs"][0]
    assert log["state"] == "success"


def test_a_schedule_too_fast_for_a_worker_is_refused(system: System) -> None:
    """The row says why it cannot run, and has no DAG."""
    job_id = system.insert("job", name="too fast", kind="shell", payload={"command": "true"}, every="10 seconds")
    [row] = wait_for(lambda: system.sql("select error from job where id = %s and error is not null", job_id), "error")
    assert row["error"] == "kind 'shell' runs on a worker, at most once a minute: write a slower schedule"


def test_a_run_that_is_armed_follows_its_row_to_a_worker(system: System, receiver: Receiver) -> None:
    """A job that becomes one for workers while its run waits in the triggerer is done on a worker, once."""
    job_id = system.add("moves", receiver.url("/moves"))
    system.sql("update job set run_at = now() + interval '40 seconds' where id = %s", job_id)
    deferred = "select 1 as found from public.task_instance where dag_id = %s and state = 'deferred'"
    wait_for(lambda: system.sql(deferred, f"job_{job_id}"), "armed run")
    payload = json.dumps({"function": "example:greet", "arguments": {"name": "Bob"}})
    system.sql("update job set kind = 'python', payload = %s where id = %s", payload, job_id)
    row = ended(system, job_id)
    assert "Bob" in json.dumps(row["output"])
    assert len(executions(system, job_id)) == 1
    assert not receiver.to("/moves")


def test_a_webhook_is_signed_with_the_secret_of_a_connection(system: System, receiver: Receiver) -> None:
    """The receiver can verify it by the reference library; the secret is nowhere in our tables."""
    system.api("POST", "/connections", {"connection_id": "signing", "conn_type": "generic", "password": SECRET})
    job_id = system.insert(
        "job",
        name="signed",
        kind="webhook",
        payload={"url": receiver.url("/signed"), "conn_id": "signing", "body": {"hello": "world"}},
    )
    assert system.millrace("jobs", "run", str(job_id), "--wait").returncode == 0
    [headers] = receiver.headers["/signed"]
    assert Webhook(SECRET).verify(receiver.bodies["/signed"][0], headers) == {"hello": "world"}
    assert not system.sql("select 1 as found from audit where new::text like %s", f"%{SECRET[6:]}%")


def test_a_dead_letter_is_redriven_in_its_own_row(system: System, receiver: Receiver) -> None:
    """What failed for good is listed, and sent again with the same key; the attempts are added to those before."""
    receiver.answers["/dead"] = [404]
    job_id = system.add("dead", receiver.url("/dead"))
    assert system.millrace("jobs", "run", str(job_id), "--wait").returncode == 1
    [letter] = json.loads(system.millrace("dead-letters", "list", "--job", "dead", "--json").stdout)
    redriven = system.millrace("dead-letters", "redrive", letter["id"])
    assert redriven.returncode == 0, redriven.stderr
    row = ended(system, job_id)
    assert [attempt.get("code") for attempt in row["attempts"]] == [404, 200]
    assert len({key for _, _, key in receiver.to("/dead")}) == 1
    assert len(executions(system, job_id)) == 1


def test_a_dead_letter_of_a_worker_kind_is_redriven_on_a_worker(system: System, receiver: Receiver) -> None:
    """Its run is cleared in Airflow, and so tried again, in the same row."""
    flag = system.checkout / "flag"
    job_id = system.insert(
        "job", name="needs a file", kind="shell", payload={"command": f"test -e '{flag}'"}, retries=0
    )
    assert system.millrace("jobs", "run", str(job_id), "--wait").returncode == 1
    flag.touch()
    redriven = system.millrace("dead-letters", "redrive", "--job", "needs a file", "--all")
    assert redriven.returncode == 0, redriven.stderr
    row = ended(system, job_id)
    assert len(row["attempts"]) == 2
    assert len(executions(system, job_id)) == 1


def test_failures_disable_a_row_and_its_dag(system: System, receiver: Receiver) -> None:
    """After so many in a row the job is off duty, in Airflow too, and somebody was told, once."""
    receiver.answers["/failing"] = [404] * 100
    notify = {"kind": "webhook", "payload": {"url": receiver.url("/told")}, "on": ["disabled"]}
    job_id = system.add("failing", receiver.url("/failing"), every="1 second", disable_after=3, notify=notify)
    wait_for(lambda: system.sql("select 1 as found from job where id = %s and not is_active", job_id), "disabled job")
    assert len([row for row in executions(system, job_id) if row["status"] == "failed"]) == 3
    wait_for(lambda: system.api("GET", f"/dags/job_{job_id}")["is_paused"], "paused DAG")
    wait_for(lambda: receiver.to("/told"), "notice")
    assert b"failing" in receiver.bodies["/told"][0]
    shown = system.millrace("jobs", "why", "failing").stdout
    assert "3 failures in a row" in shown

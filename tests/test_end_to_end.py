"""The whole system, really started: a row becomes a DAG, fires on time, follows its edits, and survives."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from include.shifts.execution import webhook_id
from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def test_a_row_becomes_a_dag_that_fires_on_time(system: System, receiver: Receiver) -> None:
    """Inserted by SQL, a job is a DAG with its name, owner and tags within seconds, and calls are never early."""
    job_id = system.add("first of all", receiver.url("/first"), every="2 seconds", owner="ada")
    wait_for(lambda: len(receiver.to("/first")) >= 4, "call")
    dag = system.api("GET", f"/dags/job_{job_id}")
    assert (dag["dag_display_name"], dag["owners"]) == ("first of all", ["ada"])
    assert {tag["name"] for tag in dag["tags"]} == {"job", "webhook", "owner:ada"}
    for arrived_at, _, key in receiver.to("/first"):
        due_microseconds = int(str(key).rpartition("_")[2])
        assert arrived_at.timestamp() >= due_microseconds / 1e6
    assert not system.sql("select * from execution where started_at < scheduled_for")
    shown = system.millrace("sql", f"select name, owner from job where id = {job_id}")
    assert "first of all | ada" in shown.stdout, shown.stderr
    assert system.sql("select count(*) as rows from public.callback") == [{"rows": 0}]


def test_edits_by_sql_take_effect_by_themselves(system: System, receiver: Receiver) -> None:
    """Payload, pause, resume, schedule and delete: nothing is restarted."""
    job_id = system.add("edited", receiver.url("/old"), every="1 second")
    wait_for(lambda: receiver.to("/old"), "call")
    payload = json.dumps({"url": receiver.url("/new")})
    system.sql("update job set payload = %s where id = %s", payload, job_id)
    edited_at = datetime.now(timezone.utc)
    wait_for(lambda: receiver.to("/new"), "call by the new payload")
    assert all(call[0] < edited_at + timedelta(seconds=1) for call in receiver.to("/old"))

    system.sql("update job set is_active = false where id = %s", job_id)
    time.sleep(1)
    assert system.api("GET", f"/dags/job_{job_id}")["is_paused"]
    count = len(receiver.to("/new"))
    time.sleep(3)
    assert len(receiver.to("/new")) == count
    system.sql("update job set is_active = true where id = %s", job_id)
    wait_for(lambda: len(receiver.to("/new")) > count, "call after the pause")

    system.sql("update job set every = null, run_at = now() + interval '8 seconds' where id = %s", job_id)
    [row] = system.sql("select run_at from job where id = %s", job_id)
    due = webhook_id(job_id, row["run_at"])
    wait_for(lambda: any(call[2] == due for call in receiver.to("/new")), "call at the new instant")
    system.sql("delete from job where id = %s", job_id)


def test_an_edit_while_a_run_waits_holds_up_nobody(system: System, receiver: Receiver) -> None:
    """The row is due at the same instant as before: Airflow makes a second run, one of the two sends, and the scheduler
    goes on with all others."""
    due = datetime.now(timezone.utc) + timedelta(seconds=24)
    job_id = system.add("armed", receiver.url("/armed"), run_at=due.isoformat())
    made = "select run_id from public.dag_run where dag_id = %s"
    wait_for(lambda: system.sql(made, f"job_{job_id}"), "run")
    system.sql("update job set timezone = 'Europe/Berlin' where id = %s", job_id)
    wait_for(lambda: len(system.sql(made, f"job_{job_id}")) == 2, "second run")
    other = system.add("another", receiver.url("/another"), every="1 second")
    wait_for(lambda: receiver.to("/another"), "call of another")
    wait_for(lambda: receiver.to("/armed"), "call")
    ended = f"{made} and state = 'success'"
    wait_for(lambda: len(system.sql(ended, f"job_{job_id}")) == 2, "end of both")
    assert [call[2] for call in receiver.to("/armed")] == [webhook_id(job_id, due)]
    system.sql("delete from job where id in (%s, %s)", job_id, other)


def test_pausing_in_airflow_pauses_the_row(system: System, receiver: Receiver) -> None:
    """Airflow's pause button stops a job whose shift is on duty, and the row says so."""
    job_id = system.add("paused in airflow", receiver.url("/paused"), every="1 second")
    wait_for(lambda: receiver.to("/paused"), "call")
    system.api("PATCH", f"/dags/job_{job_id}", {"is_paused": True})
    assert system.sql("select is_active from job where id = %s", job_id) == [{"is_active": False}]
    time.sleep(1)
    count = len(receiver.to("/paused"))
    time.sleep(2)
    assert len(receiver.to("/paused")) == count
    system.sql("delete from job where id = %s", job_id)


@pytest.mark.parametrize("ended", ["marked as failed", "deleted with its DAG"])
def test_a_row_goes_on_whose_run_was_ended_in_airflow(system: System, receiver: Receiver, ended: str) -> None:
    """Who wants it to stop pauses it. Its next shift begins at once, and not when this one would have ended."""
    path = f"/{ended.partition(' ')[0]}"
    job_id = system.add(ended, receiver.url(path), every="1 second")
    wait_for(lambda: receiver.to(path), "call")
    dag = f"/dags/job_{job_id}"
    [first] = system.api("GET", f"{dag}/dagRuns")["dag_runs"]
    if ended == "marked as failed":
        system.api("PATCH", f"{dag}/dagRuns/{first['dag_run_id']}", {"state": "failed"})
    else:
        system.api("DELETE", dag)
    began = "select run_id from public.dag_run where dag_id = %s and state = 'running' and run_id <> %s"
    wait_for(lambda: system.sql(began, f"job_{job_id}", first["dag_run_id"]), "next shift")
    count = len(receiver.to(path))
    wait_for(lambda: len(receiver.to(path)) > count + 2, "calls of the next shift")
    system.sql("delete from job where id = %s", job_id)


def test_triggering_in_airflow_runs_a_job_once_with_its_conf(system: System, receiver: Receiver) -> None:
    """By Airflow's REST API: at once, with conf over the payload; the try has a log with one readable line."""
    job_id = system.add("by hand", receiver.url("/hand"))
    wait_for(lambda: system.sql("select 1 from public.dag where dag_id = %s", f"job_{job_id}"), "DAG")
    body = {"logical_date": None, "conf": {"url": receiver.url("/conf")}}
    run = system.api("POST", f"/dags/job_{job_id}/dagRuns", body)
    path = f"/dags/job_{job_id}/dagRuns/{run['dag_run_id']}"
    wait_for(lambda: system.api("GET", path)["state"] == "success", "successful run")
    assert (len(receiver.to("/conf")), len(receiver.to("/hand"))) == (1, 0)
    log = json.dumps(system.api("GET", f"{path}/taskInstances/fire/logs/1"))
    assert f"POST 127.0.0.1:{receiver.port} 200" in log
    assert system.sql("select origin from execution where job_id = %s", job_id) == [{"origin": "manual"}]
    wait = system.millrace("jobs", "run", "by hand", "--wait")
    assert wait.returncode == 0, wait.stderr
    assert len(receiver.to("/hand")) == 1


def test_failures_are_retried_by_airflow_where_people_look(system: System, receiver: Receiver) -> None:
    """One occurrence per run: each attempt is a try in Airflow, with the same webhook-id; a 404 has one try."""
    receiver.answers.update({"/flaky": [503, 503], "/gone": [404] * 9})
    soon = datetime.now(timezone.utc) + timedelta(seconds=2)
    flaky = system.add("flaky", receiver.url("/flaky"), run_at=soon, retry_delay="1 second", retry_backoff=1)
    gone = system.add("gone", receiver.url("/gone"), run_at=soon)

    def state(job_id: int) -> str:
        runs = system.api("GET", f"/dags/job_{job_id}/dagRuns")["dag_runs"]
        return str(runs[0]["state"]) if runs else ""

    wait_for(lambda: system.sql("select 1 from public.dag where dag_id = %s", f"job_{gone}"), "DAG")
    wait_for(lambda: state(flaky) == "success", "success at last")
    wait_for(lambda: state(gone) == "failed", "failure")
    tries = system.sql("select dag_id, try_number, duration from public.task_instance where dag_id in (%s, %s)"
                       " order by dag_id", f"job_{flaky}", f"job_{gone}")  # fmt: skip
    assert {row["dag_id"]: row["try_number"] for row in tries} == {f"job_{flaky}": 3, f"job_{gone}": 1}
    assert all(row["duration"] >= 0 for row in tries)
    assert len({call[2] for call in receiver.to("/flaky")}) == 1
    [row] = system.sql("select attempts from execution where job_id = %s", flaky)
    assert [attempt["code"] for attempt in row["attempts"]] == [503, 503, 200]


def test_a_bad_row_says_so_and_hides_nobody(system: System, receiver: Receiver) -> None:
    """An unknown kind and a payload that does not fit are marked, and shown; mended, they run."""
    bad = system.add("bad", receiver.url("/bad"), kind="wehbook", every="1 second")
    good = system.add("good", receiver.url("/good"), every="1 second")
    wait_for(lambda: receiver.to("/good"), "call of the good neighbour")
    wait_for(lambda: system.sql("select 1 from job where id = %s and error like '%%did you mean%%'", bad), "error")
    assert "did you mean" in system.millrace("jobs", "show", "bad").stdout
    system.sql("update job set kind = 'webhook' where id = %s", bad)
    wait_for(lambda: receiver.to("/bad"), "call of the mended row")
    system.sql("delete from job where id in (%s, %s)", bad, good)


@pytest.mark.parametrize("component", ["triggerer", "scheduler", "postgres"])
def test_it_comes_back_by_itself(system: System, receiver: Receiver, component: str) -> None:
    """Killed with SIGKILL, each component comes back; the ledger accounts for every occurrence of the time between."""
    path = f"/{component}"
    job_id = system.add(f"kill {component}", receiver.url(path), every="1 second", misfire="latest")
    wait_for(lambda: len(receiver.to(path)) >= 2, "call")
    os.kill(system.process(component), signal.SIGKILL)
    killed_at = datetime.now(timezone.utc)
    wait_for(lambda: any(call[0] > killed_at + timedelta(seconds=15) for call in receiver.to(path)), "call afterwards")
    system.sql("update job set is_active = false where id = %s", job_id)
    time.sleep(2)
    rows = system.sql("select scheduled_for, status, reason from execution where job_id = %s order by 1", job_id)
    gaps = {later["scheduled_for"] - earlier["scheduled_for"] for earlier, later in pairwise(rows)}
    assert gaps == {timedelta(seconds=1)}
    assert {row["status"] for row in rows} <= {"success", "missed", "skipped"}
    ids = [call[2] for call in receiver.to(path)]
    assert set(ids) <= {webhook_id(job_id, row["scheduled_for"]) for row in rows}
    assert len(ids) - len(set(ids)) <= 1, "only what was being sent when it was killed may be sent again"
    system.sql("delete from job where id = %s", job_id)

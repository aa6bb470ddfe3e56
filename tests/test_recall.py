"""A row whose shift was ended in Airflow is on duty again at once, and a DAG that was deleted there comes back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from sqlalchemy.orm import Session

from include.store import jobs
from include.store.db import DictConnection
from include.store.recall import recall
from include.store.rows import job_from_row
from include.store.why import gather
from include.why import explain
from tests.airflow_rows import add_dag, add_run
from tests.unfired_jobs import account, old_job
from tests.watched import MINUTE, now, watching

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("airflow_session")]

HOUR = timedelta(hours=1)
Insert = Callable[..., int]


def set_next(ours: DictConnection, dag_id: str, at: datetime | None) -> None:
    ours.execute(
        "update public.dag set next_dagrun = %(at)s, next_dagrun_create_after = %(at)s,"
        " next_dagrun_data_interval_start = %(at)s, next_dagrun_data_interval_end = %(at)s where dag_id = %(dag)s",
        {"at": at, "dag": dag_id},
    )


def next_of(ours: DictConnection, dag_id: str) -> dict[str, Any]:
    row = ours.execute(
        "select next_dagrun, next_dagrun_create_after as at, next_dagrun_data_interval_start as begin,"
        " next_dagrun_data_interval_end as due, now() from public.dag where dag_id = %s",
        (dag_id,),
    ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("following", [now() + 3 * HOUR, None], ids=["in hours", "never"])
@pytest.mark.parametrize(("run", "task"), [("failed", "failed"), ("success", "success"), ("running", "failed")])
def test_the_next_run_is_made_now(ours: DictConnection, following: datetime | None, run: str, task: str) -> None:
    """Whatever the run was marked as, or its task alone; also where the schedule would have ended within that shift."""
    add_dag(ours, "job_1")
    add_run(ours, "job_1", now() - HOUR, run, task=task)
    set_next(ours, "job_1", following)
    assert recall(ours, ["job_1", "job_2"]) == ["job_1"]
    made = next_of(ours, "job_1")
    assert made["now"] - 10 * MINUTE < made["at"] == made["due"] <= made["now"]
    assert made["next_dagrun"] == made["begin"] == made["due"] - MINUTE  # longer than that of a run of one occurrence
    assert recall(ours, ["job_1"]) == [], "once is enough"


@pytest.mark.parametrize(
    ("run", "task", "ahead"),
    [("running", "deferred", 3 * HOUR), ("queued", "scheduled", 3 * HOUR), ("failed", "failed", -MINUTE)],
    ids=["on duty", "cleared", "about to be made"],
)
def test_who_is_on_duty_is_not_called(ours: DictConnection, run: str, task: str, ahead: timedelta) -> None:
    """A run that lasts, one that begins again, and one that the scheduler is about to make."""
    add_dag(ours, "job_1")
    add_run(ours, "job_1", now() - HOUR, run, task=task)
    following = now() + ahead
    set_next(ours, "job_1", following)
    assert recall(ours, ["job_1"]) == []
    assert next_of(ours, "job_1")["at"] == following


def test_a_run_by_hand_is_nobody_on_duty(ours: DictConnection) -> None:
    """It does one thing, and ends."""
    add_dag(ours, "job_1")
    add_run(ours, "job_1", now() - HOUR, "failed")
    add_run(ours, "job_1", now() - MINUTE, "running", run_type="manual", task="deferred")
    set_next(ours, "job_1", now() + HOUR)
    assert recall(ours, ["job_1"]) == ["job_1"]


async def test_the_watchdog_sees_what_was_ended_while_nobody_was_there(
    ours: DictConnection, airflow_url: str, insert: Insert
) -> None:
    """A fast job and the pumps are on duty again; a slow job, which has no shift, runs when it is due."""
    fast = old_job(ours, every="10 seconds")
    slow = old_job(ours, every="10 minutes")
    paused = old_job(ours, every="10 seconds", is_active=False)
    dag_ids = [f"job_{fast}", f"job_{slow}", f"job_{paused}", "millrace_timers"]
    for dag_id in dag_ids:
        add_dag(ours, dag_id)
        add_run(ours, dag_id, now() - HOUR, "failed")
        set_next(ours, dag_id, now() + HOUR)
    async with watching(airflow_url):
        called = [dag_id for dag_id in dag_ids if next_of(ours, dag_id)["at"] <= now()]
    assert called == [f"job_{fast}", "millrace_timers"]


def test_why_says_that_its_run_was_ended(ours: DictConnection) -> None:
    """Of a job that is due every second something is always due just now; what matters is that nothing has run."""
    ours.execute("insert into lease values (gen_random_uuid(), now() + interval '1 minute')")
    for component in ("SchedulerJob", "TriggererJob", "DagProcessorJob"):
        ours.execute("insert into public.job (job_type, latest_heartbeat) values (%s, now())", (component,))
    job_id = old_job(ours, every="1 second")
    account(ours, job_id, now() - MINUTE)
    add_dag(ours, f"job_{job_id}")
    run_id = add_run(ours, f"job_{job_id}", now() - HOUR, "failed", length=59 * MINUTE)
    set_next(ours, f"job_{job_id}", now() + HOUR)
    job = job_from_row(jobs.find(ours, str(job_id)))
    why = explain(gather(ours, job, now()))
    assert why[0].startswith("nothing is known of ")
    assert f"its run {run_id} was ended in Airflow" in why[1]
    assert "the next one begins at" in why[1]
    account(ours, job_id, datetime.now(timezone.utc))
    assert explain(gather(ours, job, now()))[0].startswith("it did run: ")


@pytest.mark.parametrize("table", ["job", "connector", "workflow", "millrace"])
def test_a_deleted_dag_is_parsed_again(ours: DictConnection, airflow_session: Session, table: str) -> None:
    """Its file is asked for as by Airflow's own button: the row, which is still there, has a DAG again."""
    ours.execute("insert into job (id, name, kind) overriding system value values (7, 'a', 'ping')")
    ours.execute("insert into connector (id, name, kind) overriding system value values (7, 'b', 'webhook')")
    ours.execute(
        "insert into workflow (id, name, owner, connector_id, kind) overriding system value values (7,'c','d',7,'ping')"
    )
    dag_id = "millrace_timers" if table == "millrace" else f"{table}_7"
    for each in (dag_id, "job_8", "somebody_elses"):
        add_dag(ours, each)
        for what in ("task_instance", "dag_run", "serialized_dag", "dag_code", "dag_version", "dag"):
            ours.execute(f"delete from public.{what} where dag_id = %s".encode(), (each,))
    asked = ours.execute("select bundle_name, relative_fileloc from public.dag_priority_parsing_request").fetchall()
    assert asked == [{"bundle_name": "millrace", "relative_fileloc": "a.py"}]

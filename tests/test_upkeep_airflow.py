"""Upkeep of Airflow's own tables: what is over and old goes, what Airflow goes on from stays, what is stuck goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from sqlalchemy.orm import Session

from include.store.db import DictConnection
from tests.airflow_rows import add_dag, add_run, add_version, run_ids
from tests.log_rows import add_connector
from tests.test_store import one
from tests.upkeep_rounds import DAY, NOW, changed, count, execution, round_of

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("airflow_session")]

HOUR = timedelta(hours=1)
DEAD = "00000000-0000-0000-0000-000000000000"


async def test_old_runs_go_with_all_that_is_theirs(airflow_url: str, ours: DictConnection) -> None:
    """A run that ended long ago goes, with its tasks, their history and their XComs; the newest of each kind stays, and
    what has not ended; anybody's DAGs, not ours alone."""
    add_dag(ours, "etl")
    kept = [add_run(ours, "etl", NOW - 30 * DAY, "running"), add_run(ours, "etl", NOW - 20 * DAY, run_type="manual")]
    for age in (40, 21, 9):
        add_run(ours, "etl", NOW - age * DAY)
    kept.append(add_run(ours, "etl", NOW - 8 * DAY))
    add_run(ours, "etl", NOW - 35 * DAY, "failed", run_type="manual")
    late = add_run(ours, "etl", NOW - 12 * DAY, length=6 * DAY)  # ended six days ago
    assert await changed(airflow_url, "runs", dry_run=True) == [4]
    assert await changed(airflow_url, "runs") == [4]
    assert sorted(run_ids(ours, "etl")) == sorted([*kept, late])
    for table in ("task_instance", "task_instance_history", "xcom"):
        assert count(ours, f"public.{table}") == 4


async def test_the_run_for_the_newest_date_stays(airflow_url: str, ours: DictConnection) -> None:
    """Where Airflow goes on from is the run for the newest date, although others ran after it, as backfills may."""
    add_dag(ours, "etl")
    runs = [add_run(ours, "etl", NOW - age * DAY, run_type="backfill") for age in (40, 30, 20)]
    ours.execute("update public.dag_run set logical_date = %s where run_id = %s", (NOW - 10 * DAY, runs[0]))
    assert await changed(airflow_url, "runs") == [1]
    assert run_ids(ours, "etl") == [runs[0], runs[2]]


async def test_events_that_a_dag_is_still_to_run_for_stay(airflow_url: str, ours: DictConnection) -> None:
    """While a DAG waits for its run, the events of its asset that the run is for are there; those that came after them
    go by age."""
    add_dag(ours, "consumer")
    for name in ("a", "b"):
        ours.execute(
            'insert into public.asset (name, uri, "group", extra, created_at, updated_at)'
            " values (%s, %s, 'asset', '{}', now(), now())",
            (name, name),
        )
    ours.execute(
        "insert into public.asset_event (asset_id, extra, timestamp) select id, '{}', %s - make_interval(days => n)"
        " from public.asset, unnest(array[8, 9, 10]) as n",
        (NOW,),
    )
    ours.execute(
        "insert into public.asset_dag_run_queue (asset_id, target_dag_id, created_at)"
        " select id, 'consumer', %s from public.asset where name = 'a'",
        (NOW - 9.5 * DAY,),
    )
    assert await changed(airflow_url, "asset_events") == [3]
    left = ours.execute(
        "select name, date_part('day', %s - timestamp)::int as age from public.asset_event e"
        " join public.asset a on a.id = e.asset_id order by 1, 2",
        (NOW,),
    ).fetchall()
    assert [tuple(row.values()) for row in left] == [("a", 8), ("a", 10), ("b", 8)]


async def test_a_run_that_somebody_has_locked_is_left_alone(airflow_url: str, ours: DictConnection) -> None:
    """The scheduler, or a person who clears a run, is never waited for, and the rest goes."""
    add_dag(ours, "etl")
    runs = [add_run(ours, "etl", NOW - age * DAY) for age in (40, 30, 20)]
    with psycopg.connect(airflow_url) as clearing:
        clearing.execute("select from public.dag_run where run_id = %s for update", (runs[0],))
        assert await changed(airflow_url, "runs") == [1]
    assert run_ids(ours, "etl") == [runs[0], runs[2]]


async def test_removing_a_run_does_nothing_to_its_execution(
    airflow_url: str, ours: DictConnection, insert: Callable[..., int]
) -> None:
    """What became of a job is not changed by what is removed of Airflow's."""
    job_id = insert()
    add_dag(ours, f"job_{job_id}")
    run_id = add_run(ours, f"job_{job_id}", NOW - 20 * DAY)
    add_run(ours, f"job_{job_id}", NOW - 19 * DAY)
    execution(ours, job_id, NOW - 20 * DAY, "retrying", dag_run_id=run_id)
    assert await changed(airflow_url, "runs") == [1]
    assert one(ours, "select status from execution") == {"status": "retrying"}


async def test_old_versions_of_dags_go_unless_a_task_was_made_by_them(airflow_url: str, ours: DictConnection) -> None:
    """Of a DAG the newest version stays, and those of runs that are kept; with a version its code goes."""
    add_dag(ours, "etl", parsed_at=NOW - 40 * DAY)
    add_version(ours, "etl", 2, NOW - 30 * DAY)
    add_run(ours, "etl", NOW - 29 * DAY)
    add_version(ours, "etl", 3, NOW - 20 * DAY)
    add_version(ours, "etl", 4, NOW - 10 * DAY)
    assert await changed(airflow_url, "versions") == [2]
    numbers = ours.execute("select version_number as n from public.dag_version order by 1").fetchall()
    assert [row["n"] for row in numbers] == [2, 4]
    assert (count(ours, "public.dag_code"), count(ours, "public.serialized_dag")) == (2, 2)


async def test_the_dag_of_a_deleted_row_goes_with_its_runs(
    airflow_url: str, ours: DictConnection, insert: Callable[..., int]
) -> None:
    """A week after it was last built, nothing is left in Airflow of a row that is gone; DAGs of rows that are there
    stay, whatever Airflow thinks of them, and so do other people's."""
    job_id, gone = insert(), 10_000_001
    for dag_id in (f"job_{job_id}", f"job_{gone}", "workflow_77", "etl", "job_x"):
        add_dag(ours, dag_id, is_stale=True, parsed_at=NOW - 8 * DAY)
        add_run(ours, dag_id, NOW - 9 * DAY)
    add_dag(ours, f"job_{gone + 1}", is_stale=True, parsed_at=NOW - 6 * DAY)
    assert await changed(airflow_url, "runs", "dags") == [2, 2]
    left = ours.execute("select dag_id from public.dag order by 1").fetchall()
    assert {row["dag_id"] for row in left} == {f"job_{job_id}", f"job_{gone + 1}", "etl", "job_x"}


async def test_a_task_without_a_trigger_begins_anew(airflow_url: str, ours: DictConnection) -> None:
    """A task of ours that waits for a trigger which is not there is given back to the scheduler, once it has been so
    for ten minutes; one that has its trigger is left alone, and so is other people's."""
    for dag_id in ("job_1", "millrace_timers", "etl"):
        add_dag(ours, dag_id)
        add_run(ours, dag_id, NOW - HOUR, "running", task="deferred")
    add_run(ours, "job_1", NOW - timedelta(minutes=5), "running", task="deferred")
    add_run(ours, "job_1", NOW - 2 * HOUR, "running", task="deferred")
    ours.execute(
        "with t as (insert into public.trigger (classpath, kwargs, created_date) values ('x', '{}', now())"
        " returning id) update public.task_instance set trigger_id = t.id from t where run_id = %s",
        (run_ids(ours, "job_1")[0],),
    )
    assert await changed(airflow_url, "stuck_tasks") == [2]
    states = ours.execute("select dag_id, state from public.task_instance order by dag_id, start_date").fetchall()
    assert [tuple(row.values()) for row in states] == [
        ("etl", "deferred"),
        ("job_1", "deferred"),
        ("job_1", None),
        ("job_1", "deferred"),
        ("millrace_timers", None),
    ]


async def test_a_run_of_a_deleted_row_ends(airflow_url: str, ours: DictConnection, insert: Callable[..., int]) -> None:
    """Airflow never looks again at the runs of a DAG that is gone: they have failed an hour later, with their tasks;
    not while a worker is at one, and not those of rows that are there."""
    job_id, connector_id = insert(), add_connector(ours)
    for dag_id in (f"job_{job_id}", f"connector_{connector_id}", "job_90000", "job_90001", "job_90002"):
        add_dag(ours, dag_id, is_stale=dag_id != "job_90002")
        add_run(ours, dag_id, NOW - 2 * HOUR, "running", task="deferred")
    ours.execute(
        "update public.task_instance set state = 'running', last_heartbeat_at = %s where dag_id = 'job_90001'", (NOW,)
    )
    assert await changed(airflow_url, "stuck_runs") == [1]
    ended = "select r.dag_id, t.state from public.dag_run r join public.task_instance t using (dag_id, run_id)"
    assert one(ours, f"{ended} where r.state = 'failed'") == {"dag_id": "job_90000", "state": "failed"}


async def test_an_execution_that_nobody_goes_on_with_is_ended(
    airflow_url: str, ours: DictConnection, insert: Callable[..., int]
) -> None:
    """An execution whose owner is dead, and to which no run comes back, has failed and can be redriven, or was
    cancelled if its job is gone; whatever somebody alive, a run, or a redrive will see to is left to them."""
    job_id, other = insert(), insert(name="other")
    alive = one(ours, "insert into lease values (gen_random_uuid(), now() + interval '1 minute') returning owner")[
        "owner"
    ]
    add_dag(ours, f"job_{job_id}")
    add_dag(ours, f"job_{other}")
    over = add_run(ours, f"job_{job_id}", NOW - 5 * HOUR, "failed", run_type="manual")
    add_run(ours, f"job_{other}", NOW - 5 * HOUR, "running")
    begun = {"started_at": NOW - 5 * HOUR, "attempt": 1, "claim": 1}
    rows: dict[str, tuple[int, dict[str, Any]]] = {
        "by hand, its run is over": (job_id, {"origin": "manual", "dag_run_id": over, "claimed_by": DEAD}),
        "scheduled, no run": (job_id, {"claimed_by": DEAD}),
        "waits for a retry that nobody makes": (job_id, {"status": "retrying"}),
        "of a job that is gone": (99_999, {"claimed_by": DEAD}),
        "somebody is at work": (job_id, {"claimed_by": alive}),
        "to be redriven": (job_id, {"claimed_by": DEAD, "redrive_at": NOW}),
        "a shift comes back": (other, {"claimed_by": DEAD}),
        "begun just now": (job_id, {"claimed_by": DEAD, "started_at": NOW}),
    }
    for number, (job, columns) in enumerate(rows.values()):
        given = {"status": "running", **begun, **columns}
        execution(ours, job, NOW - 5 * HOUR + timedelta(minutes=number), given.pop("status"), **given)
    assert await changed(airflow_url, "abandoned_executions", dry_run=True) == [4]
    assert await changed(airflow_url, "abandoned_executions") == [4]
    found = ours.execute("select status, reason, claimed_by from execution order by scheduled_for").fetchall()
    failed = {"status": "failed", "reason": "nobody went on with it", "claimed_by": None}
    assert found[:4] == [failed] * 3 + [{"status": "cancelled", "reason": "the job was deleted", "claimed_by": None}]
    assert [row["status"] for row in found[4:]] == ["running"] * 4
    assert one(ours, "select failures from job_health where job_id = %s", job_id)["failures"] == 3


async def test_what_airflow_notes_goes_by_age(airflow_url: str, ours: DictConnection) -> None:
    """What happened to runs, events, callbacks and processes go after a week, but for the newest event of an asset and
    the newest process of a kind; what people did stays as long as the audit."""
    for age in (6, 8, 400):
        at = NOW - age * DAY
        ours.execute(
            "insert into public.log (dttm, event, run_id) values (%s, 'success', 'r'), (%s, 'clear', null)", (at, at)
        )
        ours.execute(
            "insert into public.job (job_type, state, latest_heartbeat) values ('TriggererJob', 'failed', %s)", (at,)
        )
        ours.execute(
            "insert into public.callback (id, type, fetch_method, data, state, priority_weight, created_at)"
            " select gen_random_uuid(), 'a', 'b', '{}', state, 1, %s from unnest(array['success', 'queued']) as state",
            (at,),
        )
    ours.execute(
        'with a as (insert into public.asset (name, uri, "group", extra, created_at, updated_at)'
        "  values ('a', 'a', 'asset', '{}', now(), now()) returning id)"
        " insert into public.asset_event (asset_id, extra, timestamp) select a.id, '{}', %s - make_interval(days => n)"
        " from a, unnest(array[8, 9, 30]) as n",
        (NOW,),
    )
    names = ("log_entries", "asset_events", "callbacks", "processes")
    done = await round_of(airflow_url, *names)
    assert done is not None
    assert {name: (chore.changed, chore.error) for name, chore in done.items()} == {
        "log_entries": (3, None),
        "asset_events": (2, None),
        "callbacks": (2, None),
        "processes": (2, None),
    }
    ours.execute("delete from public.log; delete from public.job; delete from public.callback")


async def test_indexes_that_got_lost_are_made_again(airflow_url: str, ours: DictConnection) -> None:
    """An index that is missing, or was not made to the end, is made, also while a transaction stays open for a while;
    those that are there are left alone."""
    ours.execute("drop index public.millrace_dag_file")
    ours.execute("update pg_index set indisvalid = false where indexrelid = 'public.millrace_dag_code_dag'::regclass")
    assert await changed(airflow_url, "indexes", dry_run=True) == [2]
    assert await changed(airflow_url, "indexes") == [2]
    assert await changed(airflow_url, "indexes") == [0]
    plan = ours.execute("explain select from public.dag_code where dag_id = 'a'").fetchall()
    assert plan


def test_every_table_is_known(ours: DictConnection, airflow_session: Session) -> None:
    """A table that somebody adds is given its place in the decision on upkeep, which says why it does not grow."""
    from include.local.home import PROJECT

    page = (PROJECT / "docs" / "decisions" / "0020-upkeep.md").read_text("utf-8")
    tables = ours.execute(
        "select c.relname from pg_class c where relnamespace in ('millrace'::regnamespace, 'public'::regnamespace)"
        " and relkind in ('r', 'p') and not relispartition"
    ).fetchall()
    assert [row["relname"] for row in tables if f"`{row['relname']}`" not in page] == []

"""Rows of Airflow's tables for tests, as its scheduler and triggerer write them: by SQL."""

from __future__ import annotations

from datetime import datetime, timedelta

from include.store.db import DictConnection


def add_dag(db: DictConnection, dag_id: str, *, is_stale: bool = False, parsed_at: datetime | None = None) -> None:
    """A DAG in its first version, with its code."""
    db.execute("insert into public.dag_bundle (name) values ('millrace') on conflict do nothing")
    db.execute(
        "insert into public.dag (dag_id, is_paused, is_stale, bundle_name, relative_fileloc, timetable_type,"
        " partition_mapper_info, max_active_tasks, max_consecutive_failed_dag_runs, has_task_concurrency_limits,"
        " last_parsed_time) values (%s, false, %s, 'millrace', 'a.py', 'x', '{}', 16, 0, false, coalesce(%s, now()))",
        (dag_id, is_stale, parsed_at),
    )
    add_version(db, dag_id, 1, parsed_at)


def add_version(db: DictConnection, dag_id: str, number: int, at: datetime | None = None) -> None:
    db.execute(
        """
        with v as (
            insert into public.dag_version (id, version_number, dag_id, created_at, last_updated)
            values (gen_random_uuid(), %(number)s, %(dag)s, coalesce(%(at)s, now()), now()) returning *
        ), s as (
            insert into public.serialized_dag (id, dag_id, created_at, last_updated, dag_hash, dag_version_id, data)
            select gen_random_uuid(), dag_id, created_at, now(), 'h', id, '{}' from v
        )
        insert into public.dag_code (id, dag_id, fileloc, created_at, last_updated, source_code, source_code_hash,
                                     dag_version_id)
        select gen_random_uuid(), dag_id, 'a.py', created_at, now(), '', 'h', id from v
        """,
        {"dag": dag_id, "number": number, "at": at},
    )


def add_run(
    db: DictConnection,
    dag_id: str,
    at: datetime,
    state: str = "success",
    *,
    run_type: str = "scheduled",
    task: str | None = None,
    length: timedelta = timedelta(hours=1),
) -> str:
    """A run and its task (`task`: the task's state, else that of the run), with an XCom and a history; its id."""
    run_id = f"{run_type}__{at.isoformat()}"
    end = at + length if state in ("success", "failed") else None
    db.execute(
        """
        with r as (
            insert into public.dag_run (dag_id, run_id, run_type, run_after, logical_date, data_interval_start,
                                        data_interval_end, queued_at, start_date, end_date, state, updated_at)
            select %(dag)s, %(run)s, %(type)s, at, at, at, at, at, at, %(end)s, %(state)s, at
            from (select %(at)s::timestamptz as at) as instant returning *
        ), t as (
            insert into public.task_instance (id, task_id, dag_id, run_id, map_index, state, try_number, pool,
                                              pool_slots, start_date, updated_at, dag_version_id)
            select gen_random_uuid(), 'fire', dag_id, run_id, -1, %(task)s, 1, 'default_pool', 1, start_date,
                   start_date,
                   (select id from public.dag_version v where v.dag_id = r.dag_id order by version_number desc limit 1)
            from r returning *
        ), h as (
            insert into public.task_instance_history (task_instance_id, task_id, dag_id, run_id, map_index, try_number,
                                                      pool, pool_slots)
            select gen_random_uuid(), task_id, dag_id, run_id, map_index, 1, pool, 1 from t
        )
        insert into public.xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, timestamp)
        select r.id, 'fire', -1, 'return_value', dag_id, run_id, start_date from r
        """,
        {"dag": dag_id, "run": run_id, "type": run_type, "at": at, "end": end, "state": state, "task": task or state},
    )
    return run_id


def run_ids(db: DictConnection, dag_id: str) -> list[str]:
    rows = db.execute("select run_id from public.dag_run where dag_id = %s order by run_after", (dag_id,))
    return [str(row["run_id"]) for row in rows]

"""The chores in Airflow's tables, which have to be in schema public of the same database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from include.store.upkeep import Chore, Work, sweeping

_MOST_SECONDS = 1800.0  # an index is made in one piece

# What Airflow asks for at every parse and every round, and has no index for: name, table and columns. The start of the
# system makes them, too (airflow_side.sql), in one go; here they are made while all goes on, where they have got lost.
INDEXES: Mapping[str, str] = MappingProxyType(
    {
        "millrace_dag_code_dag": "dag_code (dag_id)",
        "millrace_serialized_dag_dag": "serialized_dag (dag_id, created_at desc)",
        "millrace_dag_run_queued": "dag_run (run_after) where state = 'queued'",
        "millrace_dag_file": "dag (bundle_name, relative_fileloc)",
        "millrace_task_instance_resumed": "task_instance (id) where state <> 'deferred' and trigger_id is not null",
    }
)


async def _indexes(work: Work) -> None:
    """Indexes that Airflow lacks; one whose making was cut off is made again."""
    for name, of in INDEXES.items():
        found = await work.rows("state", index=f"public.{name}")
        if found and found[0]["is_valid"]:
            continue
        work.changed += 1
        if work.dry_run:
            continue
        # It waits for every transaction that has begun before it, and nobody waits behind it.
        await work.db.execute(f"set statement_timeout = '{_MOST_SECONDS:.0f}s'; set lock_timeout = 0".encode())
        if found:
            await work.db.execute(f"drop index concurrently if exists public.{name}".encode())
        await work.db.execute(f"create index concurrently {name} on public.{of}".encode())


CHORES = (
    sweeping("stuck_tasks", "tasks without a trigger begun anew", of_airflow=True),
    sweeping("stuck_runs", "runs of deleted rows ended", of_airflow=True),
    sweeping("abandoned_executions", "executions ended that nobody goes on with", of_airflow=True),
    sweeping("runs", "runs of Airflow removed", of_airflow=True),
    sweeping("versions", "versions of DAGs removed", of_airflow=True),
    sweeping("dags", "DAGs of deleted rows removed", of_airflow=True),
    sweeping("log_entries", "entries of Airflow's log removed", of_airflow=True),
    sweeping("asset_events", "events of assets removed", of_airflow=True),
    sweeping("callbacks", "callbacks removed", of_airflow=True),
    sweeping("processes", "processes of Airflow forgotten", of_airflow=True),
    sweeping("tokens", "withdrawn tokens forgotten", of_airflow=True),
    sweeping("connection_tests", "tests of connections removed", of_airflow=True),
    Chore("indexes", "indexes made", _indexes, of_airflow=True, most_seconds=_MOST_SECONDS),
)

"""A run that Airflow gives up on before it began leaves a row in the ledger: the occurrence has failed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from include.orchestration.operator import WorkerShiftOperator
from include.store.db import DictConnection
from tests.airflow_rows import add_dag, add_run
from tests.upkeep_rounds import execution

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("airflow_session")]

DUE = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
NEVER = "the run never began"
WORKER, TRIGGERER = "WorkerShiftOperator", "ShiftOperator"


def fail(db: DictConnection, due: datetime = DUE, *, run_type: str = "scheduled", on: str = WORKER, **job: Any) -> int:
    """A job whose run fails, in this operator; its id."""
    columns = {"name": "a job", "kind": "ping", "cron": "* * * * *", **job}
    marks = ", ".join(f"%({name})s" for name in columns)
    row: Any = db.execute(f"insert into job ({', '.join(columns)}) values ({marks}) returning id", columns).fetchone()
    dag_id = f"job_{row['id']}"
    add_dag(db, dag_id)
    run = add_run(db, dag_id, due, "running", run_type=run_type)
    db.execute("update public.task_instance set operator = %s where dag_id = %s", (on, dag_id))
    db.execute("update public.dag_run set state = 'failed' where run_id = %s", (run,))
    return int(row["id"])


def rows(db: DictConnection, job_id: int) -> list[tuple[Any, ...]]:
    found = db.execute(
        "select scheduled_for, status, reason, attempt, dag_run_id from execution where job_id = %s", (job_id,)
    )
    return [tuple(row.values()) for row in found]


@pytest.mark.parametrize(("operator", "job"), [(WORKER, {}), (TRIGGERER, {"cron": None, "run_at": DUE})])
def test_an_occurrence_whose_run_never_began_has_failed(
    ours: DictConnection, operator: str, job: dict[str, Any]
) -> None:
    """With the run's name, so that it can be sent again by clearing the run; nothing was attempted."""
    assert rows(ours, fail(ours, on=operator, **job)) == [(DUE, "failed", NEVER, 0, f"scheduled__{DUE.isoformat()}")]


def test_where_another_run_follows_it_accounts_for_what_was_left(ours: DictConnection) -> None:
    """A row for the first occurrence of a shift would hide the others."""
    assert rows(ours, fail(ours, on=TRIGGERER)) == []


def test_a_run_by_hand_or_ahead_of_its_time_leaves_none(ours: DictConnection) -> None:
    """The one is no occurrence, the other is not due."""
    assert rows(ours, fail(ours, run_type="manual")) == []
    assert rows(ours, fail(ours, datetime.now(timezone.utc) + timedelta(minutes=5), name="another job")) == []


def test_what_the_ledger_has_already_stays(ours: DictConnection) -> None:
    """A run that fails because its execution did says nothing new."""
    job_id = fail(ours)
    run = add_run(ours, f"job_{job_id}", DUE - MINUTE, "running")
    execution(ours, job_id, DUE - MINUTE, "success")
    ours.execute("update public.task_instance set operator = %s", (WORKER,))
    ours.execute("update public.dag_run set state = 'failed' where run_id = %s", (run,))
    assert sorted(found[1] for found in rows(ours, job_id)) == ["failed", "success"]


def test_the_operator_is_named_as_airflow_names_it() -> None:
    """The database knows it by its class."""
    assert WorkerShiftOperator.__name__ == WORKER

"""The DAG of upkeep, as Airflow sees it."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.serialization.serialized_objects import DagSerialization

from include.local.home import PROJECT
from include.orchestration.trigger import SHIFTS
from include.orchestration.upkeep import log_folder, upkeep_dag
from include.settings import settings

pytestmark = OF_AIRFLOW


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one, but nobody needs it here."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    settings.cache_clear()


def test_its_shifts_follow_each_other_without_a_gap() -> None:
    """It has one task, which starts in the triggerer; building it twice gives the same; a run per shift, always."""
    dag = upkeep_dag()
    [task] = dag.tasks
    assert (dag.dag_id, task.task_id, task.start_from_trigger, dag.is_paused_upon_creation) == (
        "millrace_upkeep",
        "keep",
        True,
        False,
    )
    assert task.start_trigger_args.trigger_kwargs == {"kind": "upkeep", "id": 1}
    assert "upkeep" in SHIFTS
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(upkeep_dag())
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    assert read.summary == "always on duty", "as Airflow's list of DAGs shows it"
    now = datetime(2026, 11, 22, 10, 20, tzinfo=timezone.utc)
    first = dag.timetable.next_due(now, now)
    second = dag.timetable.next_due(first, now)
    assert second - first == timedelta(seconds=settings().shift_seconds)


def test_its_file_is_cheap_to_parse() -> None:
    """The DAG processor imports nothing of what shifts need."""
    code = (
        "import sys; import include.orchestration.upkeep;"
        " sys.exit(any(name.startswith(('include.shifts.post', 'include.egress')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0


def test_it_knows_where_airflow_writes_its_logs() -> None:
    """The folder is the one of Airflow's own setting."""
    assert log_folder().name == "logs"

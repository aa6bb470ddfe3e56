"""The DAG of the pumps, which fire timers and redrive dead letters: always on duty, a run per shift."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from include.orchestration.operator import ShiftOperator
from include.orchestration.timetable import ShiftTimetable
from include.settings import settings


def pump_dag() -> DAG:
    """One task per pump; each run takes over from the one before it, on the instant."""
    with DAG(
        dag_id="millrace_timers",
        dag_display_name="Millrace: timers",
        schedule=ShiftTimetable.always(),
        catchup=False,
        max_active_runs=3,
        tags=["millrace"],
    ) as dag:
        for number in range(1, settings().pumps + 1):
            # A pump ends with its shift and never fails; if one does all the same, nothing is more urgent than another.
            ShiftOperator(
                table="timer", row_id=number, task_id=f"pump_{number}", retries=1000, retry_delay=timedelta(seconds=5)
            )
    return dag

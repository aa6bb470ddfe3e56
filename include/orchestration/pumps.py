"""The DAG of the pumps, which fire timers and redrive dead letters: always on duty, a run per shift."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG

from include.orchestration.operator import ShiftOperator
from include.orchestration.timetable import ShiftTimetable
from include.schedule import Schedule
from include.settings import settings

_LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)
_SECOND = timedelta(seconds=1)


def pump_dag() -> DAG:
    """One task per pump; each run takes over from the one before it, on the instant."""
    always = Schedule(anchor=_LONG_AGO, salt=0, every=_SECOND, starts_at=_LONG_AGO)
    with DAG(
        dag_id="millrace_timers",
        dag_display_name="Millrace: timers",
        schedule=ShiftTimetable.of(always, _LONG_AGO, continuous=True),
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

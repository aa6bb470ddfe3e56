"""The DAG of upkeep, which keeps everything else small and watches over it: always on duty, a run per shift.

Its shifts know where Airflow writes its logs; therefore they are here, and not where those of rows are.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.configuration import conf
from airflow.sdk import DAG

from include.orchestration.operator import ShiftOperator
from include.orchestration.timetable import ShiftTimetable

if TYPE_CHECKING:
    from include.shifts.post import Post
    from include.shifts.shift import Ending, Shift

DAG_ID = "millrace_upkeep"


def upkeep_dag() -> DAG:
    """One task; each run takes over from the one before it."""
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="Millrace: upkeep",
        schedule=ShiftTimetable.always(),
        catchup=False,
        max_active_runs=3,
        is_paused_upon_creation=False,
        tags=["millrace"],
    ) as dag:
        ShiftOperator(table="upkeep", row_id=1, task_id="keep", retries=1000, retry_delay=timedelta(seconds=5))
    return dag


async def stand(shift: Shift, post: Post) -> Ending:
    """Be on duty for `shift` and say how it ended."""
    from include.shifts import upkeep  # here, for the DAG processor imports this file and needs none of it

    return await upkeep.stand(shift, post, log_folder())


async def end(shift: Shift, post: Post) -> bool:
    """A person ended the run in Airflow: what is not done, the next one does. Whether this one was to last."""
    return not shift.by_hand


def log_folder() -> Path:
    """Where Airflow writes its logs on this machine."""
    return Path(conf.get_mandatory_value("logging", "base_log_folder"))

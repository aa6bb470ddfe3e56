"""A shift is told by Airflow itself whether there will be a further try, for it retries where there is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.airflow_system import OF_AIRFLOW, a_job  # isort: split

from include.orchestration.task_end import end_event
from include.orchestration.trigger import shift_of
from include.retry import RetryPolicy
from include.shifts.shift import Ending, Shift
from tests.airflow_run import Deferred

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def shift(run: Deferred) -> Shift:
    """The shift of a run, as its trigger makes it of what the triggerer is told."""
    instance: Any = run.trigger().task_instance
    return shift_of("job", 7, instance.get_template_context()["dag_run"], instance)


@pytest.mark.parametrize("schedule", [{"every": 5 * SECOND}, {"every": HOUR, "fixed_delay": True}])
def test_a_run_that_holds_many_has_one_try(airflow_session: Session, schedule: dict[str, Any]) -> None:
    """Of such a row, Airflow retries no run, whatever its retry policy: the shift does."""
    run = Deferred(airflow_session, a_job(7, retry=RetryPolicy(retries=3), **schedule))
    assert shift(run).is_last_try
    assert run.submit(end_event(Ending("retry", "503", 0.01))).state == "failed"


def test_airflow_gives_a_slow_row_as_many_tries_as_it_says(airflow_session: Session) -> None:
    """With one retry, the first try is not the last one, and the second is."""
    run = Deferred(airflow_session, a_job(7, every=HOUR, retry=RetryPolicy(retries=1)))
    assert not shift(run).is_last_try
    assert run.submit(end_event(Ending("retry", "503", 0.0))).state == "up_for_retry"
    run.schedule()
    assert (shift(run).try_number, shift(run).is_last_try) == (2, True)

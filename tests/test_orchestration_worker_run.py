"""What a run is: the same on a worker as in the triggerer, whose Airflow spells it in two ways."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.sdk.api.datamodels._generated import DagRunType as OnWorker
from airflow.utils.types import DagRunType as InTriggerer

from include.orchestration.trigger import shift_of

pytestmark = OF_AIRFLOW

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("run_type", "by_hand"),
    [
        ("scheduled", False),
        ("manual", True),
        (OnWorker.SCHEDULED, False),
        (OnWorker.MANUAL, True),
        (InTriggerer.SCHEDULED, False),
        (InTriggerer.MANUAL, True),
    ],
)
def test_a_scheduled_run_is_none_by_hand(run_type: Any, by_hand: bool) -> None:
    """Only a run by hand has the caller's conf, and is exempt from the schedule's rules."""
    run = SimpleNamespace(run_type=run_type, data_interval_end=NOW, run_id="a run", conf={"url": "x"})
    instance = SimpleNamespace(try_number=1, max_tries=3, task=SimpleNamespace(retries=3))
    shift = shift_of("job", 7, run, instance)
    assert (shift.by_hand, shift.conf) == (by_hand, {"url": "x"} if by_hand else {})

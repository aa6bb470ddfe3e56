"""The operator of every DAG: it starts and ends in the triggerer, and no worker is ever involved."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import StartTriggerArgs

_CLASSPATH = "include.orchestration.trigger.ShiftTrigger"


class ShiftOperator(BaseOperator):
    """Carries identity and nothing else: the trigger reads the row when it fires."""

    start_from_trigger = True

    def __init__(self, *, table: str, row_id: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.row_id = row_id
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=_CLASSPATH, next_method="execute", trigger_kwargs={"kind": table, "id": row_id}
        )

    def execute(self, context: Any, event: Any = None) -> None:
        """Never reached: Airflow goes to the trigger, and the trigger ends the task."""
        raise RuntimeError(
            f"{self.table} {self.row_id} runs in the triggerer; `dag.test()` and workers cannot run it."
            " Trigger its DAG, or use `./millrace jobs run`."
        )

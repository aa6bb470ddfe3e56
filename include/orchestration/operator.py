"""The operators of our DAGs: one starts and ends in the triggerer, the other runs the same shift on a worker."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from airflow.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from airflow.sdk import BaseOperator, RetryDecision, RetryPolicy
from airflow.triggers.base import StartTriggerArgs

from include.actions._process import end_all

_CLASSPATH = "include.orchestration.trigger.ShiftTrigger"

log = logging.getLogger(__name__)


class TryAgain(AirflowException):
    """The shift wants another try, not before `after_seconds` if that is given."""

    def __init__(self, line: str, after_seconds: float | None) -> None:
        super().__init__(line)
        self.after_seconds = after_seconds


class WaitAsTold(RetryPolicy):
    """Waits as the shift says, by the row's retry policy and `Retry-After`, and not as Airflow would.

    Airflow asks it on the worker, after a failure; how many tries there are stays Airflow's business.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any | None = None
    ) -> RetryDecision:
        if isinstance(exception, TryAgain) and exception.after_seconds is not None:
            return RetryDecision.retry(delay=timedelta(seconds=exception.after_seconds))
        return RetryDecision.default()


class WorkerShiftOperator(BaseOperator):
    """Does a shift on a worker, for what must not run in the triggerer: people's own code, which may block."""

    def __init__(self, *, table: str, row_id: int, **kwargs: Any) -> None:
        super().__init__(retry_policy=WaitAsTold(), **kwargs)
        self.table = table
        self.row_id = row_id

    def execute(self, context: Any, event: Any = None) -> str:
        """Do the shift; what it says in the end is the task's return value, or its error."""
        # Airflow would write an asset event for each run that succeeds; ours are written when there are new records.
        self.outlets: list[Any] = []
        ending = asyncio.run(self._stand(context))
        if ending.state == "skipped":
            raise AirflowSkipException(ending.line)
        if ending.state == "failed":
            raise AirflowFailException(ending.line)
        if ending.state == "retry":
            raise TryAgain(ending.line, ending.after_seconds)
        log.info("%s", ending.line)
        return str(ending.line)

    def on_kill(self) -> None:
        """End what the shift has started as processes: a person has ended the task, or its worker is going down."""
        end_all()

    async def _stand(self, context: Any) -> Any:
        # Here and not above: the DAG processor imports this file for every shard and needs none of it.
        from include.orchestration import connections, databases
        from include.orchestration.trigger import SHIFTS, shift_of
        from include.settings import settings
        from include.shifts.post import Post

        post = Post(settings(), connections.find, open_database=databases.open_database, is_on_worker=True)
        await post.open()
        try:
            shift = shift_of(self.table, self.row_id, context["dag_run"], context["ti"])
            return await SHIFTS[self.table].stand(shift, post)
        finally:
            await post.close()


class ShiftOperator(WorkerShiftOperator):
    """Carries identity and nothing else: the trigger reads the row when it fires, and no worker is involved."""

    start_from_trigger = True

    def __init__(self, *, table: str, row_id: int, **kwargs: Any) -> None:
        super().__init__(table=table, row_id=row_id, **kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=_CLASSPATH, next_method="execute", trigger_kwargs={"kind": table, "id": row_id}
        )

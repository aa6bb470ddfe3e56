"""The trigger: the coroutine in which shifts run.

Three rules here are not style. A trigger whose `__init__` raises takes the whole triggerer down with it, again and
again; so `__init__` stores values. An exception that leaves `run` sends the task to a worker; so everything is caught.
Whatever runs after the event is cancelled as if a person had ended the task; so the event is followed by `return`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timezone
from types import MappingProxyType
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from airflow.utils.net import get_hostname

from include.orchestration import connections, upkeep
from include.orchestration.log_channel import lengthen_log
from include.orchestration.task_end import end_event
from include.orchestration.triggerer import hand_over_at_the_end, recall, was_ended
from include.settings import settings
from include.shifts import job, pull, timers, workflow
from include.shifts.post import Post, post
from include.shifts.shift import Ending, Shift

log = logging.getLogger(__name__)

SHIFTS: Mapping[str, Any] = MappingProxyType(  # by table
    {"job": job, "connector": pull, "workflow": workflow, "timer": timers, "upkeep": upkeep}
)
_SHORT_SECONDS = 60.0  # a run of one occurrence: somebody may be waiting for it
_CLASSPATH = "include.orchestration.trigger.ShiftTrigger"


class ShiftTrigger(BaseTrigger):
    """On duty for one row, or as one pump. `kind` is the table, `id` the row, or the pump's number.

    Both are a wire format, stored in Airflow's database.
    """

    def __init__(self, /, kind: Any = None, id: Any = None, **others: Any) -> None:
        super().__init__()
        self.kind = kind
        self.id = id
        self.others = others
        self._shift: Shift | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return _CLASSPATH, {"kind": self.kind, "id": self.id, **self.others}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        began = time.monotonic()
        try:
            ending = await self._stand()
        except Exception:  # anything: see above
            log.exception("the shift broke off; this is a defect of Millrace")
            ending = Ending("failed", "the shift broke off")
        log.log(logging.ERROR if ending.state in ("failed", "retry") else logging.INFO, ending.line)
        channel = lengthen_log()
        if channel is not None and ending.state != "worker":  # then the task, and its log, go on
            await channel.passed_on(hurry=time.monotonic() - began < _SHORT_SECONDS)
        yield end_event(ending)
        return

    async def on_kill(self) -> None:
        """A person ended the run in Airflow; or another triggerer has it now, which is no end.

        The row of a run that was to last goes on with a new one: who wants it to stop pauses it.
        """
        if self._shift is not None and await was_ended(settings().database_url, self.trigger_id):
            was_to_last = await SHIFTS[self.kind].end(self._shift, await _post())
            if was_to_last and self.task_instance is not None:
                await recall(settings().database_url, self.task_instance.dag_id)

    async def _stand(self) -> Ending:
        if self.kind not in SHIFTS:
            return Ending("failed", f"this release has no shifts for rows of {self.kind!r}")
        task_instance = self.task_instance
        if task_instance is not None and not hasattr(task_instance, "get_template_context"):
            # What the triggerer gives to a task that does not start from a trigger: since this run began, the row has
            # become one for workers.
            return Ending("worker", "this kind runs on a worker")
        lengthen_log()
        hand_over_at_the_end(settings().database_url, self.trigger_id, get_hostname())
        run = task_instance.get_template_context()["dag_run"]
        self._shift = shift_of(self.kind, int(self.id), run, task_instance)
        ending: Ending = await SHIFTS[self.kind].stand(self._shift, await _post())
        return ending


def shift_of(table: str, row_id: int, run: Any, task_instance: Any) -> Shift:
    """What Airflow says about a run, and its try."""
    by_hand = run.run_type != "scheduled"  # an enum that is a str; as text, a worker's would be DagRunType.SCHEDULED
    return Shift(
        table=table,
        row_id=row_id,
        due=(run.data_interval_end or run.logical_date or run.run_after).astimezone(timezone.utc),
        run_id=run.run_id,
        try_number=task_instance.try_number,
        # What the triggerer is told of the task instance has 0 for its greatest number of tries.
        is_last_try=task_instance.try_number > max(task_instance.max_tries or 0, task_instance.task.retries or 0),
        by_hand=by_hand,
        conf=dict(run.conf or {}) if by_hand else {},
    )


async def _post() -> Post:
    return await post(settings(), connections.find)

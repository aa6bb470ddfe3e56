"""Dead letters of jobs, sent again: the queue of executions that a person has asked for, for a pump to empty.

Each is continued in its own row, with the same `webhook-id`, by the job as it stands now and its whole retry policy,
whether or not the job is paused. Of one job there is never more than one under way, and none beside an execution that
it must not overlap: that is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from include import registry
from include.shifts.bell import utcnow
from include.shifts.duty import Duty
from include.shifts.post import Post
from include.shifts.pump import Work
from include.shifts.shift import Shift
from include.store.redrives import Asked, Asks

log = logging.getLogger(__name__)


class Redrives:
    """The queue of a pump whose shift is `shift`: of executions whose jobs' kinds run here, and not on a worker.

    A kind that nobody knows is not left waiting: its redrive fails, and says so. One work sees to all of one job.
    """

    def __init__(self, shift: Shift, post: Post) -> None:
        self._shift = shift
        self._post = post
        self._at_work: set[int] = set()
        on_worker = [kind for kind in registry.action_kinds() if registry.action(kind).runs_on == "worker"]
        self._asks = Asks(post.settings.database_url, worker_kinds=on_worker, hold_seconds=post.settings.lease_seconds)

    async def close(self) -> None:
        """Disconnect from the database; what is under way goes on."""
        await self._asks.close()

    async def take(self, most: int) -> Sequence[Work]:
        """As `Queue` says: what is to be sent again now, of at most so many jobs."""
        taken = await self._asks.take(most, at_work=self._at_work)
        return [partial(self._see_to, asked) for asked in taken]

    async def next_at(self) -> datetime | None:
        """As `Queue` says; where all that waits is being seen to, here or elsewhere, when to look again."""
        seconds = await self._asks.next_in(at_work=self._at_work)
        return None if seconds is None else utcnow() + timedelta(seconds=max(seconds, 0.0))

    async def _see_to(self, asked: Asked) -> None:
        """Redrive one execution of a job after another, until none is left that can be redriven now."""
        job_id = asked.job_id
        if job_id in self._at_work:  # taken twice, because the database was away for long
            return
        self._at_work.add(job_id)
        try:
            taken = [asked]
            while taken:
                for due in taken[0].dues:
                    await self._redrive(job_id, due)
                others = self._at_work - {job_id}
                taken = await self._asks.take(1, at_work=others, job_id=job_id)
        except Exception:  # a defect of ours must not end the pump; the lease hands the row to the next owner
            log.exception("job %s: a redrive broke off", job_id)
        finally:
            self._at_work.discard(job_id)

    async def _redrive(self, job_id: int, due: datetime) -> None:
        job = await self._post.ledger.job(job_id)
        if job is None:
            return
        shift = Shift(job_id, due, self._shift.run_id, self._shift.try_number, by_hand=True)
        duty = Duty(shift, self._post, job)
        with self._post.on_duty(duty):
            try:
                made = await duty.execute(due, redrive=True)
            except asyncio.CancelledError:
                await asyncio.shield(duty.abandon())
                raise
        if made is not None:
            log.info("job %s: the execution of %s was redriven: %s %s", job_id, due.isoformat(), made.status, made.line)

"""Dead letters of jobs, sent again: the queue of executions that a person has asked for, for a pump to empty.

Each is continued in its own row, with the same `webhook-id`, by the job as it stands now and its whole retry policy,
whether or not the job is paused. Of one job there is never more than one under way, and none beside an execution that
it must not overlap. Nothing is waited for here: what has to wait is let go of, and comes back when it may be sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from include import registry
from include.deadline import within
from include.shifts.bell import utcnow
from include.shifts.duty import Duty
from include.shifts.post import Post
from include.shifts.precedence import Precedence, own_instant
from include.shifts.pump import Work
from include.shifts.shift import Shift
from include.store.redrives import Asked, Asks

log = logging.getLogger(__name__)

# Redrives get this part of what the process may have under way, and no more than so many.
_PART = 4
_MOST = 50
_HAND_BACK_SECONDS = 5.0
# However many jobs wait, no more than so many a second are looked at.
_LOOKS_A_SECOND = 20


class Redrives:
    """The queue of a pump whose shift is `shift`: of executions whose jobs' kinds run here, and not on a worker.

    A kind that nobody knows is not left waiting: its redrive fails, and says so. One work sees to all of one job.
    """

    def __init__(self, shift: Shift, post: Post) -> None:
        self.room = max(1, min(post.settings.concurrency // _PART, _MOST))
        self._shift = shift
        self._post = post
        self._at_work: set[int] = set()
        self._waiting: set[int] = set()  # jobs of which one could not be made, or is to be made again
        self._precedence: defaultdict[int, Precedence] = defaultdict(Precedence)
        self._is_winding_up = False
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

    def wind_up(self) -> None:
        """As `Queue` says: what has not begun is let go of."""
        self._is_winding_up = True

    async def _see_to(self, asked: Asked) -> None:
        """Redrive one execution of a job after another, until none is left, or one has to wait."""
        job_id = asked.job_id
        if job_id in self._at_work:  # taken twice, because the database was away for long
            return
        self._at_work.add(job_id)
        try:
            waiting = await self._redrive_all(asked)
        finally:
            self._at_work.discard(job_id)
        if waiting is not None:
            due, seconds = waiting
            await self._asks.let_go(job_id, due, seconds)

    async def _redrive_all(self, asked: Asked) -> tuple[datetime, float] | None:
        """Redrive all of a job; or the one that has to wait, and for how many seconds."""
        taken = [asked]
        while taken:
            for due in taken[0].dues:
                seconds = await self._redrive(asked.job_id, due)
                if seconds is not None:
                    return due, seconds
            others = self._at_work - {asked.job_id}
            taken = await self._asks.take(1, at_work=others, job_id=asked.job_id)
        return None

    async def _redrive(self, job_id: int, due: datetime) -> float | None:
        """Make one attempt; or in how many seconds it can be made, or made again."""
        if self._is_winding_up:
            return 0.0
        job = await self._post.ledger.job(job_id)
        if job is None:
            return None
        shift = Shift(job_id, due, self._shift.run_id, self._shift.try_number, by_hand=True)
        duty = Duty(shift, self._post, job)
        precedence, begun_at = self._precedence[job_id], utcnow()
        since = precedence.counts_from(begun_at) if job.overlap == "queue" else begun_at  # there one may be waiting
        if seconds := precedence.wait_seconds(await self._own_instant(duty, since), begun_at):
            return seconds
        with self._post.on_duty(duty):
            try:
                made = await duty.execute(due, redrive=True, release=True, wait=False)
            except asyncio.CancelledError:
                await asyncio.shield(self._hand_back(duty, due))
                raise
        self._waiting.discard(job_id)
        if made is None:
            return None
        if made.status == "retrying":
            self._waiting.add(job_id)
            return max(made.after_seconds, len(self._waiting) / _LOOKS_A_SECOND)
        precedence.made(begun_at, utcnow())
        log.info("job %s: the execution of %s was redriven: %s %s", job_id, due.isoformat(), made.status, made.line)
        return None

    async def _own_instant(self, duty: Duty, since: datetime) -> datetime | None:
        """When the job's own next occurrence is due, if a redrive must not meet it."""
        schedule = duty.job.schedule
        if duty.job.overlap == "allow" or not duty.active:
            return None
        if not schedule.fixed_delay:
            return own_instant(schedule, since)
        board = await self._post.ledger.board(duty.job.id, duty.shift.run_id)
        if board is None or board.ended_at is None or schedule.every is None:
            return None
        return board.ended_at + schedule.every

    async def _hand_back(self, duty: Duty, due: datetime) -> None:
        """For whoever is on duty next; a database that is away has the lease to go by."""
        with suppress(asyncio.TimeoutError):
            await within(_HAND_BACK_SECONDS, duty.abandon())
            await within(_HAND_BACK_SECONDS, self._asks.let_go(duty.job.id, due, 0.0))

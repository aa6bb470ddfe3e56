"""A shift for a pump: timers are sent when they are due, and what people want sent again is.

`row_id` is the number of the pump. Pumps share all timers; what one has claimed the others leave to it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from include.deadline import within
from include.model import Output, Timer
from include.shifts.bell import utcnow
from include.shifts.execution import Attempt, document, judged
from include.shifts.perform import Doing, LeaseLost, entry, perform
from include.shifts.post import Post
from include.shifts.pump import Pump, Work
from include.shifts.redrive import Redrives
from include.shifts.shift import Ending, Shift
from include.store.timers import DueTimers, Outcome, TimerStatus, payload_of

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_HAND_BACK_SECONDS = 5.0

# The tokens of the pumps that are on duty in this process: what the others have claimed here is nobody's any more.
_on_duty: set[int] = set()


async def stand(shift: Shift, post: Post) -> Ending:
    """Be on duty for `shift` and say how it ended. Cancelled, it leaves what is under way to whoever takes over."""
    timers, redrives = Timers(shift, post), Redrives(shift, post)
    pump = Pump(shift, post, [timers, redrives])
    try:
        with post.on_duty(pump):
            if not shift.by_hand and not post.is_relieved(pump):
                post.relieve_others(pump)
            await pump.work()
    finally:  # cancelled, or with outcomes that could not be written: nobody's timer shall wait for this shift
        try:
            await asyncio.shield(timers.abandon())
        finally:
            await timers.close()
            await redrives.close()
    return Ending("success", str(timers))


async def end(shift: Shift, post: Post) -> bool:
    """A person ended the run in Airflow: what it had claimed is left to the other pumps.

    Whether the run was to last, so that this one is missed.
    """
    return not shift.by_hand


def webhook_id(timer_id: int) -> str:
    """The key of a timer: the same for every attempt, and free of dots (Standard Webhooks 1.0.0)."""
    return f"timer_{timer_id}"


class Timers:
    """Due timers as a queue for one pump, which is on duty until `close`."""

    def __init__(self, shift: Shift, post: Post) -> None:
        self.room = post.settings.concurrency
        self._post = post
        self._token = shift.token
        self._due = DueTimers(post.settings.database_url, post.ledger.owner, shift.token)
        self._in_hand: set[int] = set()  # claimed, and the outcome not yet written
        self._begun: set[int] = set()  # of these: those that may have been sent
        self._writing: set[asyncio.Task[bool]] = set()
        self._counts: Counter[TimerStatus] = Counter()
        self._looked_at = float("-inf")
        _on_duty.add(self._token)

    def __str__(self) -> str:
        counted = {"sent": self._counts["fired"], "to be sent again": self._counts["pending"]}
        counted["failed"] = self._counts["failed"]
        return ", ".join(f"{count} {what}" for what, count in counted.items() if count) or "nothing was due"

    async def take(self, most: int) -> Sequence[Work]:
        """Claim due timers, at most so many; now and then those first that somebody left behind."""
        lease = self._post.ledger.lease
        if not self._post.ledger.holds_lease(lease):
            return []  # others would take them over at once
        timers: list[Timer] = []
        if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = time.monotonic()
            timers = await self._due.take_over(most, self._in_hand, _on_duty)
        if len(timers) < most:
            timers += await self._due.take(most - len(timers), utcnow())
        self._in_hand.update(timer.id for timer in timers)
        return [partial(self._fire, timer, lease) for timer in timers]

    async def next_at(self) -> datetime | None:
        """When the next timer is due; without a lease it is nobody's here, so None."""
        if not self._post.ledger.holds_lease(self._post.ledger.lease):
            return None
        return await self._due.next_at()

    def wind_up(self) -> None:
        """As `Queue` says; what is under way begins nothing more anyway."""

    async def abandon(self) -> None:
        """Let go of everything. What a database that is away does not hear is taken over once this pump is off duty."""
        with suppress(asyncio.TimeoutError):
            await within(_HAND_BACK_SECONDS, self._abandon())

    async def close(self) -> None:
        """Disconnect, and go off duty."""
        await self._due.close()
        _on_duty.discard(self._token)

    async def _abandon(self) -> None:
        await asyncio.gather(*self._writing, return_exceptions=True)  # what is known need not be sent again
        await self._due.hand_back(self._begun)

    async def _fire(self, timer: Timer, lease: int) -> None:
        """Make one attempt and write its outcome.

        A timer whose outcome cannot be written stays in hand until the pump goes off duty, and is then for the others.
        """
        self._begun.add(timer.id)
        outcome = await self._attempt(timer, lease)
        writing = asyncio.create_task(self._due.finish(outcome))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        written = await asyncio.shield(writing)
        self._begun.discard(timer.id)
        self._in_hand.discard(timer.id)
        if written and outcome.entry is not None:
            self._counts[outcome.status] += 1
            if outcome.error is not None:
                log.warning("timer %s: attempt %s failed: %s", timer.id, timer.attempt, outcome.error)

    async def _attempt(self, timer: Timer, lease: int) -> Outcome:
        doing = Doing("webhook", payload_of(timer), webhook_id(timer.id), timer.due_at, timer.timeout, timer.delivery)
        started_at = utcnow()
        output: Output | None = None
        error: Exception | None = None
        try:
            output = await perform(self._post, doing, timer.attempt, lease=lease)
        except LeaseLost:
            return Outcome(timer.id, timer.attempt, "pending", started_at, started_at)
        except Exception as caught:  # whatever goes wrong is this timer's failure, and nobody else's
            error = caught
        made = judged(doing, timer.retry, timer.attempt - timer.base_attempt, output, error)
        finished_at = utcnow()
        return Outcome(
            id=timer.id,
            attempt=timer.attempt,
            status=_status(made),
            started_at=started_at,
            finished_at=finished_at,
            entry=entry(timer.attempt, started_at, finished_at, output, error, sent=doing.sent),
            next_at=finished_at + timedelta(seconds=made.after_seconds) if made.status == "retrying" else None,
            output=None if output is None else document(output),
            error=None if error is None else made.line,
            reason=made.reason,
        )


def _status(made: Attempt) -> TimerStatus:
    if made.status == "retrying":
        return "pending"
    return "fired" if made.status == "success" else "failed"

"""A pump: takes what is due out of a queue in the database, and has it done. Several share one queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Protocol

from include.shifts.bell import Bell, utcnow
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.shifts.window import shift_end
from include.store.turns import Ask

log = logging.getLogger(__name__)

# At most so many are taken by one statement.
_AT_ONCE = 500
# Between two takes that did not get as many as they could: what falls due meanwhile is taken together.
_PAUSE_SECONDS = 0.005
# Nobody says so when an owner dies.
_LOOK_AGAIN = timedelta(seconds=1)
_SIGN_EVERY = timedelta(seconds=30)
_NOW = datetime.min.replace(tzinfo=timezone.utc)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)

Work = Callable[[], Awaitable[None]]


class Queue(Protocol):
    """What a pump empties. What `take` has given to one pump, it gives to no other, unless that one dies."""

    async def take(self, most: int) -> Sequence[Work]:
        """What is due now, at most so many; each is to be called once, and writes down itself what became of it."""

    async def next_at(self) -> datetime | None:
        """When something is due next, as things stand; None: nothing is. `post` rings when that changes."""


class Pump:
    """One shift that empties queues, from its start until the next shift of the same number begins.

    Two of one number may be on duty at once: what one has taken, the other does not get. A run by hand takes what is
    due now, and ends.
    """

    def __init__(self, shift: Shift, post: Post, queues: Sequence[Queue]) -> None:
        self.shift = shift
        self.bell = Bell()
        self._post = post
        self._looks = dict.fromkeys(queues, _NOW)  # when each queue is to be asked next
        self._look_at = _NOW  # when all of them are
        self._tasks: set[asyncio.Task[None]] = set()
        length = timedelta(seconds=post.settings.shift_seconds)
        self._border = shift_end(shift.row_id, shift.due, length)
        # Overtime: until relieved, for the scheduler may be down.
        self._until = utcnow() if shift.by_hand else self._border + length
        self._sign_at = _NEVER if shift.by_hand else _NOW
        self._ask = Ask(shift.table, shift.row_id, shift.token)

    def relieve(self, at: datetime) -> None:
        """End at `at` at the latest, because another shift takes over from then on."""
        if at < self._until:
            self._until = at
            self.bell.ring()

    async def work(self) -> None:
        """Have everything done that falls due; then wait for what is under way. Cancelled, it cancels that."""
        try:
            while True:
                took = await self._take_all()
                if utcnow() >= self._until and not (took and self.shift.by_hand):
                    break
                await self._rest()
            while self._tasks:
                await asyncio.wait(set(self._tasks))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take_all(self) -> int:
        """Start what is due in the queues that have something due, as far as there is room; how much that is."""
        if self.bell.rung or utcnow() >= self._look_at:
            self.bell.hush()
            self._looks = dict.fromkeys(self._looks, _NOW)
            self._look_at = utcnow() + _LOOK_AGAIN
        started = 0
        for queue, look_at in self._looks.items():
            most = min(self._room, _AT_ONCE)
            if look_at > utcnow() or not most:
                continue
            try:
                works = await queue.take(most)
                for work in works:
                    self._start(work)
                started += len(works)
                self._looks[queue] = _NOW if len(works) == most else await queue.next_at() or _NEVER
            except Exception:  # what is wrong with one queue must not keep the others waiting
                log.exception("%s: nothing can be taken just now", type(queue).__name__)
                self._looks[queue] = self._look_at
        return started

    async def _rest(self) -> None:
        """Until something is due and there is room for it, the bell rings, or it is time to look again."""
        if utcnow() >= self._sign_at:
            await self._sign_on()
        if not self._room:
            await asyncio.wait(
                set(self._tasks), timeout=_LOOK_AGAIN.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
        next_at = min(self._looks.values())
        if next_at == _NOW:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
        if await self.bell.sleep_until(min(next_at, self._look_at)):
            self._look_at = _NOW

    async def _sign_on(self) -> None:
        """Leave a note for shifts of the same number elsewhere; past the border, end if one of them has left one."""
        turn = await self._post.turns.take(self._ask)
        await self._post.turns.end(self._ask)
        of_another = self._sign_at != _NOW and turn.before not in (None, self.shift.token)
        self._sign_at = utcnow() + _SIGN_EVERY
        if of_another and utcnow() >= self._border:
            self._until = min(self._until, utcnow())

    @property
    def _room(self) -> int:
        return self._post.settings.concurrency - len(self._tasks)

    def _start(self, work: Work) -> None:
        task = asyncio.create_task(_carry_out(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _carry_out(work: Work) -> None:
    try:
        await work()
    except Exception:  # a defect of ours must not end the shift; the lease hands the work to the next owner
        log.exception("a piece of work broke off")

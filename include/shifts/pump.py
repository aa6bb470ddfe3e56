"""A pump: takes what is due out of queues in the database, and has it done. Several pumps share the queues."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Protocol

from include.shifts.bell import Bell, utcnow
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.shifts.window import shift_end
from include.store.turns import Ask

log = logging.getLogger(__name__)

# At most so many are taken by one statement: what is taken and not begun has to be taken again if the process dies.
_AT_ONCE = 100
# Between two takes that did not get as many as they could: what falls due meanwhile is taken together.
_PAUSE_SECONDS = 0.005
# Between two takes that got nothing of what is due: somebody has locked it, or PostgreSQL's clock is behind.
_LONGEST_PAUSE_SECONDS = 0.05
# Nobody says so when an owner dies.
_LOOK_AGAIN = timedelta(seconds=1)
_SIGN_EVERY = timedelta(seconds=30)
_NOW = datetime.min.replace(tzinfo=timezone.utc)
_NEVER = datetime.max.replace(tzinfo=timezone.utc)

Work = Callable[[], Awaitable[None]]


class Queue(Protocol):
    """What a pump empties. What `take` has given to one pump, it gives to no other, unless that one dies."""

    room: int  # so many of its works may be under way in one pump, whatever that has under way of other queues

    async def take(self, most: int) -> Sequence[Work]:
        """What is due now, at most so many; each is to be called once, and writes down itself what became of it."""

    async def next_at(self) -> datetime | None:
        """When something is due next, as things stand; None: nothing is. `post` rings when that changes."""

    def wind_up(self) -> None:
        """The pump was relieved and takes nothing more: what is under way shall begin nothing more, either."""


@dataclass(eq=False, slots=True)
class _Line:
    """A queue, and what one pump has under way of it."""

    queue: Queue
    look_at: datetime = _NOW  # when it is to be asked next
    pause_seconds: float = _PAUSE_SECONDS
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def room(self) -> int:
        return self.queue.room - len(self.tasks)


class Pump:
    """One shift that empties queues, from its start until the next shift of the same number begins.

    Two of one number may be on duty at once: what one has taken, the other does not get. A run by hand takes what is
    due now, and ends.
    """

    def __init__(self, shift: Shift, post: Post, queues: Sequence[Queue]) -> None:
        self.shift = shift
        self.bell = Bell()
        self._post = post
        self._lines = [_Line(queue) for queue in queues]
        self._look_at = _NOW  # when all of them are to be asked next
        self._rings = 0  # how often the bell was rung: by others, as far as that was seen to, and by this pump itself
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
                if utcnow() >= self._until and not (self.shift.by_hand and (took or self._is_full)):
                    break
                await self._rest()
            if not self.shift.by_hand:
                for line in self._lines:
                    line.queue.wind_up()
            while tasks := self._tasks:
                await asyncio.wait(tasks)
        finally:
            tasks = self._tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _tasks(self) -> set[asyncio.Task[None]]:
        return {task for line in self._lines for task in line.tasks}

    @property
    def _is_full(self) -> bool:
        return any(not line.room for line in self._lines)

    async def _take_all(self) -> int:
        """Start what is due in the queues that have something due, as far as there is room; how much that is."""
        self.bell.hush()
        if self.bell.rings != self._rings or utcnow() >= self._look_at:
            self._rings = self.bell.rings
            self._look_at = utcnow() + _LOOK_AGAIN
            for line in self._lines:
                line.look_at = _NOW
        started = 0
        for line in self._lines:
            if line.room and line.look_at <= utcnow():
                started += await self._take(line)
        return started

    async def _take(self, line: _Line) -> int:
        most = min(line.room, _AT_ONCE)
        works: Sequence[Work] = ()
        try:
            works = await line.queue.take(most)
            for work in works:
                self._start(line, work)
            line.look_at = _NOW if len(works) == most else await self._next_look(line, took=bool(works))
        except Exception:  # what is wrong with one queue must not keep the others waiting
            log.exception("%s: nothing can be taken just now", type(line.queue).__name__)
            line.look_at = self._look_at
        return len(works)

    async def _next_look(self, line: _Line, *, took: bool) -> datetime:
        """When a queue is to be asked next; one that has something due and does not give it, less and less often."""
        next_at = await line.queue.next_at() or _NEVER
        if took or next_at > utcnow():
            line.pause_seconds = _PAUSE_SECONDS
            return next_at
        pause = timedelta(seconds=line.pause_seconds)
        line.pause_seconds = min(line.pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        return utcnow() + pause

    async def _rest(self) -> None:
        """Until something is due and there is room for it, the bell rings, or it is time to look again."""
        if utcnow() >= self._sign_at:
            await self._sign_on()
        next_at = min((line.look_at for line in self._lines if line.room), default=_NEVER)
        if next_at == _NOW:
            return
        await asyncio.sleep(_PAUSE_SECONDS)
        await self.bell.sleep_until(min(next_at, self._look_at))

    async def _sign_on(self) -> None:
        """Leave a note for shifts of the same number elsewhere; past the border, end if one of them has left one."""
        turn = await self._post.turns.take(self._ask)
        await self._post.turns.end(self._ask)
        of_another = self._sign_at != _NOW and turn.before not in (None, self.shift.token)
        self._sign_at = utcnow() + _SIGN_EVERY
        if of_another and utcnow() >= self._border:
            self._until = min(self._until, utcnow())

    def _start(self, line: _Line, work: Work) -> None:
        task = asyncio.create_task(_carry_out(work))
        line.tasks.add(task)
        task.add_done_callback(partial(self._ended, line))

    def _ended(self, line: _Line, task: asyncio.Task[None]) -> None:
        if not line.room:  # that may be all this pump waits for; the queues have nothing new to say
            self._rings += 1
            self.bell.ring()
        line.tasks.discard(task)


async def _carry_out(work: Work) -> None:
    try:
        await work()
    except Exception:  # a defect of ours must not end the shift; the lease hands the work to the next owner
        log.exception("a piece of work broke off")

"""A shift that goes its rounds: what connectors and workflows have in common.

It is on duty from its first occurrence until the next shift takes over. At each occurrence, or when the last round
asked to be followed by another one, it does its work for the row, if it is its turn.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

from include.schedule import Schedule
from include.shifts.bell import Bell, utcnow
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.shifts.window import shift_end
from include.store.turns import Ask, Turn

ASK_AGAIN = timedelta(seconds=0.5)
_FAR = timedelta(days=36_500)


class Row(Protocol):
    """What goes on with one row. `ending` is set when the shift is to end with it; `is_called`, by `reload`, when
    somebody waits for the next round.
    """

    ending: Ending | None
    is_called: bool

    @property
    def schedule(self) -> Schedule: ...

    @property
    def is_active(self) -> bool: ...

    @property
    def paused_until(self) -> datetime | None: ...

    async def reload(self) -> bool:
        """Read the row again, for it may have changed; False if it was deleted."""

    async def round(self) -> datetime | None:
        """Do what is to be done now; return when to do it again at the earliest, None: at the next occurrence."""


class Rounds:
    """One shift on its rounds. `border`: the next shift's begin; `until`: this one's end.

    `lease` is the one that protects the turn it took last; `was_done`: it could not, for another has done its work.
    """

    def __init__(self, shift: Shift, post: Post) -> None:
        self.shift = shift
        self.post = post
        self.bell = Bell()
        self.border = shift.due + _FAR
        self.until = self.border
        self.lease = 0
        self.was_done = False
        self._woke_for = shift.due
        self._ask = Ask(shift.table, shift.row_id, shift.token)

    def relieve(self, at: datetime) -> None:
        """End at `at` at the latest, because another shift takes over from then on."""
        if at < self.until:
            self.until = at
            self.bell.ring()

    @property
    def over(self) -> bool:
        """Whether somebody else is on duty by now; asked between two pieces of work."""
        return utcnow() >= self.until

    async def go(self, row: Row) -> None:
        """Go rounds until relieved, or the row says that it is over."""
        shift = self.shift
        while await self.bell.sleep_until(shift.due):  # until then the shift before is on duty
            if not await row.reload():
                return
        length = timedelta(seconds=self.post.settings.shift_seconds)
        self.border = shift_end(shift.row_id, shift.due, length)
        self.until = self.border + length  # overtime: until relieved, for the scheduler may be down
        self.post.relieve_others(self)
        asked: datetime | None = shift.due
        while True:
            at = row.schedule.next_after(utcnow()) if asked is None else asked
            paused = _pause_of(row, self.border)
            at = paused or at
            if at is None or at >= self.until:
                return
            if await self.bell.sleep_until(at):
                if not await row.reload() or self.over:
                    return
                asked = utcnow() if row.is_called else asked
                continue
            if paused:
                if self.over or utcnow() >= self.border:
                    return
                continue
            if self.post.is_relieved(self):
                return
            self._woke_for = at
            asked = await row.round()
            if row.ending is not None or self.over:
                return

    async def take_turn(self) -> bool:
        """Whether it is this shift's turn now.

        Not if somebody else has done, or is doing, what was due: then nothing is left to do. Past the border, it means
        that this shift is relieved.
        """
        turn = await self._take()
        by_another = turn.before not in (None, self.shift.token)
        # A turn that is not ours, and nobody had it before: somebody was the first to take it at this very moment.
        self.was_done = by_another and turn.before_at is not None and turn.before_at >= self._woke_for
        self.was_done = self.was_done or (turn.before is None and not turn.mine)
        if by_another and utcnow() >= self.border:
            self.until = min(self.until, utcnow())
            self.was_done = True
        if turn.mine and self.was_done:
            await self.end_turn()
        return turn.mine and not self.was_done

    async def await_turn(self) -> None:
        """Wait for the turn, whoever has done what: as a run by hand does."""
        while not (await self._take()).mine:  # noqa: ASYNC110 - the event is in the database
            await asyncio.sleep(ASK_AGAIN.total_seconds())

    async def _take(self) -> Turn:
        lease = self.post.ledger.lease
        turn = await self.post.turns.take(self._ask)
        self.lease = lease
        return turn

    async def end_turn(self) -> None:
        """Give the turn back."""
        await self.post.turns.end(self._ask)


def _pause_of(row: Row, border: datetime) -> datetime | None:
    """When to look again at a row that is paused; None if it is not."""
    if row.is_active and (row.paused_until is None or row.paused_until <= utcnow()):
        return None
    # Airflow makes no shifts for a paused row, so none comes to relieve this one.
    return min(row.paused_until, border) if row.is_active and row.paused_until is not None else border

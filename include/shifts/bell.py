"""A bell per shift: it rings at an instant, or when the row changes."""

from __future__ import annotations

import asyncio
from datetime import datetime

from include.clock import utcnow as utcnow  # as everything here reads it

# Sleep in stretches, and read the clock again after each: the clock may be set while a shift sleeps.
_LONGEST_SLEEP_SECONDS = 30.0


async def sleep_until(instant: datetime) -> None:
    """Sleep until the clock shows `instant`, never less."""
    while (left := (instant - utcnow()).total_seconds()) > 0:  # noqa: ASYNC110 - the event is the clock
        await asyncio.sleep(min(left, _LONGEST_SLEEP_SECONDS))


class Bell:
    """Wakes one sleeper, and counts how often it was rung.

    Cheaper than an event with a time-out: no task is made, which counts at 1,000 a second.
    """

    __slots__ = ("_future", "_rung", "rings")

    def __init__(self) -> None:
        self.rings = 0
        self._future: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        """Wake the sleeper; if nobody sleeps, the next sleep ends at once."""
        self.rings += 1
        self._rung = True
        self._wake()

    @property
    def rung(self) -> bool:
        """Whether it was rung since the last sleep, or since it was told to be quiet."""
        return self._rung

    def hush(self) -> None:
        """Forget that it was rung: whoever was meant has seen to it."""
        self._rung = False

    async def sleep_until(self, instant: datetime) -> bool:
        """Sleep until the clock shows `instant`, never less; return True, early, if the bell was rung."""
        loop = asyncio.get_running_loop()
        while not self._rung:
            left = (instant - utcnow()).total_seconds()
            if left <= 0:
                return False
            self._future = loop.create_future()
            timer = loop.call_later(min(left, _LONGEST_SLEEP_SECONDS), self._wake)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        self._rung = False
        return True

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

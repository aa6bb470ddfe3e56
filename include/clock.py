"""The time of day, as whoever waits for an instant reads it.

It is the machine's clock, as long as that agrees with the database's. Where it does not, because somebody has set it,
or it was never right, it is the database's: by that clock all machines are due together, and nothing that is still to
come is taken for missed. Between two looks at it, it goes on by a clock that nobody can set (`steady_seconds`).
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

# Clocks that are kept right differ by less; so does what a look at the database's may be wrong by.
_TOLERANCE = timedelta(seconds=0.5)
_LONGEST_LOOK_SECONDS = 0.25


def steady_seconds() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine is suspended, where it has one.

    Python's monotonic clock stands still then, on Linux: a lease that is measured by it would outlive its term.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Clock:
    """The clock of one process."""

    def __init__(self) -> None:
        self.seen: tuple[datetime, float] | None = None  # what the database's clock showed, and when (steady)

    def utcnow(self) -> datetime:
        """The time of day, in UTC."""
        now = datetime.now(timezone.utc)
        if self.seen is None:
            return now
        shown, at = self.seen
        true = shown + timedelta(seconds=steady_seconds() - at)
        return now if -_TOLERANCE <= now - true <= _TOLERANCE else true

    def compare(self, shown: datetime, *, asked_at: float) -> None:
        """Note what the database's clock, asked at `asked_at` (`steady_seconds`), has just answered.

        It is taken to have been read last thing: whoever goes by it may be late by what the answer took, never early.
        An answer that took long says too little, and is not used.
        """
        answered_at = steady_seconds()
        if answered_at - asked_at <= _LONGEST_LOOK_SECONDS:
            self.seen = (shown, answered_at)


of_process = Clock()
utcnow = of_process.utcnow

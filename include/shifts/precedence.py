"""A job's own occurrences go before its redrives: these must not meet, and an occurrence that meets one is skipped."""

from __future__ import annotations

from datetime import datetime, timedelta

from include.schedule import Schedule

# As long as an ordinary call takes; from the first redrive on it is known. A long one is not forgotten at once.
_LASTING = timedelta(seconds=0.25)
_FADING = 0.8
# An occurrence is claimed ahead of its instant; and how much longer than the last one a redrive may take.
_MARGIN_SECONDS = 0.2
_LONGER = 1.5
# The outcome of an occurrence is written some milliseconds after its end.
_AFTERWARDS_SECONDS = 0.05
# One that waits for a redrive asks so often whether it has ended.
_ASKED_WITHIN_SECONDS = 0.5
# Where a redrive does not fit in between, it comes all the same, after so many occurrences.
_TIMES = 3


class Precedence:
    """Says when the next redrive of one job may begin; one after another is made."""

    def __init__(self) -> None:
        self._lasting = _LASTING
        self._begun_at: datetime | None = None
        self._times = 0

    def counts_from(self, now: datetime) -> datetime:
        """The job's first own instant after this is the one that matters: it may have come during a redrive."""
        return self._begun_at or now

    def wait_seconds(self, own: datetime | None, now: datetime) -> float:
        """How long the next redrive has to wait, 0 if it may begin; `own` is when the job's own occurrence is due.

        It may begin if it will have ended by then. If it may not, it waits until that occurrence will have ended, which
        takes as long as a redrive. One that fell due during the last redrive may be waiting for its turn.
        """
        self._begun_at = None
        if own is None or self._times == _TIMES:
            return 0.0
        left, lasting = (own - now).total_seconds(), self._lasting.total_seconds()
        if left > lasting * _LONGER + _MARGIN_SECONDS:
            return 0.0
        self._times += 1
        return (left if left > 0 else _ASKED_WITHIN_SECONDS) + lasting + _AFTERWARDS_SECONDS

    def made(self, begun_at: datetime, ended_at: datetime) -> None:
        """A redrive was made."""
        self._begun_at, self._times = begun_at, 0
        self._lasting = max(ended_at - begun_at, self._lasting * _FADING)


def own_instant(schedule: Schedule, after: datetime) -> datetime | None:
    """When the schedule is next due later than `after`, delays included; None: never."""
    due = schedule.next_after(after - schedule.jitter)
    while due is not None and due + schedule.delay(due) <= after:
        due = schedule.next_after(due)
    return None if due is None else due + schedule.delay(due)

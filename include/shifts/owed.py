"""What is owed after a time in which nobody was on duty: the misfire rule.

Occurrences later than `since` and not later than now are owed. By the row's `misfire`:

- `latest`: the newest is executed if it is not later than `max_lateness`; the others are missed.
- `all`: every one that is not later than `max_lateness` is executed, oldest first; the others are missed.
- `skip`: the newest is executed if it is at most a minute late (a restart should not cost an occurrence); else missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from include.model import Job

_GRACE = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)


def latest_start(job: Job, due: datetime) -> datetime:
    """Until when an occurrence is still to be executed."""
    return due + _limit(job) + job.schedule.delay(due)


def first_to_execute(job: Job, since: datetime, now: datetime) -> datetime | None:
    """The oldest owed occurrence that is still to be executed; None if all that is owed is missed."""
    if job.misfire == "all":
        earliest = max(since, now - _limit(job) - job.schedule.jitter - _TICK)
        return next((due for due in job.schedule.between(earliest, now) if now <= latest_start(job, due)), None)
    newest = job.schedule.latest_until(now, since)
    return newest if newest is not None and now <= latest_start(job, newest) else None


def _limit(job: Job) -> timedelta:
    return min(job.max_lateness, _GRACE) if job.misfire == "skip" else job.max_lateness


def missed(job: Job, since: datetime, now: datetime) -> Iterator[datetime]:
    """The owed occurrences that nobody will execute, oldest first; there may be very many."""
    first = first_to_execute(job, since, now)
    for occurrence in job.schedule.between(since, now):
        if first is not None and occurrence >= first:
            return
        yield occurrence

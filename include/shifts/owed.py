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

GRACE = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)


def latest_start(job: Job, due: datetime, grace: timedelta = timedelta(0)) -> datetime:
    """Until when an occurrence is still to be executed; `grace` is the least that a late one is given."""
    return due + max(_limit(job), grace) + job.schedule.delay(due)


def owed_until(job: Job, now: datetime) -> datetime:
    """Until when occurrences are owed: one that still waits for its jitter is not. Jitter never exceeds the gap between
    two, so that there is one at most."""
    newest = job.schedule.latest_until(now, now - job.schedule.jitter - _TICK) if job.schedule.jitter else None
    waits = newest is not None and newest + job.schedule.delay(newest) > now
    return newest - _TICK if waits and newest is not None else now


def first_to_execute(job: Job, since: datetime, now: datetime, grace: timedelta = timedelta(0)) -> datetime | None:
    """The oldest owed occurrence that is still to be executed; None if all that is owed is missed."""
    until = owed_until(job, now)
    if job.misfire == "all":
        earliest = max(since, now - max(_limit(job), grace) - job.schedule.jitter - _TICK)
        dues = job.schedule.between(earliest, until)
        return next((due for due in dues if now <= latest_start(job, due, grace)), None)
    newest = job.schedule.latest_until(until, since)
    return newest if newest is not None and now <= latest_start(job, newest, grace) else None


def missed(job: Job, since: datetime, now: datetime, grace: timedelta = timedelta(0)) -> Iterator[datetime]:
    """The owed occurrences that nobody will execute, oldest first; there may be very many."""
    first = first_to_execute(job, since, now, grace)
    for occurrence in job.schedule.between(since, owed_until(job, now)):
        if first is not None and occurrence >= first:
            return
        yield occurrence


def _limit(job: Job) -> timedelta:
    return min(job.max_lateness, GRACE) if job.misfire == "skip" else job.max_lateness

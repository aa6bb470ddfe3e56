"""When a row fires next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

from include.errors import ConfigError
from include.schedule import Schedule

_TICK = timedelta(microseconds=1)


class Scheduled(Protocol):
    """What fires by itself: a job, a connector or a workflow."""

    @property
    def schedule(self) -> Schedule: ...
    @property
    def is_active(self) -> bool: ...
    @property
    def paused_until(self) -> datetime | None: ...


def fires_after(row: Scheduled, now: datetime) -> Iterator[datetime]:
    """The occurrences to come, by the schedule and `paused_until`; whether the row is active is not asked."""
    try:
        row.schedule.validate()
    except ConfigError:
        return
    instant = now if row.paused_until is None else max(now, row.paused_until - _TICK)
    while (found := row.schedule.next_after(instant)) is not None:
        yield found
        instant = found


def next_fires(row: Scheduled, now: datetime, count: int) -> list[datetime]:
    """The occurrences at which the row as it stands will fire; none while it is paused without an end."""
    return list(islice(fires_after(row, now), count)) if row.is_active else []

"""When: cron, every, once. Pure arithmetic on aware UTC instants; the only clock is the caller's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """The instants at which a row is due."""

    anchor: datetime
    salt: int
    cron: str | None = None
    every: timedelta | None = None
    run_at: datetime | None = None
    timezone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: timedelta = timedelta(0)

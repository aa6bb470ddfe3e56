"""A schedule as a document of its own: what somebody is filling in, and when that would be due."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import Any

from pydantic import Field

from include.documents.fields import ActionKind, Name, Shown, ShownInstant
from include.documents.invalid import InvalidDocumentError
from include.documents.job import JobSettings, check_to_come
from include.errors import MisfitError
from include.schedule import Schedule

_COUNT = 5
_END = datetime.max.replace(tzinfo=timezone.utc)


class ScheduleSettings(JobSettings):
    """When a job is due: `cron`, `every` or `run_at`; what it does may be left out, and is not used."""

    name: Name = Field("schedule", description="Not needed.")
    kind: ActionKind = Field("ping", description="Not needed.")


class Occurrences(Shown):
    """What a schedule means."""

    schedule: str = Field(description="It in words.", examples=["every 5 min"])
    next: list[ShownInstant] = Field(description="When a job that is created now would be due next.")


def document(settings: ScheduleSettings, now: datetime) -> dict[str, Any]:
    """The settings as `Occurrences`; `InvalidDocumentError` if a job could not have them, or would never be due."""
    check_to_come(settings, now)
    schedule = Schedule(
        anchor=now,
        salt=0,
        cron=settings.cron,
        every=settings.every,
        run_at=settings.run_at,
        timezone=settings.timezone,
        starts_at=settings.starts_at,
        ends_at=settings.ends_at,
        jitter=settings.jitter,
        fixed_delay=settings.every_mode == "fixed_delay",
    )
    try:
        schedule.validate()
    except MisfitError as error:
        raise InvalidDocumentError(error.problems) from None
    return {"schedule": schedule.describe(), "next": list(islice(schedule.between(now, _END), _COUNT))}

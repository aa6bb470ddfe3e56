"""Rows of the config tables as the nouns of the model."""

from __future__ import annotations

from datetime import timezone
from typing import Any

from include.model import Job
from include.schedule import Schedule


def job_from_row(row: dict[str, Any]) -> Job:
    """Return the row as a `Job`; whether its schedule and payload make sense is not judged here."""
    return Job(
        id=row["id"],
        name=row["name"],
        owner=row["owner"],
        kind=row["kind"],
        payload=row["payload"],
        schedule=Schedule(
            anchor=row["created_at"].astimezone(timezone.utc),
            salt=row["id"],
            cron=row["cron"],
            every=row["every"],
            run_at=row["run_at"],
            timezone=row["timezone"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            jitter=row["jitter"],
        ),
        overlap=row["overlap"],
        misfire=row["misfire"],
        max_lateness=row["max_lateness"],
        retries=row["retries"],
        retry_delay=row["retry_delay"],
        retry_backoff=row["retry_backoff"],
        timeout=row["timeout"],
        delivery=row["delivery"],
        is_active=row["is_active"],
        paused_until=row["paused_until"],
        revision=row["revision"],
        schedule_revision=row["schedule_revision"],
        schedule_changed_at=row["schedule_changed_at"],
        error=row["error"],
    )

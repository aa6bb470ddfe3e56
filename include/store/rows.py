"""Rows of the config tables as the nouns of the model."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from include.model import Connector, Job, Timer, Workflow
from include.retry import RetryPolicy
from include.schedule import Schedule

# A connector that fails is probed at this rate, a run each, until it recovers.
PROBE_EVERY = timedelta(minutes=5)


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
            fixed_delay=row["every_mode"] == "fixed_delay",
        ),
        overlap=row["overlap"],
        misfire=row["misfire"],
        max_lateness=row["max_lateness"],
        retry=_retry_policy(row),
        timeout=row["timeout"],
        delivery=row["delivery"],
        disable_after=row["disable_after"],
        half_open=row["half_open"],
        probe_every=row["probe_every"],
        notify=row["notify"],
        is_active=row["is_active"],
        paused_until=row["paused_until"],
        revision=row["revision"],
        schedule_revision=row["schedule_revision"],
        schedule_changed_at=row["schedule_changed_at"],
        error=row["error"],
    )


def connector_from_row(row: dict[str, Any]) -> Connector:
    """Return the row as a `Connector`; whether its configuration makes sense is not judged here."""
    every = row["every"]
    probing = every is not None and row["failing_since"] is not None
    return Connector(
        id=row["id"],
        name=row["name"],
        owner=row["owner"],
        kind=row["kind"],
        config=row["config"],
        schedule=Schedule(
            anchor=row["created_at"].astimezone(timezone.utc),
            salt=row["id"],
            every=max(every, PROBE_EVERY) if probing else every,
        ),
        every=every,
        rate_limit=row["rate_limit"],
        budget=row["budget"],
        timeout=row["timeout"],
        alert_after=row["alert_after"],
        notify=row["notify"],
        is_active=row["is_active"],
        paused_until=row["paused_until"],
        cursor=row["cursor"],
        failures=row["failures"],
        failing_since=row["failing_since"],
        not_before=row["not_before"],
        revision=row["revision"],
        schedule_changed_at=row["schedule_changed_at"],
        error=row["error"],
    )


def workflow_from_row(row: dict[str, Any]) -> Workflow:
    """Return the row, with its connector's name as `connector`, as a `Workflow`; not judged either."""
    started_at = row["started_at"].astimezone(timezone.utc)
    return Workflow(
        id=row["id"],
        name=row["name"],
        owner=row["owner"],
        connector_id=row["connector_id"],
        connector_name=row["connector"],
        schedule=Schedule(anchor=started_at, salt=row["id"], every=row["every"]),
        started_at=started_at,
        filter=row["filter"],
        kind=row["kind"],
        payload=row["payload"],
        on_error=row["on_error"],
        batch_size=row["batch_size"],
        retry=_retry_policy(row),
        timeout=row["timeout"],
        is_active=row["is_active"],
        paused_until=row["paused_until"],
        revision=row["revision"],
        schedule_changed_at=row["schedule_changed_at"],
        error=row["error"],
    )


def timer_from_row(row: dict[str, Any]) -> Timer:
    """Return the row as a `Timer`; whether it can be sent is not judged here."""
    return Timer(
        id=row["id"],
        owner=row["owner"],
        url=row["url"],
        method=row["method"],
        headers=row["headers"],
        body=row["body"],
        conn_id=row["conn_id"],
        due_at=row["due_at"],
        retry=_retry_policy(row),
        timeout=row["timeout"],
        delivery=row["delivery"],
        attempt=row["attempt"],
        base_attempt=row["base_attempt"],
    )


def _retry_policy(row: dict[str, Any]) -> RetryPolicy:
    return RetryPolicy(
        retries=row["retries"],
        delay=row["retry_delay"],
        backoff=row["retry_backoff"],
        longest=row["retry_max_delay"],
        jitter=row["retry_jitter"],
        never_on=frozenset(row["no_retry_on"]),
    )

"""A job as a document: what a person may set, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from include import registry
from include.documents.caller import Caller
from include.documents.fields import (
    ActionKind,
    AnyDuration,
    Duration,
    ExternalId,
    Instant,
    JsonObject,
    Name,
    Notify,
    Owner,
    Seconds,
    Shown,
    ShownInstant,
    Storable,
    between,
)
from include.documents.invalid import InvalidDocumentError
from include.documents.permits import connections_of_action
from include.documents.retry import RetrySettings, ShownRetry
from include.documents.state import state
from include.documents.table import Table
from include.fires import next_fires
from include.model import Delivering, Status
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.rows import job_from_row
from include.times import utcnow

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


class JobSettings(RetrySettings):
    """A job: what it does (`kind` and `payload`), and when (`cron`, `every` or `run_at`; none: only by hand)."""

    name: Name = Field(description="A name that no other job of the owner has.", examples=["nightly report"])
    external_id: ExternalId | None = Field(
        None, description="Your own name for the row; creating it again is no second row."
    )
    owner: Owner | None = Field(None, description="Whose it is; yours, unless you are an admin.")
    kind: ActionKind = Field(description="What it does; `GET /kinds` describes them.", examples=["webhook"])
    payload: JsonObject = Field(
        {}, description="The settings of its kind.", examples=[{"url": "https://example.com/hook"}]
    )

    cron: Annotated[str, Field(max_length=200), Storable] | None = Field(
        None, description="Five fields, six with seconds first, or @daily and the like."
    )
    every: Annotated[Duration, between(_SECOND, timedelta(days=366))] | None = Field(None, description="How often.")
    every_mode: Literal["fixed_rate", "fixed_delay"] = Field(
        "fixed_rate",
        description="`every` is counted from due to due, or with `fixed_delay` from the end of the last execution.",
    )
    run_at: Instant | None = Field(None, description="Once, then.")
    timezone: Annotated[str, Field(max_length=64), Storable] = Field(
        "UTC", description="Whose clock `cron` is read by.", examples=["Europe/Berlin"]
    )
    starts_at: Instant | None = Field(None, description="Not due before then.")
    ends_at: Instant | None = Field(None, description="Not due from then on.")
    jitter: Annotated[Duration, between(timedelta(0), _DAY)] = Field(
        timedelta(0), description="Each occurrence is up to so much later, so that rows do not all fire at once."
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        "skip",
        description="While another execution is under way, or waits for its retry: `skip` this one, `queue` it (one "
        "waits), or `allow` both at once.",
    )
    misfire: Literal["skip", "latest", "all"] = Field(
        "latest",
        description="After a time in which nobody was on duty: execute the `latest` missed occurrence, `all`, or "
        "`skip` them.",
    )
    max_lateness: AnyDuration = Field(
        timedelta(hours=1), description="An occurrence that is later than this is missed, and not executed."
    )
    timeout: Annotated[Duration, between(timedelta(milliseconds=1), _DAY)] = Field(
        timedelta(seconds=30), description="How long one attempt may take."
    )
    delivery: Delivering = Field("at_least_once", description="Whether an attempt of unknown outcome is made again.")
    disable_after: int | None = Field(
        None, ge=1, le=1_000_000, description="Pause after so many failed executions in a row."
    )
    half_open: bool = Field(
        False, description="Once disabled, try again every `probe_every`, and go on once that succeeds."
    )
    probe_every: Annotated[Duration, between(_SECOND, timedelta(days=30))] = Field(
        timedelta(minutes=5), description="How often a disabled job is tried again, if it is `half_open`."
    )
    notify: Notify | None = Field(
        None,
        description="Whom to tell of failures: a kind with its payload; `on` may list failure, recovery, warning, "
        "disabled and missed, and an empty list tells nobody. Left out: as the owner's notify says.",
        examples=[{"kind": "slack", "payload": {"conn_id": "slack_default", "channel": "#ops"}}],
    )
    is_active: bool = Field(True, description="Whether it is on duty.")
    paused_until: Instant | None = Field(None, description="Off duty until then.")

    @model_validator(mode="after")
    def _one_schedule(self) -> JobSettings:
        if sum(value is not None for value in (self.cron, self.every, self.run_at)) > 1:
            raise ValueError("write one of cron, every and run_at")
        return self


class LastExecution(Shown):
    """The newest execution of a job."""

    scheduled_for: ShownInstant
    status: Status
    reason: str | None
    error: str | None


class Job(ShownRetry):
    """A job, as it is."""

    id: int
    name: str
    external_id: str | None
    owner: str
    kind: str
    payload: dict[str, Any]
    cron: str | None
    every: Seconds | None
    every_mode: str
    run_at: ShownInstant | None
    timezone: str
    starts_at: ShownInstant | None
    ends_at: ShownInstant | None
    jitter: Seconds
    overlap: str
    misfire: str
    max_lateness: Seconds
    timeout: Seconds
    delivery: str
    disable_after: int | None
    half_open: bool
    probe_every: Seconds
    notify: dict[str, Any] | None
    is_active: bool
    paused_until: ShownInstant | None
    state: Literal["active", "paused", "error"] = Field(description="Whether it is on duty; error: it cannot run.")
    error: str | None = Field(description="Why the row cannot run.")
    schedule: str = Field(description="Its schedule in words.", examples=["every 5m"])
    dag_id: str = Field(description="Its DAG in Airflow.", examples=["job_42"])
    next: ShownInstant | None = Field(description="When it fires next.")
    last: LastExecution | None = Field(
        None, description="Its newest execution; in lists, and where one job is asked for."
    )
    revision: int = Field(description="Its version: the ETag.")
    created_at: ShownInstant
    updated_at: ShownInstant


def document(row: Row, now: datetime) -> dict[str, Any]:
    """A job's row as a `Job`; with its newest execution, if the row brings it as `last_…`."""
    job = job_from_row(row)
    fires = next_fires(job, now, 1)
    return {
        **row,
        "schedule": job.schedule.describe(),
        "dag_id": job.dag_id,
        "state": state(row, now).partition(" ")[0],
        "next": fires[0] if fires else None,
        "last": _last(row),
    }


def _last(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row.get("last_status") is None:
        return None
    return {name: row[f"last_{name}"] for name in ("scheduled_for", "status", "reason", "error")}


def check_to_come(settings: JobSettings, now: datetime) -> None:
    """`InvalidDocumentError` if a new job would never be due, for its only instant has passed."""
    if settings.run_at is not None and settings.run_at <= now:
        raise InvalidDocumentError([("run_at", "not in the future; write a time to come")])


# What only a stored row has; a new one is judged without it.
_UNSTORED: dict[str, Any] = {"id": 0, "revision": 0, "schedule_revision": 0, "error": None}


def _columns(db: DictConnection, caller: Caller, settings: JobSettings, stored: Row | None) -> dict[str, Any]:
    return settings.model_dump(round_trip=True)


def _judge(columns: Mapping[str, Any], stored: Row | None) -> None:
    now = utcnow()
    before = stored or {**jobs.DEFAULTS, **_UNSTORED, "created_at": now, "schedule_changed_at": now}
    registry.vet(job_from_row({**before, **columns}))


def _connections(columns: Mapping[str, Any]) -> frozenset[str]:
    return connections_of_action(columns["kind"], columns["payload"], columns["notify"])


JOBS = Table(
    noun="job",
    settings=JobSettings,
    document=document,
    get=jobs.get,
    by_external_id=jobs.by_external_id,
    insert=jobs.insert,
    change=jobs.change,
    remove=jobs.remove,
    columns=_columns,
    judge=_judge,
    connections=_connections,
)

"""An execution as a document: what became of one occurrence of a job."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from include.documents.attempt import Attempts, WholeAttempts
from include.documents.fields import Instant, Seconds, Shown, ShownInstant
from include.model import Status
from include.store.edits import Row

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# As many digits as lead nowhere beyond the last year that there is.
_MICROSECONDS = re.compile(r"\d{1,17}", re.ASCII)


def _read_due(value: Any) -> Any:
    return instant_of(value) or value if isinstance(value, str) else value


Due = Annotated[
    Instant,
    BeforeValidator(_read_due),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": r"^\d{1,17}$"}]}
    ),
]


class Execution(Shown):
    """What became of one occurrence of a job, with every attempt."""

    job_id: int
    job: str | None = Field(description="The name of the job, as it is now; null: it was deleted.")
    kind: str | None = Field(description="What the job does, as it is now.")
    owner: str | None = Field(description="Whose the job is now.")
    scheduled_for: ShownInstant = Field(description="The occurrence: when it was due.")
    status: Status
    reason: str | None = Field(description="Why it was skipped, missed or cancelled, or waits.")
    origin: str = Field(description="`schedule`, or `manual`: by hand.")
    attempt: int = Field(description="The number of the last attempt; 0: none has begun.")
    attempts: Attempts = Field(description="Those that have ended: when, how long, and what came back.")
    started_at: ShownInstant | None
    finished_at: ShownInstant | None
    lateness: Seconds | None = Field(description="How much later than due the first attempt began.")
    duration: Seconds | None = Field(description="From the beginning of the first attempt to the end of the last.")
    code: int | None = Field(description="The status code of the last attempt.")
    output: dict[str, Any] | None = Field(description="What the last attempt gave.")
    error: str | None
    dag_run_id: str | None = Field(description="Its run in Airflow.")
    try_number: int | None = Field(description="Airflow's try of that run.")
    config_revision: int | None = Field(description="The revision of the job that it was executed by.")
    redrive_at: ShownInstant | None = Field(description="Since when it is to be sent again.")
    discarded_at: ShownInstant | None = Field(description="When somebody gave up on it.")
    webhook_id: str = Field(description="What every call of it carries as `webhook-id`.")


class ExecutedBy(Shown):
    """What a job was to do when it was executed."""

    kind: str
    payload: dict[str, Any] = Field(description="Its settings; a run by hand may have replaced parts of them.")


class WholeExecution(Execution):
    """The same, with what it was executed by, and what each attempt has sent."""

    attempts: WholeAttempts = Field(description="Those that have ended: when, how long, what was sent, what came back.")
    request: ExecutedBy | None = Field(
        description="What the job said at `config_revision`, by which the last attempt was claimed; null where that is"
        " not known any more. What an attempt has sent is in its own `request`."
    )


def document(row: Row) -> dict[str, Any]:
    """An execution's row, with its job's name as `job`, its `kind` and `owner`, as an `Execution`."""
    key = f"job_{row['job_id']}_{microseconds(row['scheduled_for'])}"
    return {**row, "lateness": lateness(row), "duration": duration(row), "code": code(row), "webhook_id": key}


def microseconds(due: datetime) -> int:
    """An instant as whole microseconds since the epoch."""
    return (due - _EPOCH) // _MICROSECOND


def instant_of(text: str) -> datetime | None:
    """What `microseconds` was made of; None if that is not what is written."""
    return _EPOCH + int(text) * _MICROSECOND if _MICROSECONDS.fullmatch(text) else None


def lateness(row: Row) -> timedelta | None:
    """How much later than due the first attempt began, once one has ended."""
    # A claim is made shortly before the instant; the start of an attempt is known once it has ended.
    if row["started_at"] is None or not row["attempts"]:
        return None
    late: timedelta = row["started_at"] - row["scheduled_for"]
    return late


def duration(row: Row) -> timedelta | None:
    """How long it took, once it has ended."""
    if row["started_at"] is None or row["finished_at"] is None:
        return None
    length: timedelta = row["finished_at"] - row["started_at"]
    return length


def code(row: Row) -> int | None:
    """The status code of its last attempt."""
    last = row["attempts"][-1] if isinstance(row["attempts"], list) and row["attempts"] else None
    found = last.get("code") if isinstance(last, dict) else None
    return found if isinstance(found, int) else None  # whatever plain SQL has put there

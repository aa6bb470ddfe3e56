"""A trial as a document: settings of a job that are run once without a job, and what became of that."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field

from include import registry
from include.documents import permits
from include.documents.caller import Caller
from include.documents.fields import Name, Seconds, Shown, ShownInstant
from include.documents.invalid import InvalidDocumentError
from include.documents.job import JobSettings
from include.errors import MisfitError
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.trials import TAKEN_WITHIN

LONGEST = timedelta(minutes=1)
# After an attempt has used up its time, it still ends what it has started, and its worker writes what became of it.
_GRACE = timedelta(minutes=1)


class TrialSettings(JobSettings):
    """A job to be tried out: what it does (`kind` and `payload`), once, now; all else may be left out, and is not used.

    An attempt may take its `timeout`, and at most a minute.
    """

    name: Name = Field("trial", description="Not needed.")

    @property
    def limit(self) -> timedelta:
        """How long the attempt may take."""
        return min(self.timeout, LONGEST)


class Trial(Shown):
    """What became of a trial."""

    id: int | None = Field(description="Where to ask what becomes of it; null: it has ended, and was not stored.")
    kind: str
    status: Literal["running", "success", "failed"] = Field(description="running: a worker is at it, or will be.")
    started_at: ShownInstant | None = Field(description="null: no worker has taken it yet.")
    finished_at: ShownInstant | None
    duration: Seconds | None = Field(description="How long the attempt took.")
    attempts: list[dict[str, Any]] = Field(description="The one attempt, once it has ended, as in an execution.")
    code: int | None = Field(description="The status code of what came back.")
    output: dict[str, Any] | None = Field(description="What it gave.")
    error: str | None


def check(db: DictConnection, caller: Caller, settings: TrialSettings) -> None:
    """Raise what adding such a job would, as far as it concerns what the job does; its schedule is not asked."""
    caller.check_writes()
    owner = caller.owner(settings.owner)
    try:
        registry.action(settings.kind).parse(settings.payload)
    except MisfitError as error:
        raise InvalidDocumentError(error.problems) from None
    caller.check_kind(settings.kind)
    named = permits.connections_of_action(settings.kind, settings.payload, None)
    permits.check_connections(db, caller, owner, named)


def document(row: Row, now: datetime) -> dict[str, Any]:
    """A trial's row as a `Trial`; one that no worker has taken in time, or has brought to an end, has failed."""
    outcome = row["outcome"] or {"attempts": [], "output": None, "error": _lost(row, now)}
    attempts, finished_at = outcome["attempts"], row["finished_at"]
    return {
        **row,
        **outcome,
        "status": "failed" if row["outcome"] is None and outcome["error"] else row["status"],
        "duration": None if finished_at is None else finished_at - row["started_at"],
        "code": attempts[-1].get("code") if attempts else None,
    }


def _lost(row: Row, now: datetime) -> str | None:
    """Why nothing will come of a trial that has not ended; None while something may."""
    if row["started_at"] is None:
        if row["created_at"] + TAKEN_WITHIN < now:
            return f"no worker took it within {TAKEN_WITHIN.total_seconds() / 60:g} minutes; try it again"
    elif row["started_at"] + row["timeout"] + _GRACE < now:
        return "the worker that tried it is gone; what it has done is unknown"
    return None

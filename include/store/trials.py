"""Trials: settings of a job that are run once, on a worker, without a job."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Json, Jsonb

from include.store import access
from include.store.db import DictConnection, queries
from include.store.edits import Row

DAG_ID = "millrace_trial"  # its runs are where workers take trials
# A worker that comes later finds nothing to do: nobody is waiting for it any more.
TAKEN_WITHIN = timedelta(minutes=5)
MOST_AT_ONCE = 4  # of one owner
OUTCOME_BYTES = 512 * 1024  # as JSON

_KEPT = timedelta(hours=1)
_SQL = {name: text.encode() for name, text in queries("trials").items()}


def add(db: DictConnection, owner: str, kind: str, payload: dict[str, Any], timeout: timedelta) -> Row | None:
    """The new trial; None if `MOST_AT_ONCE` of the owner's are under way already. Call it in a transaction."""
    access.lock_owner(db, owner)
    values = {"owner": owner, "kind": kind, "payload": Jsonb(payload), "timeout": timeout}
    limits = {"kept": _KEPT, "taken_within": TAKEN_WITHIN, "most": MOST_AT_ONCE}
    return db.execute(_SQL["add_trial"], {**values, **limits}).fetchone()


def get(db: DictConnection, trial_id: int, owner: str | None) -> Row | None:
    """The trial of that id, among those of `owner` (None: all); None if it is too old, too."""
    return db.execute(_SQL["get_trial"], {"id": trial_id, "owner": owner, "kept": _KEPT}).fetchone()


def withdraw(db: DictConnection, trial_id: int) -> None:
    """Forget a trial that nobody has taken."""
    db.execute(_SQL["withdraw_trial"], {"id": trial_id})


def claim(db: DictConnection, trial_id: int) -> Row | None:
    """Take a trial; None if it is not there, was taken before, or is too old."""
    return db.execute(_SQL["claim_trial"], {"id": trial_id, "taken_within": TAKEN_WITHIN}).fetchone()


def finish(
    db: DictConnection,
    trial_id: int,
    *,
    status: str,
    started_at: datetime,
    finished_at: datetime,
    outcome: dict[str, Any],
) -> None:
    """Write what became of a trial that was taken: `outcome` is at most `OUTCOME_BYTES` of JSON."""
    values = {"id": trial_id, "status": status, "started_at": started_at, "finished_at": finished_at}
    db.execute(_SQL["finish_trial"], {**values, "outcome": Json(outcome)})

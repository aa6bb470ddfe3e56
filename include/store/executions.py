"""What became of jobs, as programs ask about it: page by page, of one job or of all.

The ledger may hold many millions of rows, so none of this looks at all of them. Statements are planned anew each time:
a plan for any status and any stretch of time would be a bad one for most.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from include.model import Status
from include.store.db import DictConnection, queries
from include.store.edits import LARGEST_ID, Row
from include.times import utcnow

_SQL = {name: text.encode() for name, text in queries("executions").items()}

# How far back the first look goes, and how much further each one after it. Of all jobs, a second may hold thousands.
_FIRST_OF_ALL = timedelta(seconds=5)
_FIRST_OF_OWNER = timedelta(days=1)
_FURTHER = 8
_FAR = timedelta(days=1000)
# A look that takes longer is not followed by a longer one, and after so long a page is what has been found.
_LONG_LOOK_SECONDS = 0.05
_ENOUGH_SECONDS = 0.5


class Place(NamedTuple):
    """A place in the list of all executions, the newest first: what follows is due before `due`, or then, with a
    smaller job's id."""

    due: datetime
    job_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page, and where the next one begins; None: there is none. It can be short, and even empty, all the same."""

    rows: list[Row]
    rest: Place | None


def get(db: DictConnection, job_id: int, due: datetime) -> Row | None:
    """What became of one occurrence so far, with `job` (the name), `kind` and `owner`; None if nobody has begun."""
    found: Row | None = db.execute(_SQL["execution"], {"job_id": job_id, "due": due}).fetchone()
    return found


def settings_at(db: DictConnection, job_id: int, revision: int | None, owner: str | None) -> Row | None:
    """`kind` and `payload` of a job at one of its revisions, while it was the owner's (None: anybody's).

    None if that is not known, or not any more.
    """
    wanted = {"job_id": job_id, "revision": revision, "owner": owner}
    found: Row | None = db.execute(_SQL["settings_at"], wanted).fetchone()
    return found


def of_job(
    db: DictConnection,
    job_id: int,
    *,
    descending: bool,
    limit: int,
    status: Status | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Row]:
    """A job's executions from `since` until before `until`, the newest or the oldest first."""
    statement = "newest_of_job" if descending else "oldest_of_job"
    wanted = {"job_id": job_id, "status": status, "since": since, "until": until, "limit": limit}
    return _rows(db, statement, wanted)


def newest(
    db: DictConnection,
    *,
    limit: int,
    owner: str | None = None,
    status: Status | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: Place | None = None,
) -> Found:
    """The newest executions of all jobs, or of an owner's, due at `since` or later and before `until`; `after`: where a
    page begins. Of a job that was deleted, `job`, `kind` and `owner` are None, and no owner's list has them.

    It looks back further and further until the page is full. What is so rare that this takes long comes on later
    pages.
    """
    statement, width = ("newest_of_all", _FIRST_OF_ALL) if owner is None else ("newest_of_owner", _FIRST_OF_OWNER)
    wanted = {"owner": owner, "status": status, "kind": kind}
    rows: list[Row] = []
    began, now = time.monotonic(), utcnow()
    end = None if until is None else Place(until, 0)
    before = min((place for place in (after, end) if place is not None), default=None)
    while True:
        reached = _earlier(now if before is None else min(before.due, now), width, since)
        looked = time.monotonic()
        until_due, until_id = before or (None, LARGEST_ID)
        window = {"since": reached, "until": until_due, "until_id": until_id, "limit": limit + 1 - len(rows)}
        rows += _rows(db, statement, {**wanted, **window})
        if len(rows) > limit:
            last = rows[limit - 1]
            return Found(rows[:limit], Place(last["scheduled_for"], last["job_id"]))
        if reached is None or reached == since:
            return Found(rows, None)
        before = Place(reached, 0)
        if time.monotonic() - began > _ENOUGH_SECONDS:
            return Found(rows, before)
        if time.monotonic() - looked < _LONG_LOOK_SECONDS:
            width *= _FURTHER


def _earlier(until: datetime, width: timedelta, since: datetime | None) -> datetime | None:
    """How far back a look goes; None: all the way."""
    if width > _FAR:
        return since
    return until - width if since is None else max(until - width, since)


def _rows(db: DictConnection, statement: str, parameters: dict[str, Any]) -> list[Row]:
    return db.execute(_SQL[statement], parameters, prepare=False).fetchall()

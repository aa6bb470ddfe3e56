"""Dead letters as people handle them: what has failed for good, to be sent again or discarded.

There are three sources: the records that a workflow has given up on, the executions of jobs that have failed, and the
timers that have. Each row says which (`source`: `workflow`, `job` or `timer`), and its `status`: `dead`; `redriving`,
until it is sent again; `redriven`, if that went well; or `discarded`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, get_args

from include.store.db import DictConnection, queries
from include.store.edits import LARGEST_ID, Row

Source = Literal["job", "timer", "workflow"]
Status = Literal["dead", "redriving", "redriven", "discarded"]
STATUSES: tuple[Status, ...] = get_args(Status)
Key = tuple[int, datetime]  # of an execution: its job's id, and its instant

_INSTANT: dict[Source, str] = {"workflow": "created_at", "job": "scheduled_for", "timer": "due_at"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ID: dict[Source, re.Pattern[str]] = {
    "workflow": re.compile(r"(\d{1,19})", re.ASCII),
    "timer": re.compile(r"timer_(\d{1,19})", re.ASCII),
    "job": re.compile(r"job_(\d{1,19})_(\d{1,17})", re.ASCII),
}
_PARTS: dict[Source, str] = {"job": "search_executions", "timer": "search_timers", "workflow": "search_records"}
_SQL = {name: text.encode() for name, text in queries("dead_letters").items()}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dead letter is in the list, which goes down by the instant at which a record died, or an execution or a
    timer was due; then by its source; then by its number: its own, or that of its job or timer.
    """

    at: datetime
    source: str
    number: int


@dataclass(frozen=True, slots=True)
class Named:
    """A dead letter as its id names it: by its number, its job's id and its instant, or its timer's id."""

    source: Source
    number: int
    due: datetime | None = None


def named(text: str) -> Named | None:
    """What an id says: `7` of a record, `job_3_1767225600000000`, `timer_5`; None if it is no id."""
    for source, pattern in _ID.items():
        if (written := pattern.fullmatch(text)) is not None and int(written[1]) <= LARGEST_ID:
            due = _EPOCH + timedelta(microseconds=int(written[2])) if source == "job" else None
            return Named(source, int(written[1]), due)
    return None


def name_of(row: Row) -> Named:
    """What the id of a row says."""
    if row["source"] == "job":
        return Named("job", *key_of(row))
    return Named(row["source"], row["id"] if row["source"] == "workflow" else row["timer_id"])


def key_of(execution: Row) -> Key:
    """Of an execution: its job's id, and its instant."""
    return execution["job_id"], execution["scheduled_for"]


def instant(row: Row) -> datetime:
    """When a record died, or an execution or a timer was due: what lists are sorted by."""
    at: datetime = row[_INSTANT[row["source"]]]
    return at


def by_names(db: DictConnection, names: Collection[Named]) -> list[Row]:
    """Those that there are of these, each once, whatever their status: records, then executions, then timers."""
    rows: list[Row] = []
    if numbers := [name.number for name in names if name.source == "workflow"]:
        rows += chosen(db, numbers)
    if keys := list(dict.fromkeys((name.number, name.due) for name in names if name.due is not None)):
        rows += [row for row in executions(db, keys) if row["status"] is not None]
    if numbers := [name.number for name in names if name.source == "timer"]:
        rows += of_timers(db, ids=numbers)
    return rows


def search(
    db: DictConnection,
    source: Source,
    statuses: Collection[Status],
    *,
    owner: str | None,
    job_id: int | None = None,
    workflow_id: int | None = None,
    since: datetime | None = None,
    after: Place | None = None,
    sendable: bool = False,
    limit: int,
) -> list[Row]:
    """The first dead letters of a source after a place in the list of all, each with its `number`.

    `owner`: whose (None: everybody's). `since`: whose instant is later. `sendable`: without those that cannot be sent
    again, for their job or their record is gone.
    """
    wanted = {"owner": owner, "job_id": job_id, "workflow_id": workflow_id, "since": since, "sendable": sendable}
    at, of, number = (None, None, None) if after is None else (after.at, after.source, after.number)
    place = {"after_at": at, "after_source": of, "after_number": number}
    parameters = {**wanted, **place, "statuses": list(statuses), "limit": limit}
    return db.execute(_SQL[_PARTS[source]], parameters).fetchall()


# -- records ----------------------------------------------------------------------------------------------------------


def page(
    db: DictConnection,
    *,
    workflow_id: int | None = None,
    owner: str | None = None,
    status: str | None = None,
    open: bool = False,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Row]:
    """The newest of workflows, each with its record's key, and whether the record is still `kept`; None: no limit.

    `open`: those that are not resolved. `since`: those that died after that.
    """
    wanted = {"workflow_id": workflow_id, "owner": owner, "status": status, "open": open, "since": since}
    return db.execute(_SQL["list_records"], {**wanted, "limit": limit}).fetchall()


def by_id(db: DictConnection, dead_letter_id: int) -> Row | None:
    """One of a workflow with its `record`, which is None if retention has removed it."""
    return _one(db, id=dead_letter_id)


def by_position(db: DictConnection, workflow_id: int, position: int) -> Row | None:
    """The one of a workflow's record, as `by_id`."""
    return _one(db, workflow_id=workflow_id, position=position)


def chosen(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Those of workflows with these ids, in the order of their ids, whatever their status."""
    return db.execute(_SQL["choose_records"], {"ids": list(ids), "workflow_id": None, "since": None}).fetchall()


def dead_records(db: DictConnection, workflow_id: int | None, since: datetime | None) -> list[Row]:
    """Those of a workflow, or of all, that are dead, since the instant or all, in the order of their ids."""
    return db.execute(_SQL["choose_records"], {"ids": None, "workflow_id": workflow_id, "since": since}).fetchall()


def redrive(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Have records sent again, those that are dead and whose record is kept; their ids."""
    return _ids(db, "redrive_records", ids)


def discard(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Give up on records for good, those that are not resolved; their ids."""
    return _ids(db, "discard_records", ids)


# -- executions -------------------------------------------------------------------------------------------------------


def of_jobs(
    db: DictConnection,
    statuses: Collection[Status],
    *,
    job_id: int | None = None,
    owner: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Row]:
    """The executions with one of these statuses, the newest first; `since`: those that were due after that.

    The job may have been removed: then `job`, `owner` and `kind` are None. The `id` is the `webhook-id` of its calls.
    """
    wanted = {"statuses": list(statuses), "job_id": job_id, "owner": owner, "since": since, "limit": limit}
    return db.execute(_SQL["list_executions"], wanted).fetchall()


def executions(db: DictConnection, keys: Sequence[Key]) -> list[Row]:
    """These executions with all that is known of them; `status` is None for one that is no dead letter."""
    return db.execute(_SQL["executions"], _arrays(keys)).fetchall()


def redrive_executions(db: DictConnection, keys: Sequence[Key]) -> list[Key]:
    """Have them sent again, those that have failed, whose job still exists, and that nobody has asked for yet."""
    return _keys(db, "redrive_executions", keys)


def discard_executions(db: DictConnection, keys: Sequence[Key]) -> list[Key]:
    """Give up on them for good, those that have failed and are not discarded."""
    return _keys(db, "discard_executions", keys)


# -- timers -----------------------------------------------------------------------------------------------------------


def of_timers(
    db: DictConnection,
    statuses: Collection[Status] = STATUSES,
    *,
    ids: Sequence[int] | None = None,
    owner: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Row]:
    """The timers with one of these statuses, the newest first; `since`: those that were due after that."""
    wanted = {"statuses": list(statuses), "ids": None if ids is None else list(ids), "owner": owner, "since": since}
    return db.execute(_SQL["list_timers"], {**wanted, "limit": limit}).fetchall()


def redrive_timers(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Have timers sent again, those that have failed; their ids."""
    return _ids(db, "redrive_timers", ids)


def discard_timers(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Give up on timers for good, those that have failed and are not discarded; their ids."""
    return _ids(db, "discard_timers", ids)


def _one(db: DictConnection, **by: int) -> Row | None:
    return db.execute(_SQL["record"], {"id": None, "workflow_id": None, "position": None, **by}).fetchone()


def _ids(db: DictConnection, statement: str, ids: Sequence[int]) -> list[int]:
    return sorted(int(str(row["id"])) for row in db.execute(_SQL[statement], {"ids": list(ids)}))


def _keys(db: DictConnection, statement: str, keys: Sequence[Key]) -> list[Key]:
    rows: list[Row] = db.execute(_SQL[statement], _arrays(keys)).fetchall()
    return sorted((row["job_id"], row["scheduled_for"]) for row in rows)


def _arrays(keys: Sequence[Key]) -> dict[str, object]:
    return {"job_ids": [job_id for job_id, _ in keys], "dues": [due for _, due in keys]}

"""Jobs as people handle them: find, list, add, change, remove, and look up what became of them.

Rows are dicts here and not `Job`s: people see every column, and a row that makes no sense is shown as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from include.store.db import DictConnection, queries
from include.store.edits import Row, document, find_row, returned_row
from include.store.search import Search

# What a new job has where nothing else is said: the defaults of the table, known here so that a job can be judged as a
# whole before there is a row.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "external_id": None,
        "owner": "admin",
        "payload": {},
        "cron": None,
        "every": None,
        "every_mode": "fixed_rate",
        "run_at": None,
        "timezone": "UTC",
        "starts_at": None,
        "ends_at": None,
        "jitter": timedelta(0),
        "overlap": "skip",
        "misfire": "latest",
        "max_lateness": timedelta(hours=1),
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_backoff": 2.0,
        "retry_max_delay": timedelta(hours=1),
        "retry_jitter": 0.1,
        "no_retry_on": [],
        "timeout": timedelta(seconds=30),
        "delivery": "at_least_once",
        "disable_after": None,
        "half_open": False,
        "probe_every": timedelta(minutes=5),
        "notify": None,
        "is_active": True,
        "paused_until": None,
    }
)

_SQL = {name: text.encode() for name, text in queries("jobs").items()}


def find(db: DictConnection, name_or_id: str) -> Row:
    """The job of that id (all digits) or name; `ConfigError` names the ones that were probably meant."""
    return find_row(db, "job", _SQL, name_or_id)


def page(
    db: DictConnection,
    *,
    kind: str | None = None,
    owner: str | None = None,
    paused: bool | None = None,
    failing: bool = False,
    after: int = -1,
    limit: int | None = None,
) -> list[Row]:
    """Jobs whose id is greater than `after`, each with its newest execution as `last_…`; None: no limit."""
    wanted = {"kind": kind, "owner": owner, "paused": paused, "failing": failing, "after": after, "limit": limit}
    return db.execute(_SQL["list_jobs"], wanted).fetchall()


def get(db: DictConnection, row_id: int, owner: str | None = None, *, lock: bool = False) -> Row | None:
    """The job of that id with its newest execution as `last_…`, among those of `owner` (None: all); None if there is
    none.

    `lock`: until the transaction ends, nobody else changes it.
    """
    wanted = {"id": row_id, "owner": owner}
    row: Row | None = db.execute(_SQL["get_job"], wanted).fetchone()
    if row is None or not lock:
        return row
    locked: Row | None = db.execute(_SQL["lock_job"], wanted).fetchone()
    return None if locked is None else {**row, **locked}


def by_external_id(db: DictConnection, owner: str, external_id: str) -> Row | None:
    """The owner's job of that `external_id`."""
    return db.execute(_SQL["job_by_external_id"], {"owner": owner, "external_id": external_id}).fetchone()


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of jobs, each with its newest execution as `last_…`, its place in the order as `sort_key`, and how many
    there are in all as `total`."""
    return db.execute(_SQL["search_jobs"], wanted.parameters("id", "kind", "state", "name", "external_id")).fetchall()


def insert(db: DictConnection, columns: Mapping[str, Any]) -> Row:
    """Add a job; columns that are not given have their default. Call it inside `changing`."""
    return returned_row(db, "job", _SQL["insert_job"], {"columns": document({**DEFAULTS, **columns})})


def change(db: DictConnection, job_id: int, changes: Mapping[str, Any]) -> Row:
    """Set the columns that are given and no other. Call it inside `changing`."""
    return returned_row(db, "job", _SQL["change_job"], {"id": job_id, "changes": document(changes)})


def remove(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Delete jobs, and return the id and the name of those that were there."""
    return db.execute(_SQL["remove_jobs"], {"ids": list(ids)}).fetchall()


def health(db: DictConnection, job_id: int) -> Row | None:
    """Its failures in a row and what they led to; None if it has never failed."""
    return db.execute(_SQL["health"], {"job_id": job_id}).fetchone()


def execution(db: DictConnection, job_id: int, scheduled_for: datetime) -> Row | None:
    """What became of one occurrence so far; None if nobody has begun."""
    return db.execute(_SQL["execution"], {"job_id": job_id, "scheduled_for": scheduled_for}).fetchone()


def executions(
    db: DictConnection, job_id: int, *, status: str | None = None, since: datetime | None = None, limit: int
) -> list[Row]:
    """The newest executions of a job, whether or not the job still exists."""
    wanted = {"job_id": job_id, "status": status, "since": since, "limit": limit}
    return db.execute(_SQL["executions_of_job"], wanted).fetchall()


def executions_of_all(db: DictConnection, *, status: str | None, since: datetime, limit: int) -> list[Row]:
    """The newest executions of the jobs there are, each with its job's name as `job`."""
    return db.execute(_SQL["executions_of_all"], {"status": status, "since": since, "limit": limit}).fetchall()

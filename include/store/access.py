"""What an owner may have: the Airflow connections that an admin has listed for him, and his quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from include.store.db import DictConnection, queries
from include.store.edits import Row

_SQL = {name: text.encode() for name, text in queries("access").items()}


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that an owner may have; None: no limit."""

    max_rows: int | None = None
    max_fires_per_minute: float | None = None
    min_interval: timedelta | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an owner has: rows (timers that are done do not count), and the bytes of their settings."""

    rows: int
    bytes: int


def granted(db: DictConnection, owner: str) -> frozenset[str]:
    """The connections that an owner may name in rows."""
    return frozenset(str(row["conn_id"]) for row in db.execute(_SQL["granted"], {"owner": owner}))


def quota(db: DictConnection, owner: str) -> Quota:
    """The owner's quota, or else that of everybody; without limits if there is neither."""
    row: Row | None = db.execute(_SQL["quota"], {"owner": owner}).fetchone()
    return Quota() if row is None else Quota(**row)


def lock_owner(db: DictConnection, owner: str) -> None:
    """Until the transaction ends, nobody else adds rows for the owner through here."""
    db.execute(_SQL["lock_owner"], {"owner": owner})


def holdings(db: DictConnection, owner: str) -> Holdings:
    """What the owner has."""
    row: Any = db.execute(_SQL["holdings"], {"owner": owner}).fetchone()
    return Holdings(int(row["rows"]), int(row["bytes"]))


def pending_timers(db: DictConnection, owner: str, most: int) -> int:
    """How many timers of the owner wait, counted up to `most`."""
    row: Any = db.execute(_SQL["pending_timers"], {"owner": owner, "most": most}).fetchone()
    return int(row["rows"])


def schedules(db: DictConnection, owner: str) -> list[Row]:
    """The schedules of his active rows: `cron`, `every` and `timezone`, and how many `rows` have each."""
    return db.execute(_SQL["schedules"], {"owner": owner}).fetchall()

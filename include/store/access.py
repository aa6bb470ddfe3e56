"""What an owner may have: the Airflow connections that an admin has listed for him, and his quota."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from include.store.db import DictConnection, queries
from include.store.edits import Row, returned_row
from include.store.search import Search

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
    """Until the transaction ends, nobody else whom a quota limits adds rows for the owner through here."""
    db.execute(_SQL["lock_owner"], {"owner": owner})


def holdings(db: DictConnection, owner: str) -> Holdings:
    """What the owner has."""
    row: Any = db.execute(_SQL["holdings"], {"owner": owner}).fetchone()
    return Holdings(int(row["rows"]), int(row["bytes"]))


def schedules(db: DictConnection, owner: str) -> list[Row]:
    """The schedules of his active rows: `cron`, `every` and `timezone`, and how many `rows` have each."""
    return db.execute(_SQL["schedules"], {"owner": owner}).fetchall()


def own_quota(db: DictConnection, owner: str) -> Quota | None:
    """The owner's own quota; None: that of everybody counts."""
    row: Row | None = db.execute(_SQL["own_quota"], {"owner": owner}).fetchone()
    return None if row is None else Quota(**row)


def set_quota(db: DictConnection, owner: str, limits: Quota) -> None:
    """Give the owner this quota, whatever others have. Call it inside `changing`."""
    db.execute(_SQL["set_quota"], {"owner": owner, **asdict(limits)})


def unset_quota(db: DictConnection, owner: str) -> bool:
    """Have the quota of everybody count for the owner; False if it did."""
    return db.execute(_SQL["unset_quota"], {"owner": owner}).fetchone() is not None


def quotas(db: DictConnection, owner: str | None = None) -> list[Row]:
    """The quotas there are: that of everybody (`*`), and those of owners, or of this one."""
    return db.execute(_SQL["list_quotas"], {"owner": owner}).fetchall()


def connections_of(db: DictConnection, owner: str) -> list[Row]:
    """The connections that an owner may name: `conn_id`, and whether `everybody` may."""
    return db.execute(_SQL["connections_of"], {"owner": owner}).fetchall()


def search_grants(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of grants."""
    return db.execute(_SQL["search_grants"], wanted.parameters("of", "conn_id")).fetchall()


def grant(db: DictConnection, owner: str, conn_id: str) -> tuple[Row, bool]:
    """Let an owner (`*`: everybody) name a connection; the grant, and whether it is new. Call it inside `changing`."""
    wanted = {"owner": owner, "conn_id": conn_id}
    made: Row | None = db.execute(_SQL["grant"], wanted).fetchone()
    if made is not None:
        return made, True
    return returned_row(db, "grant", _SQL["find_grant"], wanted), False


def find_grant(db: DictConnection, owner: str, conn_id: str) -> Row | None:
    """The grant that lets this owner name this connection."""
    return db.execute(_SQL["find_grant"], {"owner": owner, "conn_id": conn_id}).fetchone()


def revoke(db: DictConnection, grant_id: int) -> Row | None:
    """Take a grant back; None if there is no such one. Call it inside `changing`."""
    return db.execute(_SQL["revoke"], {"id": grant_id}).fetchone()


def still_in_use(db: DictConnection, owner: str, conn_id: str, kinds: Collection[str], limit: int) -> list[Row]:
    """Rows of an owner (`*`: of all) that use a connection which their owner may not name; `kinds` are those that use
    it where nothing is said."""
    wanted = {"owner": owner, "conn_id": conn_id, "kinds": list(kinds), "limit": limit}
    return db.execute(_SQL["still_in_use"], wanted).fetchall()

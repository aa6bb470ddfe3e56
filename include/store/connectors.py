"""Connectors as people handle them: find, list, add, change, rewind, remove, and look into their records.

Rows are dicts here and not `Connector`s: people see every column, and a row that makes no sense is shown as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from include.model import Record
from include.store.db import DictConnection, queries
from include.store.edits import Row, document, find_row, returned_row
from include.store.log import as_items
from include.store.search import Search

# What a new connector has where nothing else is said: the defaults of the table, known here so that a connector can be
# judged as a whole, and tried out, before there is a row.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "external_id": None,
        "owner": "admin",
        "config": {},
        "every": None,
        "dedupe": "key",
        "rate_limit": None,
        "budget": None,
        "timeout": timedelta(seconds=30),
        "alert_after": 5,
        "notify": None,
        "is_active": True,
        "paused_until": None,
    }
)

# A search reads payloads, which no index helps with: at most so many records at a time.
SEARCHED = 5_000

_SQL = {name: text.encode() for name, text in queries("connectors").items()}
_LOG = {name: text.encode() for name, text in queries("log").items()}


def find(db: DictConnection, name_or_id: str, owner: str | None = None) -> Row:
    """The connector of that id (all digits) or name; `ConfigError` names the ones that were probably meant.

    A name that several owners gave means the one of `owner`; if that one has none, the error lists the ids.
    """
    return find_row(db, "connector", _SQL, name_or_id, owner)


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
    """Connectors whose id is greater than `after`; None: no limit."""
    wanted = {"kind": kind, "owner": owner, "paused": paused, "failing": failing, "after": after, "limit": limit}
    return db.execute(_SQL["list_connectors"], wanted).fetchall()


def get(db: DictConnection, row_id: int, owner: str | None = None, *, lock: bool = False) -> Row | None:
    """The connector of that id among those of `owner` (None: all); None if there is none.

    `lock`: until the transaction ends, nobody else changes it, nor appends records.
    """
    statement = _SQL["lock_connector" if lock else "get_connector"]
    row: Row | None = db.execute(statement, {"id": row_id, "owner": owner}).fetchone()
    return row


def by_external_id(db: DictConnection, owner: str, external_id: str) -> Row | None:
    """The owner's connector of that `external_id`."""
    return db.execute(_SQL["connector_by_external_id"], {"owner": owner, "external_id": external_id}).fetchone()


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of connectors, each with its place in the order as `sort_key`, and how many there are as `total`."""
    return db.execute(_SQL["search_connectors"], wanted.parameters("kind", "state", "name", "external_id")).fetchall()


def stored_last_minute(db: DictConnection, ids: Sequence[int]) -> dict[int, int]:
    """How many records of each of these connectors were stored within the last minute, by the connector's id."""
    rows: list[Row] = db.execute(_SQL["stored_last_minute"], {"ids": list(ids)}).fetchall()
    return {row["id"]: row["records"] for row in rows}


def insert(db: DictConnection, columns: Mapping[str, Any]) -> Row:
    """Add a connector; columns that are not given have their default. Call it inside `changing`."""
    return returned_row(db, "connector", _SQL["insert_connector"], {"columns": document({**DEFAULTS, **columns})})


def change(db: DictConnection, connector_id: int, changes: Mapping[str, Any]) -> Row:
    """Set the columns that are given and no other. Call it inside `changing`."""
    return returned_row(db, "connector", _SQL["change_connector"], {"id": connector_id, "changes": document(changes)})


def rewind(db: DictConnection, connector_id: int) -> Row:
    """Forget the cursor, so that everything is pulled again; what is stored already is not stored again."""
    return returned_row(db, "connector", _SQL["rewind_connector"], {"id": connector_id})


def holdings(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Of each connector that is there: `id`, `name` and how many `records` would go with it."""
    return db.execute(_SQL["holdings"], {"ids": list(ids)}).fetchall()


def remove(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Delete connectors and their records; return the id and the name of those that were there.

    Call it inside `changing`: it is refused while workflows read one of them.
    """
    return db.execute(_SQL["remove_connectors"], {"ids": list(ids)}).fetchall()


def records(
    db: DictConnection, connector_id: int, *, start: int | None = None, key: str | None = None, limit: int
) -> list[Row]:
    """The newest records of a connector, from position `start` backwards if one is given."""
    wanted = {"connector_id": connector_id, "from": start, "key": key, "limit": limit}
    return db.execute(_SQL["records"], wanted).fetchall()


@dataclass(frozen=True, slots=True)
class RecordSearch:
    """What of a log is asked for: from the newest on if `descending`, else from the oldest, behind position `after`.

    With `text`, those in whose payload it occurs, among the `SEARCHED` positions that come next.
    """

    limit: int
    descending: bool = True
    after: int | None = None
    key: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records in the order that was asked for; the next page is behind position `next`, None: there is none."""

    rows: list[Row]
    next: int | None


def search_records(db: DictConnection, connector: Row, wanted: RecordSearch, *, most_bytes: int) -> RecordPage:
    """A page of a connector's log, which ends with the record that brings its payloads to `most_bytes`."""
    head: int = connector["head"]
    start = wanted.after if wanted.after is not None else head + 1 if wanted.descending else 0
    start = min(start, head + 1)
    end = 0 if wanted.descending else head + 1
    if wanted.text is not None:
        end = max(end, start - SEARCHED - 1) if wanted.descending else min(end, start + SEARCHED + 1)
    found = _positions(db, connector["id"], wanted, start, end)
    rows = records_at(db, connector["id"], found[: wanted.limit], most_bytes=most_bytes)
    if len(rows) < len(found):
        return RecordPage(rows, rows[-1]["position"] if rows else found[min(wanted.limit, len(found)) - 1])
    last = end + 1 if wanted.descending else end - 1
    return RecordPage(rows, last if (last > 1 if wanted.descending else last < head) else None)


def _positions(db: DictConnection, connector_id: int, wanted: RecordSearch, start: int, end: int) -> list[int]:
    """Where the records are that are asked for, strictly between `start` and `end`; one more than there shall be."""
    what = "records" if wanted.key is None else "versions"
    statement = _SQL[f"{what}_before" if wanted.descending else f"{what}_after"]
    parameters = {
        "connector_id": connector_id,
        "above": min(start, end),
        "below": max(start, end),
        "key": wanted.key,
        "search": wanted.text,
        "limit": wanted.limit + 1,
    }
    rows: list[Any] = db.execute(statement, parameters).fetchall()
    return [row["position"] for row in rows]


def records_at(db: DictConnection, connector_id: int, positions: Sequence[int], *, most_bytes: int) -> list[Row]:
    """The records at these positions, in this order, until their payloads come to so many bytes."""
    wanted = {"connector_id": connector_id, "positions": list(positions), "most_bytes": most_bytes}
    return db.execute(_SQL["records_at"], wanted).fetchall()


def append(db: DictConnection, connector_id: int, records: Sequence[Record]) -> tuple[list[int], int]:
    """Append what is new of some records: the position of each, in their order, and how many were new.

    Call it inside `changing`.
    """
    page = {"connector_id": connector_id, "items": as_items(records), "move": False}
    appended: Any = db.execute(_LOG["append"], {**page, "new_cursor": None, "old_cursor": None}).fetchone()
    positions: list[Any] = db.execute(_LOG["positions"], page).fetchall()
    return [row["position"] for row in positions], appended["stored"]


def readers(db: DictConnection, connector_id: int) -> list[Row]:
    """The workflows that read a connector's records, with how far each is behind."""
    return db.execute(_SQL["readers"], {"connector_id": connector_id}).fetchall()

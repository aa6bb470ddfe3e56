"""Connectors as people handle them: find, list, add, change, rewind, remove, and look into their records.

Rows are dicts here and not `Connector`s: people see every column, and a row that makes no sense is shown as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from include.store.db import DictConnection, queries
from include.store.edits import Row, document, find_row, returned_row

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

_SQL = {name: text.encode() for name, text in queries("connectors").items()}


def find(db: DictConnection, name_or_id: str) -> Row:
    """The connector of that id (all digits) or name; `ConfigError` names the ones that were probably meant."""
    return find_row(db, "connector", _SQL, name_or_id)


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


def readers(db: DictConnection, connector_id: int) -> list[Row]:
    """The workflows that read a connector's records, with how far each is behind."""
    return db.execute(_SQL["readers"], {"connector_id": connector_id}).fetchall()

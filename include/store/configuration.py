"""All rows that config as code keeps, a table at a time; and the two tables that nothing else here edits row by row:
budgets, and whom owners have told.

`owners`: None means all. Whoever changes a budget or a notify says what it was before; False: it is no longer so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg.types.json import Jsonb

from include.store.db import DictConnection, queries
from include.store.edits import Row

_SQL = {name: text.encode() for name, text in queries("configuration").items()}


@contextmanager
def at_one_instant(db: DictConnection) -> Iterator[None]:
    """What is read inside is as it was when that began, whatever is changed meanwhile. Nothing can be written."""
    with db.transaction():
        db.execute(_SQL["at_one_instant"])
        yield


def jobs(db: DictConnection, owners: Sequence[str] | None) -> list[Row]:
    return db.execute(_SQL["jobs_of_owners"], {"owners": _listed(owners)}).fetchall()


def connectors(db: DictConnection, owners: Sequence[str] | None) -> list[Row]:
    return db.execute(_SQL["connectors_of_owners"], {"owners": _listed(owners)}).fetchall()


def workflows(db: DictConnection, owners: Sequence[str] | None) -> list[Row]:
    """Each with its connector's name as `connector`, and whose that is, if somebody else's, as `connector_owner`."""
    return db.execute(_SQL["workflows_of_owners"], {"owners": _listed(owners)}).fetchall()


def lock(db: DictConnection, table: str, ids: Sequence[int]) -> None:
    """Until the transaction ends, nobody else changes these `jobs`, `connectors` or `workflows`."""
    db.execute(_SQL[f"lock_{table}"], {"ids": list(ids)})


def connector_names(db: DictConnection) -> list[Row]:
    """Of every connector: `id`, `name`, `owner` and `budget`."""
    return db.execute(_SQL["connector_names"]).fetchall()


def budgets(db: DictConnection) -> dict[str, dict[str, Any]]:
    """`{"rate_limit": ...}` by name."""
    rows = db.execute(_SQL["budgets"]).fetchall()
    return {str(row["name"]): {"rate_limit": row["rate_limit"]} for row in rows}


def notifies(db: DictConnection, owners: Sequence[str] | None) -> dict[str, Any]:
    """What owners have said, by owner."""
    rows = db.execute(_SQL["notifies_of_owners"], {"owners": _listed(owners)}).fetchall()
    return {str(row["owner"]): row["notify"] for row in rows}


def write_budget(db: DictConnection, name: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> bool:
    """Add, change or remove a budget. Call it inside `changing`."""
    known = before and before["rate_limit"]
    if after is None:
        statement, values = "remove_budget", {}
    else:
        statement, values = "add_budget" if before is None else "change_budget", {"rate_limit": after["rate_limit"]}
    return db.execute(_SQL[statement], {"name": name, "before": known, **values}).rowcount == 1


def write_notify(db: DictConnection, owner: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> bool:
    """Add, change or remove whom an owner has told. Call it inside `changing`."""
    statement = "remove_notify" if after is None else "add_notify" if before is None else "change_notify"
    parameters = {"owner": owner, "before": Jsonb(before), "notify": Jsonb(after)}
    return db.execute(_SQL[statement], parameters).rowcount == 1


def _listed(owners: Sequence[str] | None) -> list[str] | None:
    return None if owners is None else list(owners)

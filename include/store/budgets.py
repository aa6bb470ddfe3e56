"""Budgets: limits on requests that connectors share."""

from __future__ import annotations

from include.errors import RefusedError
from include.store.db import DictConnection, queries
from include.store.edits import Row
from include.store.search import Search

_SQL = {name: text.encode() for name, text in queries("budgets").items()}


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of budgets in the order of their names, each with how many `connectors` share it."""
    return db.execute(_SQL["search_budgets"], wanted.parameters()).fetchall()


def get(db: DictConnection, name: str) -> Row | None:
    """The budget of this name."""
    return db.execute(_SQL["budget"], {"name": name}).fetchone()


def put(db: DictConnection, name: str, rate_limit: str) -> bool:
    """Add a budget, or give it this limit; whether it is new. Call it inside `changing`."""
    row = db.execute(_SQL["set_budget"], {"name": name, "rate_limit": rate_limit}).fetchone()
    assert row is not None  # noqa: S101 - an upsert returns its row
    return bool(row["made"])


def remove(db: DictConnection, name: str) -> bool:
    """Remove a budget, False if there is none; `RefusedError` (409) while connectors share it.

    Call it inside `changing`.
    """
    if db.execute(_SQL["lock_budget"], {"name": name}).fetchone() is None:
        return False
    if sharers := db.execute(_SQL["sharers"], {"name": name}).fetchall():
        named = ", ".join(f"{row['name']!r} ({row['id']})" for row in sharers)
        raise RefusedError(409, f"connectors share it: {named}; give them another budget, or none, first")
    db.execute(_SQL["remove_budget"], {"name": name})
    return True

"""The audit: every change of a row, who made it, by what means, and what the row was before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from include.store.db import DictConnection, queries
from include.store.edits import Row
from include.store.search import Search

# What owners see of: tables whose rows are theirs. What they may have is laid down by admins, who see that as well.
TABLES_OF_OWNERS = ("job", "connector", "workflow", "workflow_progress")
FILTERS = ("id", "of", "table", "row_id", "actor", "operation", "since")

_SQL = {name: text.encode() for name, text in queries("audit").items()}


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of changes, the newest first: `old` and `new` are the row's columns before and after, None if there was no
    row then, or if the caller may not see what it was."""
    parameters = {**wanted.parameters(*FILTERS), "tables": list(TABLES_OF_OWNERS)}
    # Planned anew each time: which index serves depends on which filters are given.
    return db.execute(_SQL["search_audit"], parameters, prepare=False).fetchall()


def of_revisions(
    db: DictConnection, table: str, row_id: int, revisions: Collection[int], owner: str | None
) -> dict[int, int]:
    """By revision of a row, the id of the change that made it; of those that `owner` sees (None: all)."""
    if not revisions:
        return {}
    wanted = {"table": table, "row_id": row_id, "revisions": list(map(str, revisions)), "owner": owner}
    rows: list[Row] = db.execute(_SQL["changes_to_revisions"], wanted).fetchall()
    return {row["revision"]: row["id"] for row in rows}


def given_at(db: DictConnection, table: str, row_id: int) -> datetime | None:
    """When a row was last given to another owner; None: never."""
    row: Row | None = db.execute(_SQL["given_at"], {"table": table, "row_id": row_id}).fetchone()
    at: datetime | None = None if row is None else row["at"]
    return at


def get(db: DictConnection, audit_id: int, owner: str | None) -> Row | None:
    """One change, among those that `owner` sees (None: all)."""
    found = search(db, Search(owner=owner, sort="id", limit=1, filters={"id": audit_id}))
    return found[0] if found else None

"""Dead letters as people handle them: records that a workflow has given up on, to be sent again or discarded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from include.store.db import DictConnection, queries
from include.store.edits import Row

_SQL = {name: text.encode() for name, text in queries("dead_letters").items()}


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
    """The newest dead letters, each with its record's key, and whether the record is still `kept`; None: no limit.

    `open`: those that are not resolved.
    """
    wanted = {"workflow_id": workflow_id, "owner": owner, "status": status, "open": open, "since": since}
    return db.execute(_SQL["list_dead_letters"], {**wanted, "limit": limit}).fetchall()


def by_id(db: DictConnection, dead_letter_id: int) -> Row | None:
    """One dead letter with its `record`, which is None if retention has removed it."""
    return _one(db, id=dead_letter_id)


def by_position(db: DictConnection, workflow_id: int, position: int) -> Row | None:
    """The dead letter of a workflow's record, as `by_id`."""
    return _one(db, workflow_id=workflow_id, position=position)


def chosen(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Those of these ids, in the order of their ids, whatever their status."""
    return db.execute(_SQL["choose"], {"ids": list(ids), "workflow_id": None, "since": None}).fetchall()


def dead_of(db: DictConnection, workflow_id: int, since: datetime | None) -> list[Row]:
    """Those of a workflow that are dead, since the instant or all, in the order of their ids."""
    return db.execute(_SQL["choose"], {"ids": [], "workflow_id": workflow_id, "since": since}).fetchall()


def redrive(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Have them sent again, those that are dead and whose record is kept; their ids."""
    return _ids(db, "redrive", ids)


def discard(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Give up on them for good, those that are not resolved; their ids."""
    return _ids(db, "discard", ids)


def _one(db: DictConnection, **by: int) -> Row | None:
    return db.execute(_SQL["dead_letter"], {"id": None, "workflow_id": None, "position": None, **by}).fetchone()


def _ids(db: DictConnection, statement: str, ids: Sequence[int]) -> list[int]:
    return sorted(int(str(row["id"])) for row in db.execute(_SQL[statement], {"ids": list(ids)}))

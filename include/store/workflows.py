"""Workflows as people handle them: find, list, add, change, remove, and move their watermarks.

Rows are dicts here and not `Workflow`s: people see every column, and a row that makes no sense is shown as well. Each
has its connector's name as `connector`, and how far it is; most say as well whose that is, as `connector_owner`, where
it is somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import psycopg

from include.store.db import DictConnection, queries
from include.store.edits import LARGEST_ID, Row, document, is_id, no_such, returned_row, several
from include.store.search import Search

# What a new workflow has where nothing else is said: the defaults of the table, known here so that a workflow can be
# judged as a whole before there is a row. `started_at`: now, by the database's clock.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "external_id": None,
        "owner": "admin",
        "every": timedelta(seconds=30),
        "started_at": None,
        "start_from": "now",
        "filter": None,
        "payload": {},
        "on_error": "quarantine",
        "batch_size": 1,
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_backoff": 2.0,
        "retry_max_delay": timedelta(hours=1),
        "retry_jitter": 0.1,
        "no_retry_on": [],
        "timeout": timedelta(seconds=30),
        "is_active": True,
        "paused_until": None,
    }
)

_UNREADABLE = {
    "filter": 'it is not a path; write an SQL/JSON path predicate, such as $.state == "open" && $.amount > 10',
    "start_from": "it is not an instant; write now, beginning, or an instant such as 2026-11-21T09:00:00Z",
}
_NOT_READ = (psycopg.DataError, psycopg.ProgrammingError, psycopg.errors.StatementTooComplex)
_SQL = {name: text.encode() for name, text in queries("workflows").items()}


@dataclass(frozen=True, slots=True)
class Watermark:
    """Where a workflow is in its connector's log. `oldest`: the first record that is kept; `head + 1` if none is.

    What lies up to `pruned` is gone for good, but for what an open dead letter needs: nobody goes back before that.
    """

    position: int
    stopped_at: int | None
    begun: bool
    connector_id: int
    head: int
    oldest: int
    pruned: int = 0


def find(db: DictConnection, name_or_id: str) -> Row:
    """The workflow of that id (all digits) or name; `ConfigError` names the ones that were probably meant.

    A name that several owners gave is not enough: the error lists the ids.
    """
    if is_id(name_or_id):
        found = page(db, id=int(name_or_id)) if int(name_or_id) <= LARGEST_ID else []
    else:
        found = page(db, name=name_or_id)
    if len(found) > 1:
        raise several("workflow", name_or_id, found)
    if not found:
        raise no_such("workflow", name_or_id, (str(row["name"]) for row in db.execute(_SQL["workflow_names"])))
    return found[0]


def page(
    db: DictConnection,
    *,
    id: int | None = None,
    name: str | None = None,
    owner: str | None = None,
    connector_id: int | None = None,
    paused: bool | None = None,
    failing: bool = False,
    after: int = -1,
    limit: int | None = None,
) -> list[Row]:
    """Workflows whose id is greater than `after`, each with how far it is; None: no limit.

    `failing`: those with an error, that have stopped, or with dead letters that wait for a person.
    """
    wanted = {"id": id, "name": name, "owner": owner, "connector_id": connector_id, "paused": paused}
    return db.execute(_SQL["list_workflows"], {**wanted, "failing": failing, "after": after, "limit": limit}).fetchall()


def get(db: DictConnection, row_id: int, owner: str | None = None, *, lock: bool = False) -> Row | None:
    """The workflow of that id with how far it is, among those of `owner` (None: all); None if there is none.

    `lock`: until the transaction ends, nobody else changes its settings.
    """
    row = next(iter(page(db, id=row_id, owner=owner)), None)
    if row is None or not lock:
        return row
    locked: Row | None = db.execute(_SQL["lock_workflow"], {"id": row_id, "owner": owner}).fetchone()
    return None if locked is None else {**row, **locked}


def by_external_id(db: DictConnection, owner: str, external_id: str) -> Row | None:
    """The owner's workflow of that `external_id`."""
    wanted = {"owner": owner, "external_id": external_id}
    found: Row | None = db.execute(_SQL["workflow_by_external_id"], wanted).fetchone()
    return None if found is None else get(db, found["id"])


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of workflows, each with how far it is, its place in the order as `sort_key`, and how many there are in all
    as `total`."""
    filters = ("connector_id", "kind", "state", "name", "external_id")
    return db.execute(_SQL["search_workflows"], wanted.parameters(*filters)).fetchall()


def search_lag(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of how far workflows are, in the order of `lag`; `sort_key` and `total` as in `search`."""
    return db.execute(_SQL["search_lag"], wanted.parameters()).fetchall()


def unreadable(db: DictConnection, **settings: str | None) -> list[tuple[str, str]]:
    """Which of `filter` and `start_from` the database cannot read as what they are for, and what to write."""
    wrong = []
    for name, value in settings.items():
        try:
            with db.transaction():
                db.execute(_SQL[f"read_{name}"], {"value": value})
        except _NOT_READ as error:
            wrong.append((name, f"{_UNREADABLE[name]} ({error.diag.message_primary})"))
    return wrong


def connectors_of_new(db: DictConnection, name: str | None, connector_id: int | None, owner: str | None) -> list[Row]:
    """`id` and `owner` of the connectors of that name or id, or of both, among those of `owner` (None: all).

    They are not deleted until the transaction ends.
    """
    wanted = {"name": name, "id": connector_id, "owner": owner}
    return db.execute(_SQL["connectors_of_new"], wanted).fetchall()


def lag(db: DictConnection, workflow_id: int | None = None, *, limit: int | None = None) -> list[Row]:
    """How far one workflow is, or all: those that have stopped first, then the ones that are furthest behind."""
    return db.execute(_SQL["list_lag"], {"id": workflow_id, "limit": limit}).fetchall()


def insert(db: DictConnection, columns: Mapping[str, Any]) -> Row:
    """Add a workflow; columns that are not given have their default. Call it inside `changing`."""
    return _written(db, "insert_workflow", {"columns": document({**DEFAULTS, **columns})})


def change(db: DictConnection, workflow_id: int, changes: Mapping[str, Any]) -> Row:
    """Set the columns that are given and no other. Call it inside `changing`."""
    return _written(db, "change_workflow", {"id": workflow_id, "changes": document(changes)})


def remove(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """Delete workflows, and return the id, name and owner of those that were there."""
    return db.execute(_SQL["remove_workflows"], {"ids": list(ids)}).fetchall()


def filter_sample(db: DictConnection, connector_id: int, path: str) -> tuple[int, int]:
    """How many of the connector's newest records (100 at most) were looked at, and how many the filter lets through."""
    row = db.execute(_SQL["filter_sample"], {"connector_id": connector_id, "filter": path}).fetchone()
    assert row is not None  # noqa: S101 - a count has a row
    return int(str(row["records"])), int(str(row["wanted"]))


def lock_watermark(db: DictConnection, workflow_id: int) -> Watermark:
    """Where the workflow is; nobody moves the watermark until the transaction ends. Call it inside `changing`."""
    db.execute(_SQL["hold_log"], {"id": workflow_id})
    row = returned_row(db, "workflow", _SQL["lock_watermark"], {"id": workflow_id})
    if row["oldest"] is None:
        row["oldest"] = row["head"] + 1
    return Watermark(**row)


def position_at(db: DictConnection, connector_id: int, instant: datetime) -> int:
    """The newest position that was stored at the instant or before; 0 if there is none."""
    row: Row | None = db.execute(_SQL["position_at"], {"connector_id": connector_id, "instant": instant}).fetchone()
    assert row is not None  # noqa: S101 - a function has a value
    return int(row["position"])


def move(db: DictConnection, workflow_id: int, position: int, *, goes_on: bool) -> None:
    """Set the watermark, whoever is at work; `goes_on`: it is no longer stopped."""
    db.execute(_SQL["move_watermark"], {"id": workflow_id, "position": position, "goes_on": goes_on})


def retry(db: DictConnection, ids: Sequence[int]) -> list[int]:
    """Let workflows that have stopped try again; the ids of those that had."""
    return [int(str(row["workflow_id"])) for row in db.execute(_SQL["retry"], {"ids": list(ids)})]


def _written(db: DictConnection, statement: str, parameters: Mapping[str, Any]) -> Row:
    row = returned_row(db, "workflow", _SQL[statement], parameters)
    return page(db, id=row["id"])[0]

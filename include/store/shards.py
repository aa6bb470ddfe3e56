"""Rows as the DAGs are built from them: which shards changed, and what is wrong with which row.

A shard is a block of consecutive ids, so that a small system has few files and a row never moves to another file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from psycopg import sql

from include.model import Connector, Job, Workflow
from include.store.db import DictConnection, queries
from include.store.rows import connector_from_row, job_from_row, workflow_from_row

Row = Job | Connector | Workflow

SHARD_SIZE = 64
TABLES: Mapping[str, Callable[[dict[str, Any]], Row]] = MappingProxyType(
    {"job": job_from_row, "connector": connector_from_row, "workflow": workflow_from_row}
)
_SQL = queries("shards")


@dataclass(frozen=True, slots=True)
class Change:
    """A row that changed; `transaction` is the newest that did it."""

    table_name: str
    row_id: int
    changes_dag: bool
    transaction: str


def snapshot(db: DictConnection) -> str:
    """What is visible now, to ask `changed_since` about later."""
    row = db.execute(_SQL["snapshot"].encode()).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return str(row["snapshot"])


def changed_since(db: DictConnection, last: str) -> tuple[str, list[Change]]:
    """The snapshot now, and the rows whose changes became visible since `last`."""
    rows: list[dict[str, Any]] = db.execute(_SQL["changed"].encode(), {"last": last}).fetchall()
    changes = [
        Change(row["table_name"], row["row_id"], row["changes_dag"], row["transaction"])
        for row in rows
        if row["row_id"] is not None
    ]
    return str(rows[0]["snapshot"]), changes


def unbuilt(db: DictConnection, table_name: str, changed: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Of the changed shards (number, transaction), those whose last build had not seen the transaction."""
    if not changed:
        return set()
    numbers, transactions = zip(*changed, strict=True)
    parameters = {"table_name": table_name, "numbers": list(numbers), "transactions": list(transactions)}
    rows: list[dict[str, Any]] = db.execute(_SQL["unbuilt"].encode(), parameters).fetchall()
    return {(row["number"], row["transaction"]) for row in rows}


def note_build(db: DictConnection, table_name: str, number: int, built: str) -> None:
    """Note what a build has seen: take the snapshot before reading the rows."""
    db.execute(_SQL["built"].encode(), {"table_name": table_name, "number": number, "built": built})


def shards_of(db: DictConnection, table: str) -> list[int]:
    """The numbers of the shards of a table that have rows."""
    return [int(str(row["number"])) for row in db.execute(_of("shards_of", table), {"size": SHARD_SIZE})]


def rows_of_shard(db: DictConnection, table: str, number: int) -> list[Row]:
    """The rows of one shard, ordered by id."""
    rows = db.execute(_of("rows_of_shard", table), {"number": number, "size": SHARD_SIZE})
    return list(map(TABLES[table], rows))


def rows_by_id(db: DictConnection, table: str, ids: Iterable[int]) -> list[Row]:
    """Those of the rows that exist, ordered by id."""
    return list(map(TABLES[table], db.execute(_of("rows_by_id", table), {"ids": list(ids)})))


def all_rows(db: DictConnection, table: str) -> Iterator[Row]:
    """Every row of a table, a page at a time."""
    after = -(2**63)
    while rows := db.execute(_of("rows_after", table), {"after": after}).fetchall():
        yield from map(TABLES[table], rows)
        after = int(str(rows[-1]["id"]))


def set_error(db: DictConnection, table: str, row_id: int, error: str | None) -> None:
    """Say on the row why it cannot run; None: it can."""
    db.execute(_of("set_error", table), {"id": row_id, "error": error})


def _of(name: str, table: str) -> sql.Composed:
    return sql.SQL(_SQL[name]).format(table=sql.Identifier(table))

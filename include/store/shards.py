"""Rows as the DAGs are built from them: which shards changed, and what is wrong with which row.

A shard is a block of consecutive ids, so that a small system has few files and a row never moves to another file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from include.model import Job
from include.store.db import DictConnection, queries
from include.store.rows import job_from_row

SHARD_SIZE = 64
_SQL = {name: text.encode() for name, text in queries("shards").items()}


@dataclass(frozen=True, slots=True)
class Change:
    """A row that changed; `transaction` is the newest that did it."""

    table_name: str
    row_id: int
    changes_dag: bool
    transaction: str


def snapshot(db: DictConnection) -> str:
    """What is visible now, to ask `changed_since` about later."""
    row = db.execute(_SQL["snapshot"]).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return str(row["snapshot"])


def changed_since(db: DictConnection, last: str) -> tuple[str, list[Change]]:
    """The snapshot now, and the rows whose changes became visible since `last`."""
    rows: list[dict[str, Any]] = db.execute(_SQL["changed"], {"last": last}).fetchall()
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
    rows: list[dict[str, Any]] = db.execute(_SQL["unbuilt"], parameters).fetchall()
    return {(row["number"], row["transaction"]) for row in rows}


def note_build(db: DictConnection, table_name: str, number: int, built: str) -> None:
    """Note what a build has seen: take the snapshot before reading the rows."""
    db.execute(_SQL["built"], {"table_name": table_name, "number": number, "built": built})


def job_shards(db: DictConnection) -> list[int]:
    """The numbers of the shards that have jobs."""
    return [int(str(row["number"])) for row in db.execute(_SQL["job_shards"], {"size": SHARD_SIZE})]


def jobs_of_shard(db: DictConnection, number: int) -> list[Job]:
    """The jobs of one shard, ordered by id."""
    return [job_from_row(row) for row in db.execute(_SQL["jobs_of_shard"], {"number": number, "size": SHARD_SIZE})]


def jobs_by_id(db: DictConnection, ids: Iterable[int]) -> list[Job]:
    """Those of the jobs that exist, ordered by id."""
    return [job_from_row(row) for row in db.execute(_SQL["jobs_by_id"], {"ids": list(ids)})]


def all_jobs(db: DictConnection) -> Iterator[Job]:
    """Every job, a page at a time."""
    after = -(2**63)
    while rows := db.execute(_SQL["jobs_after"], {"after": after}).fetchall():
        yield from map(job_from_row, rows)
        after = int(str(rows[-1]["id"]))


def set_error(db: DictConnection, job_id: int, error: str | None) -> None:
    """Say on the row why it cannot run; None: it can."""
    db.execute(_SQL["set_error"], {"id": job_id, "error": error})

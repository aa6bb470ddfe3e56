"""Rows as documents are written: judged as a whole, by somebody who may, all or nothing.

Everything here is called inside `store.edits.changing`. What a caller may not see is answered as what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.documents import permits
from include.documents.caller import Caller
from include.documents.invalid import InvalidDocumentError, parse
from include.documents.merge import merged
from include.documents.same import same
from include.documents.table import D, Table
from include.errors import MisfitError, RefusedError, TakenError
from include.store import access
from include.store.db import DictConnection
from include.store.edits import Row


@dataclass(frozen=True, slots=True)
class Created:
    """A row, and whether it was `made` now: one with the same `external_id` and the same settings is there already."""

    row: Row
    made: bool


def get(db: DictConnection, table: Table[D], caller: Caller, row_id: int, *, lock: bool = False) -> Row:
    """The row, if the caller may see it; else `RefusedError` (404)."""
    row = table.get(db, row_id, caller.sees, lock=lock)
    if row is None:
        raise RefusedError(404, f"there is no {table.noun} with id {row_id}")
    return row


def create(db: DictConnection, table: Table[D], caller: Caller, settings: D) -> Created:
    """Add a row; `TakenError` if its name, or its `external_id` with other settings, is taken."""
    made = add(db, table, caller, settings)
    if made.made:
        permits.check_quota(db, caller, made.row["owner"])
    return made


def add(db: DictConnection, table: Table[D], caller: Caller, settings: D) -> Created:
    """`create`, for one of many: whoever adds them checks the quota once all are there."""
    caller.check_writes()
    owner = caller.owner(getattr(settings, "owner", None))
    columns = {**table.columns(db, caller, settings, None), "owner": owner}
    external_id = columns.get("external_id")
    # Admins have no quota: only a row that somebody else may be adding at this moment must be waited for.
    if not caller.is_admin or external_id is not None:
        access.lock_owner(db, owner)
    if external_id is not None and (row := table.by_external_id(db, owner, external_id)) is not None:
        if all(same(row[name], value) for name, value in columns.items()):
            return Created(row, made=False)
        raise TakenError(
            f"external_id: {table.noun} {row['id']} has {external_id!r} already, with other settings; change that one",
            "external_id",
        )
    _judge(db, table, caller, columns, None)
    return Created(table.insert(db, columns), made=True)


def replace(db: DictConnection, table: Table[D], caller: Caller, before: Row, settings: D) -> Row:
    """Set everything that a person may set, to what the settings say or else to its default; the owner stays."""
    caller.check_writes()
    owner = caller.owner(getattr(settings, "owner", None), before["owner"])
    columns = {**table.columns(db, caller, settings, before), "owner": owner}
    changes = {name: value for name, value in columns.items() if not same(before[name], value)}
    if not changes:
        return before
    if not caller.is_admin:
        access.lock_owner(db, owner)
    _judge(db, table, caller, columns, before)
    row = table.change(db, before["id"], changes)
    permits.check_quota(db, caller, owner)
    return row


def patch(db: DictConnection, table: Table[D], caller: Caller, before: Row, changes: Mapping[str, Any]) -> Row:
    """Merge changes into the settings (RFC 7396), and replace them."""
    return replace(db, table, caller, before, parse(table.settings, merged(table.settings_of(before), changes)))


def switch(db: DictConnection, table: Table[D], caller: Caller, before: Row, columns: Mapping[str, Any]) -> Row:
    """Put a row on duty, or take it off; whether it could run is not asked."""
    [row] = switch_all(db, table, caller, [before], columns)
    return row


def switch_all(
    db: DictConnection, table: Table[D], caller: Caller, before: Sequence[Row], columns: Mapping[str, Any]
) -> list[Row]:
    """`switch`, for many: the quota is checked once all are as they should be."""
    caller.check_writes()
    rows = [table.change(db, row["id"], columns) for row in before]
    begin = any(row["is_active"] and not old["is_active"] for row, old in zip(rows, before, strict=True))
    if begin and not caller.is_admin:  # whose rows are all his own
        access.lock_owner(db, caller.name)
        permits.check_quota(db, caller, caller.name)
    return rows


def remove(db: DictConnection, table: Table[D], caller: Caller, before: Row) -> None:
    """Delete a row."""
    caller.check_writes()
    table.remove(db, [before["id"]])


def _judge(db: DictConnection, table: Table[D], caller: Caller, columns: Mapping[str, Any], before: Row | None) -> None:
    """Whether the row could run, and the caller may have it so.

    What an admin has put in, its owner may keep as it is: with other settings, a secret could go elsewhere.
    """
    try:
        table.judge(columns, before)
    except MisfitError as error:
        raise InvalidDocumentError(error.problems) from None
    what = ("owner", "kind", table.code, *({"notify"} & columns.keys()))
    if before is not None and all(same(before[name], columns[name]) for name in what):
        return
    caller.check_kind(columns["kind"])
    permits.check_notify_kind(caller, columns.get("notify"))
    permits.check_connections(db, caller, columns["owner"], table.connections(columns))

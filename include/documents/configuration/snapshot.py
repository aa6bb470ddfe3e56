"""What is in the tables as documents: applied to an empty database they give the same documents again, to the byte."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from include.documents.caller import Caller
from include.documents.configuration.document import VERSION
from include.documents.configuration.sections import SECTIONS
from include.store import configuration
from include.store.db import DictConnection
from include.store.edits import Row


def snapshot(db: DictConnection, caller: Caller, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A document for each owner whose rows the caller sees (or for each of `only`): his own first, without an owner.

    All is as it was at one instant. Call it outside of transactions.
    """
    owners = _owners(caller, only)
    with configuration.at_one_instant(db):
        rows = {section.name: _by_owner(section.rows(db, owners)) for section in SECTIONS}
        notifies = configuration.notifies(db, owners)
        budgets = _budgets(db, caller, only, rows["connectors"])
    documents: dict[str, dict[str, Any]] = {}
    for owner in sorted({*notifies, *(owner for found in rows.values() for owner in found)}):
        documents[owner] = {"version": VERSION, "owner": owner}
        if owner in notifies:
            documents[owner]["notify"] = {owner: _sorted(notifies[owner])}
        documents[owner].update(_sections({name: found.get(owner, []) for name, found in rows.items()}))
    mine = documents.pop(caller.name, {})
    first = {"version": VERSION, **budgets}
    first.update((name, value) for name, value in mine.items() if name != "owner")
    return [first, *documents.values()] if len(first) > 1 or not documents else list(documents.values())


def _sections(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """One owner's rows, by section and key; his own connectors are named by their keys, others by owner and name."""
    keyed = {name: list(zip(keys_of(found), found, strict=True)) for name, found in rows.items()}
    keys = {row["id"]: key for key, row in keyed["connectors"]}
    for _, workflow in keyed["workflows"]:
        workflow["connector"] = keys.get(workflow["connector_id"], workflow["connector"])
    return {
        section.name: {
            key: _sorted_values(section.entry(key, row)) for key, row in sorted(keyed[section.name], key=itemgetter(0))
        }
        for section in SECTIONS
        if keyed[section.name]
    }


def keys_of(rows: Sequence[Row]) -> list[str]:
    """The keys of one owner's rows of a table, in their order: all different, and each found again by it."""
    taken = {row["external_id"] for row in rows if row["external_id"] is not None}
    names = {row["name"] for row in rows if row["external_id"] is None}
    return [_key(row, taken, names) for row in rows]


def _key(row: Row, taken: set[str], names: set[str]) -> str:
    if row["external_id"] is not None:
        return str(row["external_id"])
    name = str(row["name"])
    if name not in taken:
        return name
    # Another row is called so by its maker. This one is found by its name, which is written under any key.
    key = next(key for number in count(2) if (key := f"{name[:190]} {number}") not in taken | names)
    taken.add(key)
    return key


def _owners(caller: Caller, only: Sequence[str]) -> list[str] | None:
    if caller.sees is None:
        return list(only) or None
    return [caller.sees] if not only or caller.sees in only else []


def _budgets(
    db: DictConnection, caller: Caller, only: Sequence[str], connectors: dict[str, list[Row]]
) -> dict[str, Any]:
    """The budgets, for an admin; those that the connectors name, if not all owners are asked for."""
    if not caller.is_admin:
        return {}
    named = {row["budget"] for rows in connectors.values() for row in rows}
    found = {name: budget for name, budget in configuration.budgets(db).items() if not only or name in named}
    return {"budgets": dict(sorted(found.items()))} if found else {}


def _by_owner(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["owner"]].append(row)
    return found


def _sorted_values(entry: dict[str, Any]) -> dict[str, Any]:
    """Columns keep the order that the table has; what is inside them has none, and is sorted."""
    return {name: _sorted(value) for name, value in entry.items()}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(inner) for inner in value] if isinstance(value, list) else value

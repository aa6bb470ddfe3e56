"""On duty or off: how jobs, connectors and workflows are paused and resumed. Of several, all are changed or none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.output import print_json, print_line
from include.errors import ConfigError
from include.store.db import DictConnection
from include.store.edits import Row, changing
from include.times import parse_instant, spell_instant, utcnow

Until = Annotated[
    str | None, typer.Option("--until", help="Back on duty by itself then: ISO 8601 (UTC if no offset), or +2h.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Find = Callable[[DictConnection, str], Row]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one table: what one is called, how it is found and changed, and its document for scripts."""

    noun: str
    find: Find
    change: Callable[[DictConnection, int, Mapping[str, Any]], Row]
    document: Callable[[Row, datetime], dict[str, Any]]


def pause(group: Group, names_or_ids: list[str], until: str | None, as_json: bool) -> list[Row]:
    """Take rows off duty, until somebody resumes them or by `until` (`--until`), and say so; the rows as they are then.

    `ConfigError` if one is unknown, or if `until` is no instant to come.
    """
    if until is None:
        return _change_all(group, names_or_ids, {"is_active": False}, "paused", as_json)
    now = utcnow()
    end = parse_instant(until, "--until", zone="UTC", now=now)
    if end <= now:
        raise ConfigError(f"--until: {until!r} is not in the future; write a later time, or +2h")
    done = f"paused until {spell_instant(end)} UTC:"
    return _change_all(group, names_or_ids, {"paused_until": end}, done, as_json)


def resume(group: Group, names_or_ids: list[str], as_json: bool) -> list[Row]:
    """Put rows back on duty, whichever way they were paused, and say so; the rows as they are then."""
    return _change_all(group, names_or_ids, {"is_active": True, "paused_until": None}, "resumed", as_json)


def found(db: DictConnection, find: Find, names_or_ids: list[str]) -> list[Row]:
    """Each row once, in the order of their ids, which is the order in which everybody locks them."""
    rows = {row["id"]: row for row in (find(db, name_or_id) for name_or_id in names_or_ids)}
    return [rows[row_id] for row_id in sorted(rows)]


def confirm(what: str) -> None:
    """Go on if a person says yes to `what` is to be done; `ConfigError` if there is none to be asked."""
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked whether to {what}; say --yes")
    typer.confirm(f"{what[0].upper()}{what[1:]}?", abort=True, err=True)


def _change_all(
    group: Group, names_or_ids: list[str], changes: Mapping[str, Any], done: str, as_json: bool
) -> list[Row]:
    with open_database() as db:
        rows = found(db, group.find, names_or_ids)
        with changing(db):
            rows = [group.change(db, row["id"], changes) for row in rows]
    if as_json:
        print_json([group.document(row, utcnow()) for row in rows])
        return rows
    for row in rows:
        print_line(f"{done} {group.noun} {row['id']} ({row['name']})")
    return rows

"""Take workflows off duty, put them back, and remove them. Of several, all are done or none."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.jobs_view import utcnow
from include.cli.output import print_json, print_line
from include.cli.times import parse_instant, spell_instant
from include.cli.workflows_options import NamesOrIds
from include.cli.workflows_view import tell_troubles, workflow_document
from include.errors import ConfigError
from include.store import workflows
from include.store.db import DictConnection
from include.store.edits import Row, changing


def pause(
    names_or_ids: NamesOrIds,
    until: Annotated[
        str | None, typer.Option("--until", help="Back on duty by itself then: ISO 8601 (UTC if no offset), or +2h.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take workflows off duty; records wait for them.

    Example: `./millrace workflows pause "to crm" 17 --until +2h`
    """
    now = utcnow()
    changes: dict[str, Any] = {"is_active": False}
    if until is not None:
        changes = {"paused_until": parse_instant(until, "--until", zone="UTC", now=now)}
        if changes["paused_until"] <= now:
            raise ConfigError(f"--until: {until!r} is not in the future; write a later time, or +2h")
    done = "paused" if until is None else f"paused until {spell_instant(changes['paused_until'])} UTC:"
    _change_all(names_or_ids, changes, done, as_json)


def resume(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Put workflows back on duty, whichever way they were paused; they go on where they were.

    Example: `./millrace workflows resume "to crm"`
    """
    _change_all(names_or_ids, {"is_active": True, "paused_until": None}, "resumed", as_json)


def rm(
    names_or_ids: NamesOrIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove workflows, with their watermarks and dead letters; the records stay with the connector.

    Example: `./millrace workflows rm "to crm" --yes`
    """
    with open_database() as db:
        rows = found(db, names_or_ids)
        if not yes:
            _ask(rows)
        with changing(db):
            removed = workflows.remove(db, [row["id"] for row in rows])
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed workflow {row['id']} ({row['name']})")


def found(db: DictConnection, names_or_ids: list[str]) -> list[Row]:
    """Each workflow once, in the order of their ids, which is the order in which everybody locks them."""
    rows = {row["id"]: row for row in (workflows.find(db, name_or_id) for name_or_id in names_or_ids)}
    return [rows[workflow_id] for workflow_id in sorted(rows)]


def confirm(question: str, what: str) -> None:
    """Go on if a person says yes; `ConfigError` if there is none to be asked: `what` is to be done."""
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked whether to {what}; say --yes")
    typer.confirm(question, abort=True, err=True)


def _change_all(names_or_ids: list[str], changes: dict[str, Any], done: str, as_json: bool) -> None:
    with open_database() as db:
        rows = found(db, names_or_ids)
        with changing(db):
            rows = [workflows.change(db, row["id"], changes) for row in rows]
    if as_json:
        print_json([workflow_document(row, utcnow()) for row in rows])
        return
    for row in rows:
        print_line(f"{done} workflow {row['id']} ({row['name']})")
    tell_troubles(rows)


def _ask(rows: list[Row]) -> None:
    names = ", ".join(f"{row['name']!r}" for row in rows)
    dead = sum(row["dead_letters"] for row in rows)
    what = f"remove {names}" + (f" and {dead} dead letters that nobody has resolved" if dead else "")
    confirm(f"{what[0].upper()}{what[1:]}?", what)

"""Take jobs off duty, put them back, and remove them. Of several, all are done or none."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.jobs_view import job_document, utcnow
from include.cli.output import print_json, print_line
from include.cli.times import parse_instant, spell_instant
from include.errors import ConfigError
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import Row, changing


def pause(
    names_or_ids: NamesOrIds,
    until: Annotated[
        str | None, typer.Option("--until", help="Back on duty by itself then: ISO 8601 (UTC if no offset), or +2h.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take jobs off duty; what falls due meanwhile is skipped.

    Example: `./millrace jobs pause nightly 17 --until +2h`
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
    """Put jobs back on duty, whichever way they were paused.

    Example: `./millrace jobs resume nightly`
    """
    _change_all(names_or_ids, {"is_active": True, "paused_until": None}, "resumed", as_json)


def rm(
    names_or_ids: NamesOrIds,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove jobs.

    What became of them stays in the ledger: `./millrace jobs executions ID`.

    Example: `./millrace jobs rm nightly --yes`
    """
    with open_database() as db:
        rows = _found(db, names_or_ids)
        if not yes:
            _ask(rows)
        with changing(db):
            removed = jobs.remove(db, [row["id"] for row in rows])
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed job {row['id']} ({row['name']})")


def _change_all(names_or_ids: list[str], changes: dict[str, Any], done: str, as_json: bool) -> None:
    with open_database() as db:
        rows = _found(db, names_or_ids)
        with changing(db):
            rows = [jobs.change(db, row["id"], changes) for row in rows]
    if as_json:
        print_json([job_document(row, utcnow()) for row in rows])
        return
    for row in rows:
        print_line(f"{done} job {row['id']} ({row['name']})")


def _found(db: DictConnection, names_or_ids: list[str]) -> list[Row]:
    """Each job once, in the order of their ids, which is the order in which everybody locks them."""
    rows = {row["id"]: row for row in (jobs.find(db, name_or_id) for name_or_id in names_or_ids)}
    return [rows[job_id] for job_id in sorted(rows)]


def _ask(rows: list[Row]) -> None:
    names = ", ".join(f"{row['name']!r}" for row in rows)
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked whether to remove {names}; say --yes")
    typer.confirm(f"Remove {names}?", abort=True, err=True)

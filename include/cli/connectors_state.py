"""Take connectors off duty, put them back, have them begin anew, and remove them. Of several, all are done or none."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from include.cli.connectors_options import NameOrId
from include.cli.connectors_view import connector_document
from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.jobs_view import utcnow
from include.cli.output import print_json, print_line
from include.cli.times import parse_instant, spell_instant
from include.errors import ConfigError
from include.store import connectors
from include.store.db import DictConnection
from include.store.edits import Row, changing

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def pause(
    names_or_ids: NamesOrIds,
    until: Annotated[
        str | None, typer.Option("--until", help="Back on duty by itself then: ISO 8601 (UTC if no offset), or +2h.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take connectors off duty; they go on where they stopped.

    Example: `./millrace connectors pause shop 17 --until +2h`
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
    """Put connectors back on duty, whichever way they were paused.

    Example: `./millrace connectors resume shop`
    """
    _change_all(names_or_ids, {"is_active": True, "paused_until": None}, "resumed", as_json)


def reset(name_or_id: NameOrId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Forget where the last pull stopped, so that everything is pulled again.

    What is stored already is not stored again: its key is known.

    Example: `./millrace connectors reset shop --yes`
    """
    with open_database() as db:
        row = connectors.find(db, name_or_id)
        if not yes:
            _ask(f"have {row['name']!r} pull everything again")
        with changing(db):
            row = connectors.rewind(db, row["id"])
    if as_json:
        print_json(connector_document(row, utcnow()))
    else:
        print_line(f"reset connector {row['id']} ({row['name']}): its next pull begins anew")


def rm(names_or_ids: NamesOrIds, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove connectors, and their records with them.

    Refused while workflows read one of them.

    Example: `./millrace connectors rm shop --yes`
    """
    with open_database() as db:
        found = connectors.holdings(db, [row["id"] for row in _found(db, names_or_ids)])
        if not yes and any(row["records"] for row in found):
            _ask("remove " + ", ".join(f"{row['name']!r} and its {_records(row)}" for row in found))
        with changing(db):
            gone = {row["id"] for row in connectors.remove(db, [row["id"] for row in found])}
    removed = [row for row in found if row["id"] in gone]
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed connector {row['id']} ({row['name']}) and its {_records(row)}")


def _change_all(names_or_ids: list[str], changes: dict[str, Any], done: str, as_json: bool) -> None:
    with open_database() as db:
        rows = _found(db, names_or_ids)
        with changing(db):
            rows = [connectors.change(db, row["id"], changes) for row in rows]
    if as_json:
        print_json([connector_document(row, utcnow()) for row in rows])
        return
    for row in rows:
        print_line(f"{done} connector {row['id']} ({row['name']})")


def _found(db: DictConnection, names_or_ids: list[str]) -> list[Row]:
    """Each connector once, in the order of their ids, which is the order in which everybody locks them."""
    rows = {row["id"]: row for row in (connectors.find(db, name_or_id) for name_or_id in names_or_ids)}
    return [rows[connector_id] for connector_id in sorted(rows)]


def _records(row: Row) -> str:
    return "1 record" if row["records"] == 1 else f"{row['records']} records"


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"nobody can be asked whether to {what}; say --yes")
    typer.confirm(f"{what[0].upper()}{what[1:]}?", abort=True, err=True)

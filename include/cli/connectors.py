"""`./millrace connectors COMMAND`: connectors for people at a terminal, and for scripts. Here is what only looks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from include.cli import connectors_preview, connectors_run, connectors_state, connectors_write
from include.cli.connectors_options import NameOrId
from include.cli.connectors_view import (
    LIST_HEADERS,
    READER_HEADERS,
    RECORD_HEADERS,
    connector_document,
    described,
    listed_cells,
    reader_cells,
    record_cells,
    remarks,
    trouble,
)
from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_line, print_table
from include.cli.row_edits import defect, hook_of
from include.store import connectors
from include.store.rows import connector_from_row
from include.times import utcnow

_SHOWN = 5

app = typer.Typer(no_args_is_help=True)


def list_connectors(
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--paused", help="Only those on duty, or off.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only with an error, or whose last pull failed.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many; 0: all.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only ids greater than this: the next page.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List connectors: how often they pull, how they are, how far their logs go.

    `head` is the position of the newest record.

    Example: `./millrace connectors list --kind rest --failing`
    """
    now = utcnow()
    paused = None if active is None else not active
    with open_database() as db:
        rows = connectors.page(
            db, kind=kind, owner=owner, paused=paused, failing=failing, after=after, limit=limit + 1 if limit else None
        )
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([connector_document(row, now) for row in rows])
    elif rows:
        print_table(LIST_HEADERS, [listed_cells(row, now) for row in rows])
    else:
        note("no connectors; `./millrace connectors add --help` shows how to add one")
    if more:
        note(f"there are more: --after {rows[-1]['id']} shows the next {limit}, --limit 0 all of them")
    for row in rows if not as_json else ():
        for remark in remarks(row, now):
            note(f"connector {row['id']} ({row['name']}): {remark}")


def show(name_or_id: NameOrId, as_json: AsJson = False) -> None:
    """Show everything about one connector, its newest records, and the workflows that read them.

    Example: `./millrace connectors show shop`
    """
    now = utcnow()
    with open_database() as db:
        row = connectors.find(db, name_or_id)
        records = connectors.records(db, row["id"], limit=_SHOWN)
        readers = connectors.readers(db, row["id"])
    row["error"] = row["error"] or defect(connector_from_row(row))
    pushed_to = hook_of(row)
    if as_json:
        print_json({**connector_document(row, now), "pushed_to": pushed_to, "records": records, "workflows": readers})
        return
    for label, cell in described(row, now):
        print_line(f"{label:<12} {cell.text}", cell.style)
    if pushed_to is not None:
        print_line(f"{'pushed to':<12} POST {pushed_to}   on the host and port of Airflow's UI")
    if (problem := trouble(row)) is not None:
        print_line(f"{'error':<12} {problem}", "bold red")
    for number, line in enumerate(json.dumps(row["config"], indent=2, ensure_ascii=False).splitlines()):
        print_line(f"{'' if number else 'config':<12} {line}")
    if records:
        print_line()
        print_table(RECORD_HEADERS, [record_cells(record) for record in records])
    if readers:
        print_line()
        print_table(READER_HEADERS, [reader_cells(reader) for reader in readers])


def list_records(
    name_or_id: NameOrId,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many.")] = 20,
    start: Annotated[
        int | None, typer.Option("--from", metavar="POSITION", min=1, help="Begin at this position and go back.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Only the record with this key, in all its versions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the records of a connector, the newest first.

    The table cuts long payloads, --json has all of them.

    Example: `./millrace connectors records shop -n 5 --from 120`
    """
    with open_database() as db:
        row = connectors.find(db, name_or_id)
        records = connectors.records(db, row["id"], start=start, key=key, limit=limit)
    if as_json:
        print_json(records)
        return
    if not records:
        note("no such records" if row["head"] else f"connector {row['name']!r} has no records yet")
        return
    print_table(RECORD_HEADERS, [record_cells(record) for record in records])
    if len(records) == limit and records[-1]["position"] > 1:
        note(f"there may be more: --from {records[-1]['position'] - 1} goes on")


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "add": connectors_write.add,
    "list": list_connectors,
    "show": show,
    "edit": connectors_write.edit,
    "pause": connectors_state.pause,
    "resume": connectors_state.resume,
    "run": connectors_run.run,
    "rm": connectors_state.rm,
    "preview": connectors_preview.preview,
    "records": list_records,
    "reset": connectors_state.reset,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

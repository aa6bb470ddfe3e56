"""Add connectors, and edit one. Everything is judged before a row is written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from include.cli.connectors_options import FILE_COLUMNS, NameOrId, Options
from include.cli.connectors_view import connector_document
from include.cli.database import open_database
from include.cli.jobs_options import AsJson, taking_options
from include.cli.output import note, print_json, print_line
from include.cli.row_edits import checked_name, hook_of, new_settings, vet
from include.cli.row_files import read_rows
from include.errors import ConfigError
from include.model import Connector
from include.store import connectors
from include.store.connectors import DEFAULTS
from include.store.edits import Row, changing
from include.store.rows import connector_from_row
from include.times import utcnow

# Columns that only a stored row has; a connector is judged, and tried out, without them.
_UNSTORED: dict[str, Any] = {
    "id": 0,
    "cursor": None,
    "failures": 0,
    "failing_since": None,
    "not_before": None,
    "error": None,
    "revision": 0,
}


@taking_options
def add(
    options: Options,
    name: Annotated[str | None, typer.Argument(help="A name that no other connector of this owner has.")] = None,
    kind: Annotated[
        str | None, typer.Argument(help="Where records come from: a file of include/connectors, such as rest or feed.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", help="Connectors from a YAML file; `-` is standard input.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a connector: where records come from, and how often they are pulled; or all those of a YAML file, or none.

    A file has one document for each, with the names of the columns:
    `connector: NAME`, `kind`, `every: 30s`, `config`, `dedupe`, `rate_limit: 10/second` and so on.

    Example: `./millrace connectors add shop rest --every 30s --set base_url=https://example.com --set path=/items`
    """
    now = utcnow()
    if file is None:
        if name is None or kind is None:
            raise typer.BadParameter("write a NAME and a KIND, or --file FILE")
        rows = [_columns(name, kind, options)]
    else:
        if (name, kind, options) != (None, None, Options()):
            raise ConfigError("--file says everything; give it without a name, a kind or other options")
        rows = from_file(file)
    for row in rows:
        judged(row, now)
    with open_database() as db, changing(db):
        made = [connectors.insert(db, row) for row in rows]
    if as_json:
        documents = [connector_document(row, now) for row in made]
        print_json(documents if file is not None else documents[0])
        return
    for row in made:
        _print_written("added", row)
    note("new rows are on duty within seconds")


@taking_options
def edit(
    name_or_id: NameOrId,
    options: Options,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Another kind; its config must fit.")] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take out one setting.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a connector: what is given, and nothing else.

    --set changes one setting, --config all of them. Where the last pull stopped stays as it is:
    `./millrace connectors reset` forgets it.

    Example: `./millrace connectors edit shop --every 1m --set path=/v2/items`
    """
    with open_database() as db:
        row = connectors.find(db, name_or_id)
        changes = options.columns()
        if name is not None:
            changes["name"] = checked_name(name)
        if kind is not None:
            changes["kind"] = kind
        text, file, assignments = options.config, options.config_file, options.assignments
        changes |= new_settings("config", row["config"], text, file, assignments, unset)
        if not changes:
            raise ConfigError("nothing to change; `./millrace connectors edit --help` lists what can be given")
        vet(connector_from_row({**row, **changes}), "connector")
        with changing(db):
            row = connectors.change(db, row["id"], changes)
    if as_json:
        print_json(connector_document(row, utcnow()))
    else:
        _print_written("changed", row)


def from_file(file: str) -> list[dict[str, Any]]:
    """The columns of each connector in a YAML file."""
    rows = read_rows(file, "connector", FILE_COLUMNS)
    for row in rows:
        if "kind" not in row:
            raise ConfigError(f"connector {row['name']!r}: it has no kind; write kind: rest, or another")
        checked_name(row["name"])
    return rows


def judged(columns: dict[str, Any], now: datetime) -> Connector:
    """What the columns will be as a connector; `ConfigError` if it could not run."""
    connector = connector_from_row({**DEFAULTS, **columns, "created_at": now, "schedule_changed_at": now, **_UNSTORED})
    vet(connector, "connector")
    return connector


def _columns(name: str, kind: str, options: Options) -> dict[str, Any]:
    config = new_settings("config", {}, options.config, options.config_file, options.assignments)
    return {"name": checked_name(name), "kind": kind, **options.columns(), **config}


def _print_written(done: str, row: Row) -> None:
    connector = connector_from_row(row)
    print_line(f"{done} connector {connector.id} ({connector.name}): {connector.kind}, {connector.schedule.describe()}")
    if (pushed_to := hook_of(row)) is not None:
        print_line(f"records are pushed to it by POST {pushed_to}, on the host and port of Airflow's UI")
    if not connector.is_active:
        print_line(f"paused; `./millrace connectors resume {connector.id}` puts it on duty")

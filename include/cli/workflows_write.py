"""Add a workflow, and edit one. Everything is judged before the row is written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson, taking_options
from include.cli.output import note, print_json, print_line
from include.cli.row_edits import checked_name, new_settings, vet
from include.cli.workflows_options import NameOrId, Options
from include.cli.workflows_view import workflow_document
from include.errors import ConfigError
from include.store import connectors, workflows
from include.store.db import DictConnection
from include.store.edits import Row, changing
from include.store.rows import workflow_from_row
from include.store.workflows import DEFAULTS
from include.times import spell_instant, utcnow

# Columns that only a stored row has; a workflow is judged without them.
_UNSTORED: dict[str, Any] = {"id": 0, "revision": 0, "error": None}


@taking_options
def add(
    name: Annotated[str, typer.Argument(help="A name that no other workflow of this owner has.")],
    kind: Annotated[str, typer.Argument(help="What it does: a file of include/actions, such as webhook or http.")],
    options: Options,
    connector: Annotated[str, typer.Option("--connector", metavar="NAME|ID", help="Whose records it processes.")],
    as_json: AsJson = False,
) -> None:
    """Add a workflow: what to do with each new record of a connector, for one user.

    Texts in the payload are templates, rendered for each record: {{ record.payload.title }}.

    Example: `./millrace workflows add "to crm" webhook --connector issues --set url=https://example.com/hook`
    """
    now = utcnow()
    columns = {"name": checked_name(name), "kind": kind, **options.columns(now)}
    columns |= new_settings("payload", {}, options.payload, options.payload_file, options.assignments)
    with open_database() as db:
        source = connectors.find(db, connector, columns.get("owner", DEFAULTS["owner"]))
        columns["connector_id"] = source["id"]
        started_at = columns.get("started_at", now)
        judged = {**DEFAULTS, **columns, "started_at": started_at, "schedule_changed_at": now, **_UNSTORED}
        vet(workflow_from_row({**judged, "connector": source["name"]}), "workflow")
        with changing(db):
            row = workflows.insert(db, columns)
        _tell_filter(db, row, columns)
    _show_written("added", row, now, as_json)
    if not as_json:
        note("new rows are on duty within seconds")


@taking_options
def edit(
    name_or_id: NameOrId,
    options: Options,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Another kind; its payload must fit.")] = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take out one setting.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a workflow: what is given, and nothing else. Its watermark stays where it is.

    --set changes one setting, --payload all of them.

    Example: `./millrace workflows edit "to crm" --every 5s --set url=https://example.com/other`
    """
    now = utcnow()
    with open_database() as db:
        row = workflows.find(db, name_or_id)
        changes = options.columns(now)
        if "start_from" in changes and row["begun"]:
            raise ConfigError(
                f"--start-from: workflow {row['name']!r} has begun, so this would change nothing; "
                f"`./millrace workflows rewind {row['id']} --to TIME` goes back, and `skip --to` ahead"
            )
        if name is not None:
            changes["name"] = checked_name(name)
        if kind is not None:
            changes["kind"] = kind
        text, file, assignments = options.payload, options.payload_file, options.assignments
        changes |= new_settings("payload", row["payload"], text, file, assignments, unset)
        if not changes:
            raise ConfigError("nothing to change; `./millrace workflows edit --help` lists what can be given")
        vet(workflow_from_row({**row, **changes}), "workflow")
        with changing(db):
            row = workflows.change(db, row["id"], changes)
        _tell_filter(db, row, changes)
    _show_written("changed", row, now, as_json)


def _tell_filter(db: DictConnection, row: Row, changes: dict[str, Any]) -> None:
    """A misspelt field lets nothing through: better seen now than missed later."""
    if changes.get("filter") is None:
        return
    looked_at, wanted = workflows.filter_sample(db, row["connector_id"], row["filter"])
    if looked_at:
        note(f"of the newest {looked_at} records the filter lets {wanted} through")


def _show_written(done: str, row: Row, now: datetime, as_json: bool) -> None:
    if as_json:
        print_json(workflow_document(row, now))
        return
    schedule = workflow_from_row(row).schedule.describe()
    print_line(f"{done} workflow {row['id']} ({row['name']}): {schedule}, the records of connector {row['connector']}")
    if row["begun"]:
        print_line(f"it goes on after record {row['position']}; the newest is {row['head']}")
    else:
        print_line(f"it begins at {spell_instant(row['started_at'])} UTC")
    if not row["is_active"]:
        print_line(f"paused; `./millrace workflows resume {row['id']}` puts it on duty")

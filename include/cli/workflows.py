"""`./millrace workflows COMMAND`: workflows for people and for scripts. Here are the commands that only look."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from include.cli import workflows_run, workflows_state, workflows_watermark, workflows_write
from include.cli.database import open_database
from include.cli.dead_letters import HEADERS, letter_cells
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_line, print_table
from include.cli.row_edits import defect
from include.cli.workflows_options import NameOrId
from include.cli.workflows_view import (
    LAG_HEADERS,
    LIST_HEADERS,
    described,
    lag_cells,
    lag_document,
    listed_cells,
    tell_troubles,
    trouble_of,
    workflow_document,
)
from include.fires import next_fires
from include.store import connectors, dead_letters, workflows
from include.store.rows import workflow_from_row
from include.times import spell_instant, utcnow

_SHOWN = 5

app = typer.Typer(no_args_is_help=True)


def list_workflows(
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    connector: Annotated[
        str | None, typer.Option(metavar="NAME|ID", help="Only those that process this connector's records.")
    ] = None,
    active: Annotated[bool | None, typer.Option("--active/--paused", help="Only those on duty, or off.")] = None,
    failing: Annotated[
        bool, typer.Option("--failing", help="Only with an error, stopped, or with dead letters.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many; 0: all.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only ids greater than this: the next page.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List workflows: whose records they process, how they are, how far they are behind.

    Example: `./millrace workflows list --owner ada@example.com --failing`
    """
    now = utcnow()
    paused = None if active is None else not active
    with open_database() as db:
        connector_id = None if connector is None else connectors.find(db, connector, owner)["id"]
        rows = workflows.page(
            db,
            owner=owner,
            connector_id=connector_id,
            paused=paused,
            failing=failing,
            after=after,
            limit=limit + 1 if limit else None,
        )
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([workflow_document(row, now) for row in rows])
    elif rows:
        print_table(LIST_HEADERS, [listed_cells(row, now) for row in rows])
        tell_troubles(rows)
    else:
        note("no workflows; `./millrace workflows add --help` shows how to add one")
    if more:
        note(f"there are more: --after {rows[-1]['id']} shows the next {limit}, --limit 0 all of them")


def show(name_or_id: NameOrId, as_json: AsJson = False) -> None:
    """Show everything about one workflow, how far it is, and its newest dead letters.

    Example: `./millrace workflows show "to crm"`
    """
    now = utcnow()
    with open_database() as db:
        row = workflows.find(db, name_or_id)
        letters = dead_letters.page(db, workflow_id=row["id"], open=True, limit=_SHOWN)
    row["error"] = row["error"] or defect(workflow_from_row(row))
    fires = next_fires(workflow_from_row(row), now, _SHOWN)
    if as_json:
        print_json({**workflow_document(row, now), "next": fires, "newest_dead_letters": letters})
        return
    for label, cell in described(row, now):
        print_line(f"{label:<10} {cell.text}", cell.style)
    if (trouble := trouble_of(row)) is not None:
        print_line(f"{'error':<10} {trouble}", "bold red")
    for number, line in enumerate(json.dumps(row["payload"], indent=2, ensure_ascii=False).splitlines()):
        print_line(f"{'' if number else 'payload':<10} {line}")
    print_line(f"{'next':<10} {', '.join(map(spell_instant, fires)) + ' UTC' if fires else 'not by itself'}")
    if letters:
        print_line()
        print_table(HEADERS, [letter_cells(letter) for letter in letters])


def lag(
    name_or_id: Annotated[
        str | None, typer.Argument(metavar="[NAME|ID]", help="One workflow; default: all, those furthest behind first.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many; 0: all.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show how far workflows are: what lies ahead of them in records, and in the age of the oldest of these.

    Example: `./millrace workflows lag "to crm"`
    """
    now = utcnow()
    with open_database() as db:
        workflow_id = None if name_or_id is None else workflows.find(db, name_or_id)["id"]
        rows = workflows.lag(db, workflow_id, limit=limit + 1 if limit else None)
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([lag_document(row, now) for row in rows])
    elif rows:
        print_table(LAG_HEADERS, [lag_cells(row, now) for row in rows])
        tell_troubles(rows)
    else:
        note("no workflows; `./millrace workflows add --help` shows how to add one")
    if more:
        note("there are more, less far behind: --limit 0 shows all of them")


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "add": workflows_write.add,
    "list": list_workflows,
    "show": show,
    "edit": workflows_write.edit,
    "pause": workflows_state.pause,
    "resume": workflows_state.resume,
    "run": workflows_run.run,
    "rm": workflows_state.rm,
    "lag": lag,
    "rewind": workflows_watermark.rewind,
    "skip": workflows_watermark.skip,
    "retry": workflows_watermark.retry,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

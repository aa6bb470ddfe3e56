"""`./millrace dead-letters COMMAND`: the records that workflows have given up on, until a person decides about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from include.cli.clock import parse_past, utcnow
from include.cli.database import open_database
from include.cli.duty import Yes, confirm
from include.cli.jobs_options import AsJson
from include.cli.output import Cell, note, print_json, print_line, print_table
from include.cli.times import spell_duration, spell_instant
from include.errors import ConfigError
from include.store import dead_letters, workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row, changing, is_id

HEADERS = ("id", "workflow", "owner", "position", "key", "status", "attempts", "created (UTC)", "error")
_ATTEMPT_HEADERS = ("attempt", "at (UTC)", "took", "code", "error")
_STYLES = {"dead": "red", "redriving": "yellow", "redriven": "green", "discarded": "dim"}
_GONE = "no longer kept"

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", min=0, help="Dead letters, by their ids.")]
OfWorkflow = Annotated[
    str | None, typer.Option("--workflow", metavar="NAME|ID", help="Those of this workflow, with --all or --since.")
]
All = Annotated[bool, typer.Option("--all", help="All that are dead.")]
Since = Annotated[str | None, typer.Option("--since", help="1h: those of the last hour; or ISO 8601.")]

app = typer.Typer(no_args_is_help=True)


def list_dead_letters(
    workflow: Annotated[str | None, typer.Option(metavar="NAME|ID", help="Only of this workflow.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner's workflows.")] = None,
    status: Annotated[
        Literal["open", "dead", "redriving", "redriven", "discarded", "all"],
        typer.Option(help="Only with this status; open: dead or redriving."),
    ] = "open",
    since: Annotated[str | None, typer.Option(help="1h: of the last hour; or ISO 8601 (UTC if no offset).")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many of the newest; 0: all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first.

    Example: `./millrace dead-letters list --workflow "to crm" --since 1d`
    """
    first = None if since is None else parse_past(since, "--since", utcnow())
    with open_database() as db:
        rows = dead_letters.page(
            db,
            workflow_id=None if workflow is None else workflows.find(db, workflow)["id"],
            owner=owner,
            status=None if status in ("open", "all") else status,
            open=status == "open",
            since=first,
            limit=limit + 1 if limit else None,
        )
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json(rows)
    elif rows:
        print_table(HEADERS, [letter_cells(row) for row in rows])
    else:
        note(
            "no dead letters" if status == "all" else f"no dead letters that are {status}; --status all shows the rest"
        )
    if more:
        note("there are more: --limit 0 shows all of them")


def show(
    id_or_workflow: Annotated[str, typer.Argument(metavar="ID|WORKFLOW", help="A dead letter's id; or a workflow.")],
    position: Annotated[
        int | None, typer.Argument(metavar="[POSITION]", min=1, max=LARGEST_ID, help="Of a workflow: which record.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: its record, its error, and every attempt.

    Example: `./millrace dead-letters show "to crm" 17`
    """
    with open_database() as db:
        row = _find(db, id_or_workflow, position)
    if as_json:
        print_json(row)
        return
    record = row["record"]
    resolved = f"{row['status']} at {spell_instant(row['resolved_at'])} UTC"
    for label, text, style in (
        ("id", str(row["id"]), ""),
        ("workflow", f"{row['workflow']} ({row['workflow_id']}) of {row['owner']}", ""),
        ("record", f"{row['position']} of connector {row['connector']} ({row['connector_id']})", ""),
        ("key", record["key"] if record else _GONE, ""),
        ("status", resolved if row["resolved_at"] else row["status"], _STYLES[row["status"]]),
        ("created", f"{spell_instant(row['created_at'])} UTC", ""),
        ("error", row["error"], "red"),
    ):
        print_line(f"{label:<10} {text}", style)
    payload = json.dumps(record["payload"], indent=2, ensure_ascii=False) if record else _GONE
    for number, line in enumerate(payload.splitlines()):
        print_line(f"{'' if number else 'payload':<10} {line}")
    if row["attempts"]:
        print_line()
        print_table(_ATTEMPT_HEADERS, [_attempt_cells(attempt) for attempt in row["attempts"]])


def redrive(
    ids: Ids = None, workflow: OfWorkflow = None, everything: All = False, since: Since = None, as_json: AsJson = False
) -> None:
    """Have dead letters sent again, beside the records to come.

    They carry the webhook-id of the first time.

    Example: `./millrace dead-letters redrive --workflow "to crm" --since 1h`
    """
    with open_database() as db:
        rows = _chosen(db, ids or [], workflow, everything, since)
        gone = [row for row in rows if row["status"] == "dead" and not row["kept"]]
        if gone and ids:
            raise ConfigError(_no_record(gone))
        with changing(db):
            done = dead_letters.redrive(db, [row["id"] for row in rows])
    if as_json:
        print_json({"redriving": len(done), "ids": done, "gone": [row["id"] for row in gone]})
    else:
        print_line(f"redriving {_counted(len(done))}")
    if under_way := sum(row["status"] == "redriving" for row in rows):
        note(f"{_counted(under_way)} had been asked for already")
    if gone:
        note(f"but not {_counted(len(gone))}: {_no_record(gone)}")
    for workflow_id, name in sorted({(row["workflow_id"], row["workflow"]) for row in rows if not row["is_active"]}):
        note(f"workflow {name!r} is paused: it sends them after `./millrace workflows resume {workflow_id}`")


def discard(
    ids: Ids = None,
    workflow: OfWorkflow = None,
    everything: All = False,
    since: Since = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up on dead letters for good: they are kept, and count as resolved.

    Example: `./millrace dead-letters discard 3 4 --yes`
    """
    with open_database() as db:
        rows = _chosen(db, ids or [], workflow, everything, since)
        if rows and not yes:
            confirm(f"discard {_counted(len(rows))}")
        with changing(db):
            done = dead_letters.discard(db, [row["id"] for row in rows])
    if as_json:
        print_json({"discarded": len(done), "ids": done})
    else:
        print_line(f"discarded {_counted(len(done))}")


def letter_cells(row: Row) -> list[Cell | str]:
    return [
        str(row["id"]),
        row["workflow"],
        row["owner"],
        str(row["position"]),
        row["key"] if row["kept"] else _GONE,
        Cell(row["status"], _STYLES[row["status"]]),
        str(len(row["attempts"])),
        spell_instant(row["created_at"]),
        Cell(row["error"], "red"),
    ]


def _attempt_cells(attempt: dict[str, Any]) -> list[Cell | str]:
    took = timedelta(milliseconds=round(attempt.get("ms", 0)))
    at = spell_instant(datetime.fromisoformat(attempt["at"])) if "at" in attempt else ""
    return [
        str(attempt.get("attempt", "")),
        at,
        spell_duration(took),
        str(attempt.get("code", "")),
        Cell(attempt.get("error", ""), "red"),
    ]


def _find(db: DictConnection, id_or_workflow: str, position: int | None) -> Row:
    if position is not None:
        workflow = workflows.find(db, id_or_workflow)
        row = dead_letters.by_position(db, workflow["id"], position)
        if row is None:
            raise ConfigError(f"record {position} of workflow {workflow['name']!r} is not a dead letter")
        return row
    if not is_id(id_or_workflow):
        raise ConfigError(f"{id_or_workflow!r} is not the id of a dead letter; write one, or a workflow and a position")
    row = dead_letters.by_id(db, int(id_or_workflow)) if int(id_or_workflow) <= LARGEST_ID else None
    if row is None:
        raise _unknown([id_or_workflow])
    return row


def _chosen(db: DictConnection, ids: list[int], workflow: str | None, everything: bool, since: str | None) -> list[Row]:
    """Those that the command line names; `ConfigError` if an id is of none, or of one that is resolved already."""
    if bool(ids) == (workflow is not None):
        raise ConfigError("write the ids of dead letters, or --workflow together with --all or --since")
    if workflow is not None:
        if everything == (since is not None):
            raise ConfigError("with --workflow write --all, or --since, one of them")
        first = None if since is None else parse_past(since, "--since", utcnow())
        return dead_letters.dead_of(db, workflows.find(db, workflow)["id"], first)
    if everything or since is not None:
        raise ConfigError("--all and --since go together with --workflow, not with ids")
    rows = dead_letters.chosen(db, [number for number in ids if number <= LARGEST_ID])
    known = {row["id"] for row in rows}
    if unknown := [str(number) for number in ids if number not in known]:
        raise _unknown(unknown)
    for row in rows:
        if row["resolved_at"] is not None:
            raise ConfigError(
                f"dead letter {row['id']} is resolved: it was {row['status']} at {spell_instant(row['resolved_at'])} "
                f"UTC; `./millrace workflows rewind {row['workflow_id']}` processes records again"
            )
    return rows


def _unknown(ids: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"there is no dead letter {' or '.join(ids)}; `./millrace dead-letters list --status all` shows those there are"
    )


def _no_record(gone: list[Row]) -> str:
    listed = ", ".join(f"{row['id']} (record {row['position']} of connector {row['connector']})" for row in gone[:10])
    more = f" and {len(gone) - 10} more" if len(gone) > 10 else ""
    return (
        f"the log no longer has the record of dead letter {listed}{more}: retention has removed it, so it cannot be "
        f"sent again; `./millrace dead-letters discard {gone[0]['id']}` resolves it"
    )


def _counted(letters: int) -> str:
    return "1 dead letter" if letters == 1 else f"{letters} dead letters"


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_dead_letters,
    "show": show,
    "redrive": redrive,
    "discard": discard,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

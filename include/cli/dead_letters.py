"""`./millrace dead-letters COMMAND`: what has failed for good, until a person decides about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

import typer

from include.cli import dead_letters_redrive
from include.cli.database import open_database
from include.cli.dead_letters_choice import OfJob, OfTimers, OfWorkflow, Part, Since, found, part_of
from include.cli.dead_letters_view import HEADERS, letter_cells, letter_document, print_letter
from include.cli.jobs_options import AsJson
from include.cli.output import note, print_json, print_table
from include.errors import ConfigError
from include.store import dead_letters, workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row
from include.times import parse_past, utcnow

__all__ = ["HEADERS", "app", "letter_cells"]

Listed = Literal["open", "dead", "redriving", "redriven", "discarded", "all"]
_STATUSES: Mapping[Listed, Sequence[dead_letters.Status]] = {
    "open": ("dead", "redriving"),
    "dead": ("dead",),
    "redriving": ("redriving",),
    "redriven": ("redriven",),
    "discarded": ("discarded",),
    "all": dead_letters.STATUSES,
}

app = typer.Typer(no_args_is_help=True)


def list_dead_letters(
    job: OfJob = None,
    workflow: OfWorkflow = None,
    timers: OfTimers = False,
    owner: Annotated[str | None, typer.Option(help="Only of this owner's jobs, workflows and timers.")] = None,
    status: Annotated[Listed, typer.Option(help="Only with this status; open: dead or redriving.")] = "open",
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many of the newest; 0: all.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first: records of workflows, executions of jobs, and timers.

    Example: `./millrace dead-letters list --job nightly --since 1d`
    """
    first = None if since is None else parse_past(since, "--since", utcnow())
    with open_database() as db:
        part = part_of(db, job, workflow, timers)
        rows = _newest(db, part, status, owner, first, limit + 1 if limit else None)
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([letter_document(row) for row in rows])
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
    """Show one dead letter: what was sent, its error, and every attempt.

    Example: `./millrace dead-letters show job_7_1767225600000000`
    """
    with open_database() as db:
        row = found(db, id_or_workflow) if position is None else _of_record(db, id_or_workflow, position)
    if as_json:
        print_json(letter_document(row))
    else:
        print_letter(row)


def _newest(
    db: DictConnection, part: Part, status: Listed, owner: str | None, since: datetime | None, limit: int | None
) -> list[Row]:
    """The newest of all sources, in one order."""
    asked = _STATUSES[status]
    rows: list[Row] = []
    if part.has_records:
        only = None if status in ("open", "all") else status
        is_open = status == "open"
        rows += dead_letters.page(
            db, workflow_id=part.workflow_id, owner=owner, status=only, open=is_open, since=since, limit=limit
        )
    if part.has_executions:
        rows += dead_letters.of_jobs(db, asked, job_id=part.job_id, owner=owner, since=since, limit=limit)
    if part.has_timers:
        rows += dead_letters.of_timers(db, asked, owner=owner, since=since, limit=limit)
    rows.sort(key=dead_letters.instant, reverse=True)
    return rows[:limit]


def _of_record(db: DictConnection, name_or_id: str, position: int) -> Row:
    workflow = workflows.find(db, name_or_id)
    row = dead_letters.by_position(db, workflow["id"], position)
    if row is None:
        raise ConfigError(f"record {position} of workflow {workflow['name']!r} is not a dead letter")
    return row


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_dead_letters,
    "show": show,
    "redrive": dead_letters_redrive.redrive,
    "discard": dead_letters_redrive.discard,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

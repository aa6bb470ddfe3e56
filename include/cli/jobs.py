"""`./millrace jobs COMMAND`: jobs for people at a terminal, and for scripts. Here are the commands that only look."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from include.cli import jobs_run, jobs_state, jobs_try, jobs_why, jobs_write
from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NameOrId
from include.cli.jobs_view import (
    EXECUTION_HEADERS,
    LIST_HEADERS,
    described,
    execution_cells,
    execution_document,
    failing,
    job_document,
    listed_cells,
    listed_document,
)
from include.cli.output import Cell, note, print_json, print_line, print_table
from include.cli.row_edits import defect
from include.errors import ConfigError
from include.fires import fires_after, next_fires
from include.model import Status
from include.store import jobs
from include.store.db import DictConnection
from include.store.edits import Row, is_id
from include.store.rows import job_from_row
from include.time_zones import zone_named
from include.times import parse_past, spell_duration, spell_instant, spell_wall, utcnow

_SHOWN = 5
_ALL_JOBS_SINCE = timedelta(hours=1)

app = typer.Typer(no_args_is_help=True)


def list_jobs(
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--paused", help="Only those on duty, or off.")] = None,
    failing: Annotated[bool, typer.Option("--failing", help="Only with an error, or failed last; slower.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="How many; 0: all.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only ids greater than this: the next page.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List jobs: when they run, how they are, what happened last.

    Example: `./millrace jobs list --kind webhook --failing`
    """
    now = utcnow()
    paused = None if active is None else not active
    with open_database() as db:
        rows = jobs.page(
            db, kind=kind, owner=owner, paused=paused, failing=failing, after=after, limit=limit + 1 if limit else None
        )
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([listed_document(row, now) for row in rows])
    elif rows:
        print_table(LIST_HEADERS, [listed_cells(row, now) for row in rows])
    else:
        note("no jobs; `./millrace jobs add --help` shows how to add one")
    if more:
        note(f"there are more: --after {rows[-1]['id']} shows the next {limit}, --limit 0 all of them")
    for row in rows if not as_json else ():
        if row["error"] is not None:
            note(f"job {row['id']} ({row['name']}): {row['error']}")


def show(name_or_id: NameOrId, as_json: AsJson = False) -> None:
    """Show everything about one job, its next fires and its newest executions.

    Example: `./millrace jobs show nightly`
    """
    now = utcnow()
    with open_database() as db:
        row = jobs.find(db, name_or_id)
        executions = jobs.executions(db, row["id"], limit=_SHOWN)
        health = jobs.health(db, row["id"])
    row["error"] = row["error"] or defect(job_from_row(row))
    fires = next_fires(job_from_row(row), now, _SHOWN)
    if as_json:
        shown = [execution_document(execution) for execution in executions]
        print_json({**job_document(row, now), "health": health, "next": fires, "executions": shown})
        return
    for label, cell in described(row, now):
        print_line(f"{label:<10} {cell.text}", cell.style)
    if row["error"] is not None:
        print_line(f"{'error':<10} {row['error']}", "bold red")
    if health is not None and health["failures"]:
        print_line(f"{'failing':<10} {failing(health)}", "red")
    _print_payload(row["payload"])
    print_line(f"{'next':<10} {', '.join(map(spell_instant, fires)) + ' UTC' if fires else 'not by itself'}")
    if executions:
        print_line()
        print_table(EXECUTION_HEADERS, [execution_cells(execution) for execution in executions])


def executions(
    name_or_id: Annotated[
        str | None, typer.Argument(metavar="[NAME|ID]", help="One job, even a removed one by its id; default: all.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only with this status.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="1h: the last hour; or ISO 8601 (UTC if no offset). Of all jobs: 1h if not given."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many of the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what became of occurrences, the newest first.

    `late ms` counts from the instant in the schedule, jitter included.

    Example: `./millrace jobs executions nightly --status failed --since 1d`
    """
    now = utcnow()
    first = None if since is None else parse_past(since, "--since", now)
    with open_database() as db:
        if name_or_id is None:
            begin = first or now - _ALL_JOBS_SINCE
            rows = jobs.executions_of_all(db, status=status, since=begin, limit=limit)
        else:
            rows = _executions_of_one(db, name_or_id, status, first, limit)
    if as_json:
        print_json([execution_document(row) for row in rows])
    elif rows:
        print_table(("job", *EXECUTION_HEADERS), [[row["job"] or "(removed)", *execution_cells(row)] for row in rows])
    elif name_or_id is None and since is None:
        note("no executions in the last hour; --since 1d looks further back")
    else:
        note("no such executions")


def next_(
    name_or_id: NameOrId,
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show when a job will fire, in UTC and on its own clock.

    The note says what a change of the clocks does to a fire; jitter is how much later than its instant it comes.

    Example: `./millrace jobs next nightly -n 5`
    """
    now = utcnow()
    with open_database() as db:
        job = job_from_row(jobs.find(db, name_or_id))
    job.schedule.validate()
    zone = zone_named(job.schedule.timezone)
    fires = list(islice(fires_after(job, now), number))
    facts = [(due, due.astimezone(zone), job.schedule.delay(due), job.schedule.oddity(due) or "") for due in fires]
    if not job.is_active:
        note(f"job {job.name!r} is paused: none of these happens until `./millrace jobs resume {job.id}`")
    if job.schedule.fixed_delay:
        note("counted from the end of the last execution: later than this by as long as executions take")
    if as_json:
        print_json(
            [
                {
                    "scheduled_for": due,
                    "local": wall.isoformat(),
                    "jitter": delay,
                    "fires_at": due + delay,
                    "oddity": odd,
                }
                for due, wall, delay, odd in facts
            ]
        )
    elif facts:
        _print_fires(job.schedule.timezone, facts)
    else:
        note(f"job {job.name!r} has no further occurrences: {job.schedule.describe()}")


def _executions_of_one(
    db: DictConnection, name_or_id: str, status: str | None, since: datetime | None, limit: int
) -> list[Row]:
    """Those of a job that was removed are still there, under its id."""
    try:
        job = jobs.find(db, name_or_id)
    except ConfigError:
        if not is_id(name_or_id):
            raise
        rows = jobs.executions(db, int(name_or_id), status=status, since=since, limit=limit)
        if not rows:
            raise
        return [{"job": None, **row} for row in rows]
    rows = jobs.executions(db, job["id"], status=status, since=since, limit=limit)
    return [{"job": job["name"], **row} for row in rows]


def _print_fires(zone: str, facts: list[tuple[datetime, datetime, timedelta, str]]) -> None:
    own = () if zone == "UTC" else (zone,)  # what would be said twice is said once
    table = [[spell_instant(due), *(_wall(wall) for _ in own), _plus(delay), odd] for due, wall, delay, odd in facts]
    print_table(("UTC", *own, "jitter", "note"), table)


def _print_payload(payload: dict[str, Any]) -> None:
    for number, line in enumerate(json.dumps(payload, indent=2, ensure_ascii=False).splitlines()):
        print_line(f"{'' if number else 'payload':<10} {line}")


def _wall(instant: datetime) -> str:
    return f"{spell_wall(instant)} {instant:%Z}"


def _plus(delay: timedelta) -> Cell | str:
    return f"+{spell_duration(delay)}" if delay else ""


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {
    "add": jobs_write.add,
    "list": list_jobs,
    "show": show,
    "edit": jobs_write.edit,
    "pause": jobs_state.pause,
    "resume": jobs_state.resume,
    "run": jobs_run.run,
    "try": jobs_try.try_,
    "rm": jobs_state.rm,
    "executions": executions,
    "next": next_,
    "why": jobs_why.why,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

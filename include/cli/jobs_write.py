"""Add a job, and edit one. Everything is judged before the row is written."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import NO_SCHEDULE, AsJson, NameOrId, Options, taking_options
from include.cli.jobs_view import job_document
from include.cli.output import note, print_json, print_line
from include.cli.row_edits import checked_name, new_settings, vet
from include.errors import ConfigError
from include.fires import next_fires
from include.store import jobs
from include.store.edits import Row, changing
from include.store.jobs import DEFAULTS
from include.store.rows import job_from_row
from include.times import spell_instant, utcnow

_FIRES_SHOWN = 3
# Columns that only a stored row has; a job is judged without them.
_UNSTORED: dict[str, Any] = {"id": 0, "revision": 0, "schedule_revision": 0, "error": None}


@taking_options
def add(
    name: Annotated[str, typer.Argument(help="A name that no other job of its owner has.")],
    kind: Annotated[str, typer.Argument(help="What it does: a file of include/actions, such as ping or webhook.")],
    options: Options,
    as_json: AsJson = False,
) -> None:
    """Add a job: what it does, and when.

    Without a schedule it runs only by hand.

    Example: `./millrace jobs add nightly webhook --cron "0 3 * * *" --set url=https://example.com/hook`
    """
    now = utcnow()
    columns = {"name": checked_name(name), "kind": kind, **options.columns(zone="UTC", now=now)}
    columns |= new_settings("payload", {}, options.payload, options.payload_file, options.assignments)
    vet(job_from_row({**DEFAULTS, **columns, "created_at": now, "schedule_changed_at": now, **_UNSTORED}), "job")
    with open_database() as db, changing(db):
        row = jobs.insert(db, columns)
    _show_written("added", row, now, as_json)
    if not as_json:
        note("new rows are on duty within seconds")


@taking_options
def edit(
    name_or_id: NameOrId,
    options: Options,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Another kind; its payload must fit.")] = None,
    no_schedule: Annotated[bool, typer.Option("--no-schedule", help="From now on by hand only.")] = False,
    unset: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take out one setting.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a job: what is given, and nothing else.

    --cron, --every or --run-at replaces the schedule as a whole; --set changes one setting, --payload all of them.

    Example: `./millrace jobs edit nightly --every 30m --set url=https://example.com/other`
    """
    now = utcnow()
    with open_database() as db:
        row = jobs.find(db, name_or_id)
        changes = options.columns(zone=row["timezone"], now=now)
        if no_schedule:
            if changes.keys() & NO_SCHEDULE.keys():
                raise ConfigError("--no-schedule is given together with a schedule; keep one of them")
            changes.update(NO_SCHEDULE)
        if name is not None:
            changes["name"] = checked_name(name)
        if kind is not None:
            changes["kind"] = kind
        text, file, assignments = options.payload, options.payload_file, options.assignments
        changes |= new_settings("payload", row["payload"], text, file, assignments, unset)
        if not changes:
            raise ConfigError("nothing to change; `./millrace jobs edit --help` lists what can be given")
        vet(job_from_row({**row, **changes}), "job")
        with changing(db):
            row = jobs.change(db, row["id"], changes)
    _show_written("changed", row, now, as_json)


def _show_written(done: str, row: Row, now: datetime, as_json: bool) -> None:
    job = job_from_row(row)
    fires = next_fires(job, now, _FIRES_SHOWN)
    if as_json:
        print_json({**job_document(row, now), "next": fires})
        return
    print_line(f"{done} job {job.id} ({job.name}): {job.schedule.describe()}")
    if fires:
        print_line("next (UTC): " + ", ".join(map(spell_instant, fires)))
    elif not job.is_active:
        print_line(f"paused; `./millrace jobs resume {job.id}` puts it on duty")
    elif any((job.schedule.cron, job.schedule.every, job.schedule.run_at)):
        print_line("no further occurrences")

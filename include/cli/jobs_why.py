"""Say why the last occurrence of a job did not run, or ran late."""

from __future__ import annotations

from typing import Annotated

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NameOrId
from include.cli.output import print_json, print_line
from include.cli.row_edits import defect
from include.store import jobs
from include.store.rows import job_from_row
from include.store.why import gather
from include.times import parse_instant, utcnow
from include.why import explain


def why(
    name_or_id: NameOrId,
    at: Annotated[
        str | None, typer.Option("--at", help="Another occurrence: ISO 8601, on the job's clock if it has no offset.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say in words why the last occurrence of a job did not run, or ran late.

    Example: `./millrace jobs why nightly`
    """
    now = utcnow()
    with open_database() as db:
        row = jobs.find(db, name_or_id)
        row["error"] = row["error"] or defect(job_from_row(row))
        job = job_from_row(row)
        due = None if at is None else parse_instant(at, "--at", zone=job.schedule.timezone, now=now)
        facts = gather(db, job, now, due)
    lines = explain(facts)
    if as_json:
        print_json({"job_id": job.id, "name": job.name, "scheduled_for": facts.due, "why": lines})
        return
    print_line(f"job {job.id} ({job.name}): {lines[0]}")
    for line in lines[1:]:
        print_line(f"  {line}")

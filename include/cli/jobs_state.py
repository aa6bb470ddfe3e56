"""Take jobs off duty, put them back, and remove them. Of several, all are done or none."""

from __future__ import annotations

from include.cli import duty
from include.cli.database import open_database
from include.cli.duty import Until, Yes
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.jobs_view import job_document
from include.cli.output import print_json, print_line
from include.store import jobs
from include.store.edits import changing

_JOBS = duty.Group("job", jobs.find, jobs.change, job_document)


def pause(names_or_ids: NamesOrIds, until: Until = None, as_json: AsJson = False) -> None:
    """Take jobs off duty. What falls due before --until is skipped; without it, `misfire` decides when they resume.

    Example: `./millrace jobs pause nightly 17 --until +2h`
    """
    duty.pause(_JOBS, names_or_ids, until, as_json)


def resume(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Put jobs back on duty, whichever way they were paused.

    Example: `./millrace jobs resume nightly`
    """
    duty.resume(_JOBS, names_or_ids, as_json)


def rm(names_or_ids: NamesOrIds, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove jobs.

    What became of them stays in the ledger: `./millrace jobs executions ID`.

    Example: `./millrace jobs rm nightly --yes`
    """
    with open_database() as db:
        rows = duty.found(db, jobs.find, names_or_ids)
        if not yes:
            duty.confirm("remove " + ", ".join(f"{row['name']!r}" for row in rows))
        with changing(db):
            removed = jobs.remove(db, [row["id"] for row in rows])
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed job {row['id']} ({row['name']})")

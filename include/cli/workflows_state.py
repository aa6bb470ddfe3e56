"""Take workflows off duty, put them back, and remove them. Of several, all are done or none."""

from __future__ import annotations

from include.cli import duty
from include.cli.database import open_database
from include.cli.duty import Until, Yes
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.output import print_json, print_line
from include.cli.workflows_view import tell_troubles, workflow_document
from include.store import workflows
from include.store.edits import changing

_WORKFLOWS = duty.Group("workflow", workflows.find, workflows.change, workflow_document)


def pause(names_or_ids: NamesOrIds, until: Until = None, as_json: AsJson = False) -> None:
    """Take workflows off duty; records wait for them.

    Example: `./millrace workflows pause "to crm" 17 --until +2h`
    """
    rows = duty.pause(_WORKFLOWS, names_or_ids, until, as_json)
    if not as_json:
        tell_troubles(rows)


def resume(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Put workflows back on duty, whichever way they were paused; they go on where they were.

    Example: `./millrace workflows resume "to crm"`
    """
    rows = duty.resume(_WORKFLOWS, names_or_ids, as_json)
    if not as_json:
        tell_troubles(rows)


def rm(names_or_ids: NamesOrIds, yes: Yes = False, as_json: AsJson = False) -> None:
    """Remove workflows, with their watermarks and dead letters; the records stay with the connector.

    Example: `./millrace workflows rm "to crm" --yes`
    """
    with open_database() as db:
        rows = duty.found(db, workflows.find, names_or_ids)
        if not yes:
            dead = sum(row["dead_letters"] for row in rows)
            letters = f" and {dead} dead letters that nobody has resolved" if dead else ""
            duty.confirm("remove " + ", ".join(f"{row['name']!r}" for row in rows) + letters)
        with changing(db):
            removed = workflows.remove(db, [row["id"] for row in rows])
    if as_json:
        print_json(removed)
        return
    for row in removed:
        print_line(f"removed workflow {row['id']} ({row['name']})")

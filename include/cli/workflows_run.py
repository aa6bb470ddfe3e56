"""Have a workflow look for records once, now, through Airflow: as its Trigger button does."""

from __future__ import annotations

from typing import Annotated

import typer

from include.cli.airflow_api import airflow_api
from include.cli.dag_runs import check_startable, trigger, wait_for_end
from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.output import print_json, print_line
from include.cli.row_edits import vet
from include.cli.workflows_options import NameOrId
from include.cli.workflows_view import lag_document, tell_troubles, trouble_of
from include.errors import ConfigError
from include.store import workflows
from include.store.edits import Row
from include.store.rows import workflow_from_row
from include.times import spell_instant, utcnow


def run(
    name_or_id: NameOrId,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it has ended; exit code 1 unless it is a success.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Process what is new once, now, whatever the schedule.

    Example: `./millrace workflows run "to crm" --wait`
    """
    with open_database() as db:
        row = workflows.find(db, name_or_id)
        workflow = workflow_from_row(row)
        _check(row)
        with airflow_api() as api:
            run_id, _ = trigger(api, workflow)
            if not as_json:
                print_line(f"started workflow {workflow.id} ({workflow.name}): run {run_id}")
            state = wait_for_end(api, workflow, run_id) if wait else None
        [after] = workflows.lag(db, workflow.id)
    if as_json:
        progress = lag_document(after, utcnow()) if wait else None
        print_json({"workflow_id": workflow.id, "dag_run_id": run_id, "state": state, "progress": progress})
    elif wait:
        print_line(f"{state}: {_done(row, after)}")
        tell_troubles([after])
    else:
        print_line(f"`./millrace workflows lag {workflow.id}` shows how far it is")
    if wait and (state != "success" or after["stopped_at"] is not None):
        raise typer.Exit(1)


def _check(row: Row) -> None:
    workflow = workflow_from_row(row)
    check_startable(workflow)
    vet(workflow, "workflow")
    if row["stopped_at"] is not None:
        raise ConfigError(f"workflow {workflow.name!r}: {trouble_of(row)}")
    if not row["begun"] and workflow.started_at > utcnow():
        raise ConfigError(
            f"workflow {workflow.name!r} does not begin before {spell_instant(workflow.started_at)} UTC; "
            f"`./millrace workflows edit {workflow.id} --started-at` moves that"
        )


def _done(before: Row, after: Row) -> str:
    processed, failed = (after[name] - before[name] for name in ("processed", "failed"))
    return f"processed {processed}, failed {failed}; the watermark is at {after['position']} of {after['head']}"

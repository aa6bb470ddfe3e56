"""Run a connector once, now, through Airflow: as its Trigger button does."""

from __future__ import annotations

from typing import Annotated

import typer

from include.cli.airflow_api import airflow_api
from include.cli.connectors_options import NameOrId
from include.cli.connectors_view import trouble
from include.cli.dag_runs import check_startable, trigger, wait_for_end
from include.cli.database import open_database
from include.cli.jobs_options import AsJson
from include.cli.output import print_json, print_line
from include.cli.row_edits import vet
from include.errors import ConfigError
from include.model import Connector
from include.store import connectors
from include.store.rows import connector_from_row


def run(
    name_or_id: NameOrId,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until it has ended; exit code 1 unless it is a success.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pull once, now, however often it is due.

    Example: `./millrace connectors run shop --wait`
    """
    with open_database() as db:
        before = connectors.find(db, name_or_id)
        connector = connector_from_row(before)
        _check(connector)
        with airflow_api() as api:
            started = trigger(api, connector)
            if not as_json:
                print_line(f"started connector {connector.id} ({connector.name}): run {started.run_id}")
            state = wait_for_end(api, connector, started.run_id) if wait else None
        after = connectors.find(db, str(connector.id)) if wait else before
    stored = after["head"] - before["head"]
    if as_json:
        facts = {"state": state, "stored": stored, "head": after["head"], "last_error": after["last_error"]}
        about = {"connector_id": connector.id, "dag_run_id": started.run_id, "started_at": started.at}
        print_json({**about, **(facts if wait else {"state": None})})
    elif state is None:
        print_line(f"`./millrace connectors show {connector.id}` shows what becomes of it")
    elif state == "success":
        print_line(f"success: {stored} new records, the newest at position {after['head']}", "green")
    else:
        print_line(f"{state}: {trouble(after) or 'the log of the run in Airflow says why'}", "red")
    if state not in (None, "success"):
        raise typer.Exit(1)


def _check(connector: Connector) -> None:
    from include import registry  # brings the kinds, and with them an HTTP client

    check_startable(connector)
    vet(connector, "connector")
    if registry.source(connector.kind).runs_on == "api":
        raise ConfigError(f"connector {connector.name!r} does not pull: its records are pushed to it")

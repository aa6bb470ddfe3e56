"""The table that a foreground `./millrace up` shows: what was executed last, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from include.errors import RetryableError
from include.store.db import DictConnection, connect, queries

Rows = list[dict[str, object]]

_SECONDS = 1.0
_WORKFLOWS = 4
_COLOURS = {"success": "green", "failed": "red", "retrying": "yellow", "running": "cyan"}


def show_executions(database_url: str, is_up: Callable[[], bool], *, hint: str) -> None:
    """Return when the system is no longer up. The `hint` says what Ctrl-C does."""
    console = Console()
    with Live(_table([], hint), console=console, auto_refresh=False) as live:
        while is_up():
            # A table that is longer than the screen would scroll.
            rows = max(3, min(20, console.height - 8 - _WORKFLOWS))
            executions, workflows = _recent(database_url, rows)
            table = _table(executions, hint)
            live.update(Group(table, "", _workflow_table(workflows)) if workflows else table, refresh=True)
            time.sleep(_SECONDS)


def _recent(database_url: str, rows: int) -> tuple[Rows, Rows]:
    # A connection a turn: a server that restarts in between is nothing to speak of.
    try:
        db: DictConnection
        with connect(database_url, via="cli") as db:
            executions = db.execute(queries("jobs")["recent_executions"].encode(), {"rows": rows}).fetchall()
            workflows = db.execute(queries("workflows")["furthest_behind"].encode(), {"rows": _WORKFLOWS}).fetchall()
            return executions, workflows
    except RetryableError:
        return [], []


def _table(executions: Rows, hint: str) -> Table:
    table = Table(box=None, expand=True, title=f"Executions, newest first ({hint})", title_justify="left")
    table.add_column("due (UTC)", no_wrap=True)
    table.add_column("job", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("status", no_wrap=True)
    table.add_column("try", justify="right")
    table.add_column("late", justify="right", no_wrap=True)
    table.add_column("", ratio=3, no_wrap=True, overflow="ellipsis")
    for row in executions:
        status = str(row["status"])
        late = row["late_seconds"]
        table.add_row(
            f"{row['scheduled_for']:%H:%M:%S}",
            str(row["name"] or "(deleted)"),
            f"[{_COLOURS.get(status, 'white')}]{status}[/]",
            str(row["attempt"]),
            f"{late:.2f} s" if isinstance(late, float) else "",
            str(row["said"]).partition("\n")[0],
        )
    return table


def _workflow_table(workflows: Rows) -> Table:
    table = Table(box=None, expand=True, title="Workflows", title_justify="left")
    for header in ("owner", "workflow", "connector"):
        table.add_column(header, ratio=1, no_wrap=True, overflow="ellipsis")
    for header in ("watermark", "of", "lag", "dead letters"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in workflows:
        names = (str(row["owner"]), str(row["name"]), str(row["connector"]))
        dead = str(row["dead_letters"] or "")
        table.add_row(*names, str(row["position"]), str(row["head"]), f"{row['lag_seconds']:.0f} s", dead)
    return table

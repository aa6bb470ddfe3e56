"""The table that a foreground `./millrace up` shows: what was executed last, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from include.errors import RetryableError
from include.store.db import DictConnection, connect, queries

_SECONDS = 1.0
_COLOURS = {"success": "green", "failed": "red", "retrying": "yellow", "running": "cyan"}


def show_executions(database_url: str, is_up: Callable[[], bool]) -> None:
    """Return when the system is no longer up; Ctrl-C ends it like anything else."""
    console = Console()
    with Live(_table([]), console=console, auto_refresh=False) as live:
        while is_up():
            # A table that is longer than the screen would scroll.
            live.update(_table(_recent(database_url, rows=max(3, min(20, console.height - 8)))), refresh=True)
            time.sleep(_SECONDS)


def _recent(database_url: str, rows: int) -> list[dict[str, object]]:
    # A connection a turn: a server that restarts in between is nothing to speak of.
    try:
        db: DictConnection
        with connect(database_url, via="cli") as db:
            return db.execute(queries("jobs")["recent_executions"].encode(), {"rows": rows}).fetchall()
    except RetryableError:
        return []


def _table(executions: list[dict[str, object]]) -> Table:
    table = Table(box=None, expand=True, title="Executions, newest first (Ctrl-C ends Millrace)", title_justify="left")
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

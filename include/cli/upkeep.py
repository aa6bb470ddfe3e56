"""`./millrace upkeep`: the chores that the DAG `millrace_upkeep` does every hour, now."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from include.cli.jobs_options import AsJson
from include.cli.output import Cell, note, print_json, print_table
from include.errors import RetryableError
from include.times import utcnow


def upkeep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what is older than is kept, see to what is stuck, and say what was done; exit code 1 if a chore failed.

    The settings MILLRACE_KEEP_… say how long things are kept.

    Example: `./millrace upkeep --dry-run`
    """
    from include.cli.database import database_url
    from include.settings import settings
    from include.shifts.upkeep import do_now

    os.environ.setdefault("MILLRACE_DATABASE_URL", database_url())
    done = asyncio.run(do_now(settings(), _log_folder(), utcnow(), dry_run=dry_run))
    if done is None:
        raise RetryableError("the chores are being done already; `--dry-run` has to wait for that, too")
    if as_json:
        names = ("chore", "does", "changed", "seconds", "error")
        print_json([{name: getattr(chore, name) for name in names} for chore in done])
    else:
        rows: list[list[Cell | str]] = [
            [c.chore, str(c.changed), c.does, f"{c.seconds:.1f}", Cell(c.error or "", "red")] for c in done
        ]
        print_table(["CHORE", "COUNT", "OF", "SECONDS", "ERROR"], rows)
        if dry_run:
            note("nothing was changed: these are what would be")
    if any(chore.error for chore in done):
        raise typer.Exit(1)


def _log_folder() -> Path | None:
    """Airflow's logs: where it is told to write them, or those of the system of `./millrace up`."""
    from include.local.home import Home

    told = os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER")
    folder = Path(told) if told else Home.from_environment().airflow / "logs"
    return folder if folder.is_dir() else None

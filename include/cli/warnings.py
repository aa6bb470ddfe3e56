"""`./millrace warnings`: what the watchdog has found to be wrong, and is not over."""

from __future__ import annotations

from typing import Any

import typer

from include.cli.jobs_options import AsJson
from include.cli.output import Cell, note, print_json, print_table
from include.times import spell_instant

_HEADERS = ("what", "about", "owner", "since (UTC)", "what is wrong, and what to do")


def warnings(as_json: AsJson = False) -> None:
    """List what is wrong: rows that have gone quiet, disks that fill. Exit code 1 if there is anything.

    Example: `./millrace warnings`
    """
    from include.cli.database import open_database
    from include.store import watchdog
    from include.store.search import Search

    wanted = Search(owner=None, sort="id", limit=watchdog.MOST, filters={"is_open": True})
    with open_database() as db:
        rows = watchdog.search(db, wanted)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(_HEADERS, [_cells(row) for row in rows])
    else:
        note("nothing is wrong that the watchdog knows of")
    if rows:
        raise typer.Exit(1)


def _cells(row: dict[str, Any]) -> list[Cell | str]:
    about = row["name"] if row["row_id"] is None else f"{row['name']} ({row['table_name']} {row['row_id']})"
    return [Cell(row["what"], "yellow"), about, row["owner"] or "", spell_instant(row["since"]), row["text"]]

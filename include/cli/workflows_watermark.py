"""Move the watermark of a workflow, and have one that has stopped go on. Safe while it is at work."""

from __future__ import annotations

from typing import Annotated

import typer

from include.cli.database import open_database
from include.cli.duty import Yes, confirm, found
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.output import note, print_json, print_line
from include.cli.workflows_options import NameOrId
from include.documents import watermark
from include.documents.watermark import Move, Words
from include.store import workflows
from include.store.edits import Row, changing
from include.times import utcnow


def rewind(
    name_or_id: NameOrId,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="POSITION|TIME",
            help="Process again what comes after this position; or what was stored in the last 2h, or since ISO 8601.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Go back in the log, and process again what comes after.

    A workflow that has stopped goes on.

    Example: `./millrace workflows rewind "to crm" --to -2h`
    """
    now = utcnow()
    with open_database() as db:
        row = workflows.find(db, name_or_id)
        with changing(db):
            move = watermark.rewind(db, row, to, now, _words(row))
    if as_json:
        print_json(_moved(row, move))
    else:
        print_line(
            f"workflow {row['id']} ({row['name']}) goes back from {move.before} to {move.after}: "
            f"{_counted(move.records)} will be processed again"
            + (", if the filter lets them through" if row["filter"] else "")
        )
    if move.lost:
        note(f"{_counted(move.lost)} of these are no longer kept, and cannot be")
    note("they carry the webhook-id of the first time: a receiver that deduplicates by it will ignore them")


def skip(
    name_or_id: NameOrId,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="POSITION|TIME|now",
            help="Up to this record, or all stored until then, without processing them.",
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go on after the record at which a workflow has stopped; or with --to, ahead in the log.

    What is skipped is not processed, and not kept as a dead letter.

    Example: `./millrace workflows skip "to crm" --to now --yes`
    """
    now = utcnow()
    with open_database() as db:
        row = workflows.find(db, name_or_id)
        if to is not None and not yes:
            with changing(db):
                move = watermark.planned_skip(db, row, to, now, _words(row))
            confirm(f"skip {_counted(move.records)} of workflow {row['name']!r}")
        with changing(db):
            move = watermark.skip(db, row, to, now, _words(row))
    if as_json:
        print_json(_moved(row, move))
        return
    stopped_at = f"record {move.after}" if row["batch_size"] == 1 else f"the batch that ends with record {move.after}"
    skipped = stopped_at if to is None else _counted(move.records)
    print_line(f"workflow {row['id']} ({row['name']}) skips {skipped}, and goes on after {move.after} of {move.head}")


def retry(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Have workflows that have stopped try again the record at which they did.

    Example: `./millrace workflows retry "to crm"`
    """
    with open_database() as db:
        rows = found(db, workflows.find, names_or_ids)
        with changing(db):
            going = set(watermark.retry(db, rows))
    rows = [row for row in rows if row["id"] in going]
    if as_json:
        print_json([{"id": row["id"], "name": row["name"], "record": row["stopped_at"]} for row in rows])
        return
    for row in rows:
        print_line(f"workflow {row['id']} ({row['name']}) tries record {row['stopped_at']} again")
        if not row["is_active"]:
            note(f"it is paused: it does so after `./millrace workflows resume {row['id']}`")


def _words(row: Row) -> Words:
    command = "./millrace workflows"
    return Words("--to", f"`{command} skip {row['id']} --to`", f"`{command} edit {row['id']} --start-from`")


def _moved(row: Row, move: Move) -> dict[str, object]:
    return {"id": row["id"], "name": row["name"], "from": move.before, "to": move.after, "records": move.records}


def _counted(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"

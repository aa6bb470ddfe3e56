"""Move the watermark of a workflow, and have one that has stopped go on. Safe while it is at work."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from include.cli.database import open_database
from include.cli.duty import Yes, confirm, found
from include.cli.jobs_options import AsJson, NamesOrIds
from include.cli.output import note, print_json, print_line
from include.cli.workflows_options import NameOrId
from include.errors import ConfigError
from include.store import workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row, changing, is_id
from include.store.workflows import Watermark
from include.times import parse_past, utcnow


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
            mark = workflows.lock_watermark(db, row["id"])
            target = _target(db, row, mark, to, now)
            if target >= mark.position:
                raise ConfigError(
                    f"workflow {row['name']!r} is at {mark.position}: --to {to} (position {target}) is not before it; "
                    f"`./millrace workflows skip {row['id']} --to` goes ahead"
                )
            workflows.move(db, row["id"], target, goes_on=True)
    again = mark.position - max(target, min(mark.oldest - 1, mark.position))
    if as_json:
        print_json(_moved(row, mark.position, target, again))
    else:
        print_line(
            f"workflow {row['id']} ({row['name']}) goes back from {mark.position} to {target}: "
            f"{_counted(again)} will be processed again"
            + (", if the filter lets them through" if row["filter"] else "")
        )
    if again < mark.position - target:
        note(f"{_counted(mark.position - target - again)} of these are no longer kept, and cannot be")
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
                mark = workflows.lock_watermark(db, row["id"])
                target = _ahead(db, row, mark, to, now)
            confirm(f"skip {_counted(target - mark.position)} of workflow {row['name']!r}")
        with changing(db):
            mark = workflows.lock_watermark(db, row["id"])
            target = _stop(row, mark) if to is None else _ahead(db, row, mark, to, now)
            goes_on = mark.stopped_at is not None and mark.stopped_at <= target
            workflows.move(db, row["id"], target, goes_on=goes_on)
    if as_json:
        print_json(_moved(row, mark.position, target, target - mark.position))
        return
    stopped_at = f"record {target}" if row["batch_size"] == 1 else f"the batch that ends with record {target}"
    skipped = stopped_at if to is None else _counted(target - mark.position)
    print_line(f"workflow {row['id']} ({row['name']}) skips {skipped}, and goes on after {target} of {mark.head}")


def retry(names_or_ids: NamesOrIds, as_json: AsJson = False) -> None:
    """Have workflows that have stopped try again the record at which they did.

    Example: `./millrace workflows retry "to crm"`
    """
    with open_database() as db:
        rows = found(db, workflows.find, names_or_ids)
        for row in rows:
            if row["stopped_at"] is None:
                raise ConfigError(f"workflow {row['name']!r} has not stopped, so there is nothing to try again")
        with changing(db):
            going = set(workflows.retry(db, [row["id"] for row in rows]))
    rows = [row for row in rows if row["id"] in going]
    if as_json:
        print_json([{"id": row["id"], "name": row["name"], "record": row["stopped_at"]} for row in rows])
        return
    for row in rows:
        print_line(f"workflow {row['id']} ({row['name']}) tries record {row['stopped_at']} again")
        if not row["is_active"]:
            note(f"it is paused: it does so after `./millrace workflows resume {row['id']}`")


def _stop(row: Row, mark: Watermark) -> int:
    if mark.stopped_at is None:
        raise ConfigError(
            f"workflow {row['name']!r} has not stopped at a record; --to skips ahead, to a position or to now"
        )
    return mark.stopped_at


def _ahead(db: DictConnection, row: Row, mark: Watermark, to: str, now: datetime) -> int:
    target = _target(db, row, mark, str(mark.head) if to == "now" else to, now)
    if target <= mark.position:
        raise ConfigError(
            f"workflow {row['name']!r} is at {mark.position} and --to {to} is {target}: there is nothing to skip"
        )
    return target


def _target(db: DictConnection, row: Row, mark: Watermark, to: str, now: datetime) -> int:
    """The position that `to` means, not beyond the head."""
    if not mark.begun:
        raise ConfigError(
            f"workflow {row['name']!r} has not begun; `./millrace workflows edit {row['id']} --start-from` says where"
        )
    if not is_id(to):
        return workflows.position_at(db, mark.connector_id, parse_past(to, "--to", now))
    target = int(to)
    if target > mark.head:
        shown = target if target <= LARGEST_ID else "that"
        raise ConfigError(f"--to: position {shown} lies beyond the head of the log, which is {mark.head}")
    return target


def _moved(row: Row, before: int, after: int, records: int) -> dict[str, object]:
    return {"id": row["id"], "name": row["name"], "from": before, "to": after, "records": records}


def _counted(records: int) -> str:
    return "1 record" if records == 1 else f"{records} records"

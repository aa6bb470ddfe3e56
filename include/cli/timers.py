"""`./millrace timers COMMAND`: calls that are made once, at an instant."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Literal

import typer

from include.cli.attempts_view import ATTEMPT_HEADERS, attempt_rows
from include.cli.database import open_database
from include.cli.jobs_options import AsJson, taking_options
from include.cli.output import note, print_json, print_line, print_table
from include.cli.timers_options import Ids, Options
from include.cli.timers_view import (
    LIST_HEADERS,
    described,
    listed_cells,
    spell_left,
)
from include.documents.timer import document as timer_document
from include.store import timers
from include.store.edits import changing
from include.store.rows import timer_from_row
from include.store.timers import TimerStatus
from include.times import spell_instant, utcnow

_OPEN: tuple[TimerStatus, ...] = ("pending", "firing")
# Columns that only a stored row has; a timer is judged without them.
_UNSTORED = {"id": 0, "attempt": 0, "base_attempt": 0}

app = typer.Typer(no_args_is_help=True)


@taking_options
def add(
    url: Annotated[str, typer.Argument(help="Where to send it.")],
    options: Options,
    as_json: AsJson = False,
) -> None:
    """Add a timer: a call that is made once, when it is due.

    Example: `./millrace timers add https://example.com/hook --in 1h30m --body '{"order": 17}'`
    """
    from include import registry  # brings the kinds, and with them an HTTP client

    now = utcnow()
    columns = {"url": url, **options.columns(now)}
    timer = timer_from_row({**timers.DEFAULTS, **columns, **_UNSTORED})
    registry.action("webhook").parse(timers.payload_of(timer))
    with open_database() as db, changing(db):
        row = timers.insert(db, columns)
    if as_json:
        print_json(timer_document(row, utcnow()))
        return
    due = f"{spell_instant(row['due_at'])} UTC, in {spell_left(row, utcnow())}"
    print_line(f"added timer {row['id']}: {row['method']} at {due}")


def list_timers(
    status: Annotated[
        Literal["open", "pending", "firing", "fired", "failed", "cancelled", "all"],
        typer.Option(help="Only with this status; open: pending or firing."),
    ] = "open",
    owner: Annotated[str | None, typer.Option(help="Only of this owner.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many; 0: all.")] = 100,
    after: Annotated[int, typer.Option(min=0, help="Only ids greater than this: the next page.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List timers: when they are due, and what has become of them.

    Example: `./millrace timers list --status failed --owner ada@example.com`
    """
    statuses: tuple[TimerStatus, ...] | None = _OPEN if status == "open" else None if status == "all" else (status,)
    with open_database() as db:
        rows = timers.page(db, statuses=statuses, owner=owner, after=after, limit=limit + 1 if limit else None)
        counts = timers.counts(db, owner)
    now = utcnow()
    more = bool(limit) and len(rows) > limit
    rows = rows[:limit] if more else rows
    if as_json:
        print_json([timer_document(row, now) for row in rows])
    elif rows:
        print_table(LIST_HEADERS, [listed_cells(row, now) for row in rows])
    else:
        note(
            f"no timers that are {status}"
            if counts
            else "no timers; `./millrace timers add --help` shows how to add one"
        )
    if more:
        note(f"there are more: --after {rows[-1]['id']} shows the next {limit}, --limit 0 all of them")
    if counts and not as_json:
        note("in all: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


def show(
    timer_id: Annotated[int, typer.Argument(metavar="ID", min=0, help="The timer's id.")], as_json: AsJson = False
) -> None:
    """Show everything about one timer: the time that is left, and every attempt.

    Example: `./millrace timers show 17`
    """
    with open_database() as db:
        [row] = timers.find(db, [timer_id])
    now = utcnow()
    if as_json:
        print_json(timer_document(row, now))
        return
    for label, cell in described(row, now):
        print_line(f"{label:<10} {cell.text}", cell.style)
    body = {} if row["body"] is None else row["body"]
    text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    for number, line in enumerate(text.splitlines()):
        print_line(f"{'' if number else 'body':<10} {line}")
    if row["attempts"]:
        print_line()
        print_table(ATTEMPT_HEADERS, attempt_rows(row["attempts"]))


def cancel(ids: Ids, as_json: AsJson = False) -> None:
    """Cancel timers that are not being sent yet, also those that wait for a retry.

    Exit code 1 if it was too late for one of them.

    Example: `./millrace timers cancel 17 18`
    """
    with open_database() as db:
        before = {row["id"] for row in timers.find(db, ids) if row["status"] == "cancelled"}
        with changing(db):
            cancelled = timers.cancel(db, ids)
        rows = timers.find(db, ids)
    too_late = [row for row in rows if row["id"] not in cancelled | before]
    if as_json:
        late = [{"id": row["id"], "status": row["status"]} for row in too_late]
        print_json({"cancelled": sorted(cancelled), "too_late": late})
    else:
        for timer_id in sorted(cancelled):
            print_line(f"cancelled timer {timer_id}")
        for timer_id in sorted(before):
            note(f"timer {timer_id} had been cancelled already")
        for row in too_late:
            note(f"too late for timer {row['id']}: it is {row['status']}")
    if too_late:
        raise typer.Exit(1)


# In the order in which the help lists them.
_COMMANDS: dict[str, Callable[..., None]] = {"add": add, "list": list_timers, "show": show, "cancel": cancel}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)

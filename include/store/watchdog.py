"""What the watchdog finds, and the warnings that it keeps: one of each problem, from its beginning to its end.

Everything is looked for with the time handed in, and bounded: thousands of rows at most of whatever is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.store.db import DictConnection, queries
from include.store.edits import Row
from include.store.search import Search

# What there are warnings of.
WHATS = ("unfired", "unpulled", "stuck", "stopped", "dead_letters", "disk", "component", "chore")
FILTERS = ("of", "what", "is_open")
MOST = 10_000
_MOST_LETTERS = 5_000

_SQL = {name: text.encode() for name, text in queries("watchdog").items()}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong: of what, since when, and what to do about it.

    Of a row: `row_id`, and the row itself knows its name and its owner. Of others: their `name`, and the `owner` who
    can do something about it; None: whoever runs the system.
    """

    subject: str
    since: datetime
    text: str
    row_id: int | None = None
    name: str | None = None
    owner: str | None = None


def unpulled(db: DictConnection, now: datetime, *, pushed: Sequence[str], pull_seconds: float) -> list[Row]:
    """Connectors that have not completed a pull for two intervals: `id`, `name`, `since`, and when they last did.

    `pushed` are the kinds that do not pull; a pull may take `pull_seconds`.
    """
    return _all(db, "unpulled", now=now, pushed=list(pushed), pull_seconds=pull_seconds, most=MOST)


def stuck(db: DictConnection, now: datetime) -> list[Row]:
    """Workflows that have not moved for two intervals although they are `behind`, `since` when."""
    return _all(db, "stuck", now=now, most=MOST)


def stopped(db: DictConnection, now: datetime) -> list[Row]:
    """Workflows that have stopped at a record, `since` when, and by which `error`."""
    return _all(db, "stopped", now=now, most=MOST)


def growing_letters(db: DictConnection, now: datetime, *, least: int) -> list[Row]:
    """Owners of whom at least so many dead letters are younger than an hour: `count`, `since`; None: of jobs that are
    gone."""
    return _all(db, "growing_letters", now=now, least=least, most=_MOST_LETTERS)


def late_chores(db: DictConnection, now: datetime) -> list[Row]:
    """Chores of upkeep that fail, by which `error`, or have not come to their end `since` three hours or more."""
    return _all(db, "late_chores", now=now, most=MOST)


def data_directory(db: DictConnection) -> str | None:
    """Where PostgreSQL keeps its data; None if that is elsewhere, or not for us to know."""
    rows = _all(db, "data_directory")
    return rows[0]["path"] if rows else None


def keep(
    db: DictConnection,
    what: str,
    problems: Sequence[Problem],
    now: datetime,
    *,
    table: str | None = None,
    scope: str = "",
    may_begin: bool = True,
    notify: str | None = None,
) -> None:
    """Have one warning open of each of these problems, and of no others: begin, go on with and end them, and note to be
    told what has begun and ended.

    `table`: that of the rows that they are about. `scope`: how subjects begin that are judged here. `may_begin`:
    whether there may be new ones. `notify`: whom to tell of what nobody owns, as JSON.
    """
    columns = {
        "subjects": [problem.subject for problem in problems],
        "row_ids": [problem.row_id for problem in problems],
        "owners": [problem.owner for problem in problems],
        "names": [problem.name for problem in problems],
        "sinces": [problem.since for problem in problems],
        "texts": [problem.text for problem in problems],
    }
    wanted = {**columns, "what": what, "now": now, "table": table, "scope": scope, "notify": notify}
    with db.transaction():
        db.execute(_SQL["take_turn"])
        db.execute(_SQL["refresh"], wanted)
        db.execute(_SQL["finish"], wanted)
        if problems and may_begin:
            begun = [row["id"] for row in _all(db, "begin", **wanted)]
            db.execute(_SQL["tell"], {**wanted, "ids": begun})


def count_open(db: DictConnection) -> int:
    """How many warnings are open."""
    [row] = _all(db, "count_open")
    return int(row["count"])


def forget(db: DictConnection, *, days: int) -> None:
    """Remove warnings that ended so many days ago, some thousands at a time."""
    db.execute(_SQL["forget"], {"days": days})


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of warnings, the newest first; those of rows that are gone are not there."""
    return db.execute(_SQL["search"], wanted.parameters(*FILTERS)).fetchall()


def _all(db: DictConnection, statement: str, **parameters: Any) -> list[Row]:
    return db.execute(_SQL[statement], parameters).fetchall()

"""How everything is doing, in numbers: of one owner's rows, or of all."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from include.store.db import DictConnection, queries
from include.store.edits import Row

Step = Literal["minute", "hour", "day"]

_SQL = {name: text.encode() for name, text in queries("stats").items()}


def rows(db: DictConnection, owner: str | None) -> dict[str, Row]:
    """By table (`job`, `connector`, `workflow`), how many rows there are and how they are."""
    return {str(row["table_name"]): row for row in _ask(db, "rows", owner)}


def timers(db: DictConnection, owner: str | None) -> Row:
    """How many timers are `pending`, `firing` and `failed`."""
    return _ask(db, "timers", owner)[0]


def tally(db: DictConnection, owner: str | None, *, since: datetime, until: datetime, step: Step) -> list[Row]:
    """What was due in the range: how many `executions` have a status, how many have ever `ended` with it, with how many
    `attempts`, and how late (`late_seconds`, together), by `at` (cut to the step), `source`, `status` and `late`: 0, or
    else 1 + how many of `late_bounds` were passed. The lateness of what is redriven is told where it ended first."""
    return _ask(db, "tally", owner, since=since, until=until, step=step)


def ended(db: DictConnection, owner: str | None) -> list[Row]:
    """How many have ever `ended`, by `source` and `status`."""
    return _ask(db, "ended", owner)


def late_bounds(db: DictConnection) -> list[float]:
    """The bounds of lateness that the tally tells apart, in seconds."""
    bounds: Any = _ask(db, "late_bounds", None)[0]["bounds"]
    return list(bounds)


def lag(db: DictConnection, owner: str | None) -> Row:
    """How far connectors and workflows are behind, at most and together."""
    return _ask(db, "lag", owner)[0]


def failing(db: DictConnection, owner: str | None, limit: int) -> list[Row]:
    """Rows that fail now, or have stopped, those that have longest first; then those that cannot run."""
    return _ask(db, "failing", owner, limit=limit)


def dead_letters(db: DictConnection, owner: str | None, most: int) -> Row:
    """How many `executions` (among `most` that failed last), `timers` and `records` wait for a person, each up to
    `most`."""
    return _ask(db, "dead_letters", owner, most=most)[0]


def schedules(db: DictConnection, owner: str | None, most: int) -> list[Row]:
    """The schedules among which that of the job that is due next is; of intervals, so many, the shortest."""
    return _ask(db, "schedules", owner, most=most)


def next_timer(db: DictConnection, owner: str | None) -> Row | None:
    """The `id` of the timer that is sent next, and when (`at`)."""
    found = _ask(db, "next_timer", owner)
    return found[0] if found else None


def _ask(db: DictConnection, name: str, owner: str | None, **more: Any) -> list[Row]:
    # Planned anew each time: for one owner and for all it is another question.
    return db.execute(_SQL[name], {"owner": owner, **more}, prepare=False).fetchall()

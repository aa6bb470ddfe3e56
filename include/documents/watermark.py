"""Where a workflow is in its connector's log, and how a person moves it. Safe while it is at work.

`rewind`, `skip` and `retry` are called inside `store.edits.changing`; the audit says who moved what. A target is a
position (all digits), an instant (ISO 8601; UTC if it has no offset), or how long ago (`2h`). One that makes no sense
is a `ConfigError`; a workflow that is not where this would move it from, a `RefusedError` (409).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from include.documents import state as duty
from include.errors import ConfigError, RefusedError
from include.store import workflows
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID, Row, is_id
from include.store.workflows import Watermark
from include.times import parse_past, spell_instant


@dataclass(frozen=True, slots=True)
class Words:
    """What errors call a target, the way to go ahead, and the setting that says where a workflow begins."""

    to: str = "to"
    skip: str = "skip"
    start_from: str = "start_from"


@dataclass(frozen=True, slots=True)
class Move:
    """From where to where the watermark goes.

    `records` will be processed again, or are passed over; `lost` would be processed again, but are no longer kept.
    `goes_on`: afterwards it has not stopped.
    """

    before: int
    after: int
    records: int
    head: int
    goes_on: bool
    lost: int = 0


def state(row: Row, now: datetime) -> str:
    """As that of a job, or `stopped` at a record until a person decides, or `waiting` to begin."""
    if row["error"] is None and row["stopped_at"] is not None:
        return "stopped"
    said = duty.state(row, now)
    return f"waiting until {spell_instant(row['started_at'])}" if said == "active" and not row["begun"] else said


def rewind(db: DictConnection, row: Row, to: str, now: datetime, words: Words) -> Move:
    """Go back, so that what comes after is processed again; a workflow that has stopped goes on."""
    mark = workflows.lock_watermark(db, row["id"])
    target = _target(db, row, mark, to, now, words)
    if target >= mark.position:
        raise RefusedError(
            409,
            f"workflow {row['name']!r} is at {mark.position}: {words.to} {to} (position {target}) is not before it; "
            f"{words.skip} goes ahead",
        )
    if target < mark.pruned:
        raise ConfigError(
            f"{words.to}: the log begins with record {mark.pruned + 1}, and what was before it is no longer kept; "
            f"position {mark.pruned} is as far back as it goes"
        )
    workflows.move(db, row["id"], target, goes_on=True)
    again = mark.position - max(target, min(mark.oldest - 1, mark.position))
    lost = mark.position - target - again
    return Move(mark.position, target, again, mark.head, goes_on=True, lost=lost)


def skip(db: DictConnection, row: Row, to: str | None, now: datetime, words: Words) -> Move:
    """Go on after the record at which the workflow has stopped, or ahead to the target; `now` is the head of the log.

    What is skipped is not processed, and is no dead letter.
    """
    move = planned_skip(db, row, to, now, words)
    workflows.move(db, row["id"], move.after, goes_on=move.goes_on)
    return move


def planned_skip(db: DictConnection, row: Row, to: str | None, now: datetime, words: Words) -> Move:
    """What `skip` would do."""
    mark = workflows.lock_watermark(db, row["id"])
    target = _stop(row, mark, words) if to is None else _ahead(db, row, mark, to, now, words)
    goes_on = mark.stopped_at is None or mark.stopped_at <= target
    return Move(mark.position, target, target - mark.position, mark.head, goes_on)


def retry(db: DictConnection, rows: Sequence[Row]) -> list[int]:
    """Have workflows that have stopped try the record again at which they did; the ids of those that do.

    `RefusedError` (409) if one of them has not stopped.
    """
    for row in rows:
        if row["stopped_at"] is None:
            raise RefusedError(409, f"workflow {row['name']!r} has not stopped, so there is nothing to try again")
    return workflows.retry(db, [row["id"] for row in rows])


def _stop(row: Row, mark: Watermark, words: Words) -> int:
    if mark.stopped_at is None:
        raise RefusedError(
            409,
            f"workflow {row['name']!r} has not stopped at a record; {words.to} skips ahead, to a position or to now",
        )
    return mark.stopped_at


def _ahead(db: DictConnection, row: Row, mark: Watermark, to: str, now: datetime, words: Words) -> int:
    target = _target(db, row, mark, str(mark.head) if to == "now" else to, now, words)
    if target <= mark.position:
        raise RefusedError(
            409,
            f"workflow {row['name']!r} is at {mark.position} and {words.to} {to} is {target}: there is nothing to skip",
        )
    return target


def _target(db: DictConnection, row: Row, mark: Watermark, to: str, now: datetime, words: Words) -> int:
    """The position that `to` means, not beyond the head."""
    if not mark.begun:
        raise RefusedError(409, f"workflow {row['name']!r} has not begun; {words.start_from} says where")
    if not is_id(to):
        return workflows.position_at(db, mark.connector_id, parse_past(to, words.to, now))
    target = int(to)
    if target > mark.head:
        shown = target if target <= LARGEST_ID else "that"
        raise ConfigError(f"{words.to}: position {shown} lies beyond the head of the log, which is {mark.head}")
    return target

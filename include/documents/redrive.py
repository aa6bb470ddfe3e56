"""What a person decides about dead letters: they are sent again, or given up on.

Both are called inside `store.edits.changing`. What is sent again carries the webhook-id of the first time, has its
attempts counted on, and gets a fresh retry policy, by its job or workflow as it stands now.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from include import registry
from include.documents.caller import Caller
from include.documents.dead_letter import MOST, Choice, found, search
from include.documents.fields import Shown
from include.errors import RefusedError
from include.store import dead_letters
from include.store.db import DictConnection
from include.store.edits import Row
from include.times import spell_instant


class Decided(Shown):
    """How many dead letters will be sent again, or were given up on; and how many of which source these are."""

    count: int
    job: int
    timer: int
    workflow: int
    at_next_run: int = Field(
        0, description="How many of those of jobs wait for the next run of their job, for its kind runs on a worker."
    )
    already: int = Field(0, description="How many more had been asked for already.")
    more: bool = Field(False, description="Whether there are more: ask again.")


def redrive(db: DictConnection, caller: Caller, choice: Choice) -> Decided:
    """Have dead letters sent again.

    `RefusedError` (409) if one that is named is resolved, or cannot be sent again, for its job or its record is gone.
    """
    rows, more = _chosen(db, caller, choice, sendable=True)
    for row in rows:
        _check_sendable(row)
    executions = _of(rows, "job")
    marked = set(dead_letters.redrive_executions(db, [dead_letters.key_of(row) for row in executions]))
    timers = dead_letters.redrive_timers(db, [row["timer_id"] for row in _of(rows, "timer")])
    records = dead_letters.redrive(db, [row["id"] for row in _of(rows, "workflow")])
    return Decided(
        count=len(marked) + len(timers) + len(records),
        job=len(marked),
        timer=len(timers),
        workflow=len(records),
        at_next_run=sum(dead_letters.key_of(row) in marked and _runs_on_worker(row["kind"]) for row in executions),
        already=sum(row["status"] == "redriving" for row in rows),
        more=more,
    )


def discard(db: DictConnection, caller: Caller, choice: Choice) -> Decided:
    """Give up on dead letters for good; they are kept, and count as resolved.

    `RefusedError` (409) if one that is named is resolved, or is being sent again just now.
    """
    rows, more = _chosen(db, caller, choice, sendable=False)
    for row in rows:
        _check_discardable(row)
    executions = dead_letters.discard_executions(db, [dead_letters.key_of(row) for row in _of(rows, "job")])
    timers = dead_letters.discard_timers(db, [row["timer_id"] for row in _of(rows, "timer")])
    records = dead_letters.discard(db, [row["id"] for row in _of(rows, "workflow")])
    count = len(executions) + len(timers) + len(records)
    return Decided(count=count, job=len(executions), timer=len(timers), workflow=len(records), more=more)


def _chosen(db: DictConnection, caller: Caller, choice: Choice, *, sendable: bool) -> tuple[list[Row], bool]:
    """Those that are meant, and whether there are more that fit."""
    caller.check_writes()
    if choice.ids is not None:
        return found(db, caller, choice.ids), False
    assert choice.source is not None  # noqa: S101 - a choice has one of both
    rows = search(
        db,
        [choice.source],
        ["dead"],
        owner=caller.sees,
        job_id=choice.job_id,
        workflow_id=choice.workflow_id,
        since=choice.since,
        sendable=sendable,
        limit=MOST + 1,
    )
    return rows[:MOST], len(rows) > MOST


def _of(rows: Sequence[Row], source: str) -> list[Row]:
    return [row for row in rows if row["source"] == source]


def _check_sendable(row: Row) -> None:
    _check_open(row, "redriven", *(["discarded"] if row["source"] == "workflow" else []))
    if row["source"] == "job" and row["job"] is None:
        raise RefusedError(
            409, f"dead letter {row['id']}: its job was deleted, so nobody knows what to send; discard it"
        )
    if row["source"] == "workflow" and row["status"] == "dead" and not row["kept"]:
        raise RefusedError(
            409, f"dead letter {row['id']}: the log no longer has its record, for retention has removed it; discard it"
        )


def _check_discardable(row: Row) -> None:
    _check_open(row, "redriven", "discarded")
    now = row.get("execution_status") or row.get("timer_status")
    if row["status"] == "redriving" and now not in (None, "failed"):
        raise RefusedError(
            409, f"dead letter {row['id']} is being sent again just now ({now}); wait until that has ended"
        )


def _check_open(row: Row, *resolved: str) -> None:
    if row["status"] in resolved:
        at = row.get("resolved_at") or row.get("discarded_at") or row.get("finished_at")
        raise RefusedError(
            409, f"dead letter {row['id']} is resolved: it was {row['status']} at {spell_instant(at)} UTC"
        )


def _runs_on_worker(kind: str) -> bool:
    return kind in registry.action_kinds() and registry.action(kind).runs_on == "worker"

"""Dead letters as documents: what has failed for good, of all sources in one list, the newest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import Field, model_validator

from include.documents import attempt
from include.documents.attempt import WholeAttempts
from include.documents.caller import Caller
from include.documents.fields import Document, Id, Instant, Shown, ShownInstant, Text
from include.errors import RefusedError
from include.store import dead_letters
from include.store.db import DictConnection
from include.store.dead_letters import Named, Place, Source, Status
from include.store.edits import LARGEST_ID, Row

MOST = 1000

SOURCES: tuple[Source, ...] = ("job", "timer", "workflow")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class Ref(Document):
    """One dead letter: where it comes from, and its id there."""

    source: Source
    id: (
        Annotated[int, Field(ge=1, le=LARGEST_ID, strict=True)] | Annotated[Text, Field(min_length=1, max_length=60)]
    ) = Field(
        description="As lists show it; that of an execution is the webhook-id of its calls.",
        examples=["7", "job_42_1767225600000000", "timer_5"],
    )


class Choice(Document):
    """Which dead letters are meant: these `ids`, or else those of a `source` that are dead, the newest first."""

    ids: list[Ref] | None = Field(None, min_length=1, max_length=MOST, description="These: all of them, or none.")
    source: Source | None = Field(None, description="Those that are dead of this source, 1,000 at once.")
    job_id: Id | None = Field(None, description="Only executions of this job.")
    workflow_id: Id | None = Field(None, description="Only records of this workflow.")
    since: Instant | None = Field(None, description="Only records that died, or what was due, after that.")

    @model_validator(mode="after")
    def _is_clear(self) -> Choice:
        if (self.ids is None) == (self.source is None):
            raise ValueError("write ids, or source, one of them")
        if self.ids is not None and (self.job_id or self.workflow_id or self.since):
            raise ValueError("job_id, workflow_id and since narrow a source; write ids alone")
        if self.job_id is not None and self.source != "job":
            raise ValueError("job_id: it goes with source job")
        if self.workflow_id is not None and self.source != "workflow":
            raise ValueError("workflow_id: it goes with source workflow")
        return self


class DeadLetter(Shown):
    """What has failed for good, until a person decides."""

    source: Source
    id: str = Field(examples=["job_42_1767225600000000"])
    status: Status = Field(description="redriving: until it is sent again; redriven: that went well.")
    at: ShownInstant = Field(description="When the record died, or the execution or the timer was due.")
    owner: str | None = Field(description="null: of a job that was deleted.")
    error: str | None
    reason: str | None
    attempt: int = Field(description="How many attempts were made.")
    kept: bool = Field(description="Whether it can be sent again: its job, or its record, is still there.")
    job_id: int | None = None
    job: str | None = None
    workflow_id: int | None = None
    workflow: str | None = None
    connector_id: int | None = None
    connector: str | None = None
    position: int | None = Field(None, description="The record's position in the connector's log.")
    timer_id: int | None = None
    url: str | None = Field(None, description="Where the timer is sent.")
    finished_at: ShownInstant | None = Field(description="When it failed last, or was redriven or discarded.")


class DeadLetterDetail(DeadLetter):
    """One dead letter, with every attempt and, where it is one, the record."""

    attempts: WholeAttempts
    output: Any = Field(None, description="What came back last.")
    record: dict[str, Any] | None = Field(None, description="Of a workflow: what was to be processed.")


def document(row: Row) -> dict[str, Any]:
    """A row of any source as a `DeadLetter` or a `DeadLetterDetail`."""
    attempts = row["attempts"] if isinstance(row["attempts"], list) else [row["attempts"]]
    is_kept = {"workflow": row.get("kept") or row.get("record") is not None, "job": row.get("job") is not None}
    return {
        **row,
        "id": str(row["id"]),
        "at": dead_letters.instant(row),
        "reason": row.get("reason"),
        "attempt": row.get("attempt", len(attempts)),
        "attempts": attempts,
        "kept": is_kept.get(row["source"], True),
        "finished_at": row.get("resolved_at") or row.get("discarded_at") or row.get("finished_at"),
    }


def search(
    db: DictConnection,
    sources: Collection[Source],
    statuses: Collection[Status],
    *,
    limit: int,
    **narrowed: Any,
) -> list[Row]:
    """The first dead letters of these sources in one list; the rest is as `store.dead_letters.search` has it."""
    found = [row for of in sources for row in dead_letters.search(db, of, statuses, limit=limit, **narrowed)]
    found.sort(key=lambda row: (dead_letters.instant(row), row["source"], row["number"]), reverse=True)
    return found[:limit]


def key_of_place(row: Row) -> str:
    """The instant and the source of a row, which with its number are its place in the list."""
    return f"{(dead_letters.instant(row) - _EPOCH) // _MICROSECOND} {row['source']}"


def place_of_key(key: str, number: int) -> Place:
    """The place again; `ValueError` if it is none."""
    microseconds, _, source = key.partition(" ")
    try:
        return Place(_EPOCH + int(microseconds) * _MICROSECOND, source, number)
    except OverflowError:
        raise ValueError("no such instant") from None


def get(db: DictConnection, caller: Caller, source: Source, text: str) -> Row:
    """All that is known of one, if the caller may see it; else `RefusedError` (404)."""
    [row] = found(db, caller, [Ref(source=source, id=text)])
    if source == "workflow":
        whole = dead_letters.by_id(db, row["id"])
        if whole is None:
            raise _missing([Ref(source=source, id=text)])
        row = whole
    if source != "timer":
        row = {**row, "attempts": attempt.for_caller(db, caller, source, row[f"{source}_id"], row["attempts"])}
    return row


def found(db: DictConnection, caller: Caller, refs: Sequence[Ref]) -> list[Row]:
    """These dead letters, each once; `RefusedError` (404) if there is one that the caller does not see."""
    names = {ref: _named(ref) for ref in refs}
    rows = dead_letters.by_names(db, {name for name in names.values() if name is not None})
    rows = [row for row in rows if caller.sees is None or row["owner"] == caller.sees]
    known = set(map(dead_letters.name_of, rows))
    if missing := [ref for ref, name in names.items() if name not in known]:
        raise _missing(missing)
    return rows


def _named(ref: Ref) -> Named | None:
    """What an id says, whose source need not be written again; None if it is none of its source."""
    text, prefix = str(ref.id), {"workflow": "", "job": "job_", "timer": "timer_"}[ref.source]
    name = dead_letters.named(text if text.startswith(prefix) else prefix + text)
    return name if name is not None and name.source == ref.source else None


def _missing(refs: Sequence[Ref]) -> RefusedError:
    listed = ", ".join(f"{ref.source} {ref.id}" for ref in refs[:10])
    return RefusedError(404, f"there is no dead letter {listed}{' ...' if len(refs) > 10 else ''}")

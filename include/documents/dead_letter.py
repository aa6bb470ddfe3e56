"""Dead letters as documents: what has failed for good, of all sources in one list, the newest first."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from pydantic import Field, model_validator

from include.documents.caller import Caller
from include.documents.fields import Document, Id, Instant, Shown, ShownInstant, Text
from include.errors import RefusedError
from include.store import dead_letters
from include.store.db import DictConnection
from include.store.dead_letters import Key, Place, Source, Status
from include.store.edits import LARGEST_ID, Row

MOST = 1000

SOURCES: tuple[Source, ...] = ("job", "timer", "workflow")
_INSTANT = {"workflow": "created_at", "job": "scheduled_for", "timer": "due_at"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_ID = {
    "workflow": re.compile(r"()(\d{1,19})", re.ASCII),
    "timer": re.compile(r"(timer_)?(\d{1,19})", re.ASCII),
    "job": re.compile(r"(job_)?(\d{1,19})_(\d{1,17})", re.ASCII),
}


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

    attempts: list[Any]
    output: Any = Field(None, description="What came back last.")
    record: dict[str, Any] | None = Field(None, description="Of a workflow: what was to be processed.")


def document(row: Row) -> dict[str, Any]:
    """A row of any source as a `DeadLetter` or a `DeadLetterDetail`."""
    attempts = row["attempts"] if isinstance(row["attempts"], list) else [row["attempts"]]
    is_kept = {"workflow": row.get("kept") or row.get("record") is not None, "job": row.get("job") is not None}
    return {
        **row,
        "id": str(row["id"]),
        "at": row[_INSTANT[row["source"]]],
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
    found.sort(key=lambda row: (row[_INSTANT[row["source"]]], row["source"], row["number"]), reverse=True)
    return found[:limit]


def key_of_place(row: Row) -> str:
    """The instant and the source of a row, which with its number are its place in the list."""
    return f"{(row[_INSTANT[row['source']]] - _EPOCH) // _MICROSECOND} {row['source']}"


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
        return whole
    return row


def found(db: DictConnection, caller: Caller, refs: Sequence[Ref]) -> list[Row]:
    """These dead letters, each once; `RefusedError` (404) if there is one that the caller does not see."""
    named = {ref: _read(ref) for ref in refs}
    rows: list[Row] = []
    if numbers := [key[0] for ref, key in named.items() if key is not None and ref.source == "workflow"]:
        rows += dead_letters.chosen(db, numbers)
    if keys := [(key[0], key[1]) for key in named.values() if key is not None and key[1] is not None]:
        rows += [row for row in dead_letters.executions(db, list(dict.fromkeys(keys))) if row["status"] is not None]
    if numbers := [key[0] for ref, key in named.items() if key is not None and ref.source == "timer"]:
        rows += dead_letters.of_timers(db, ids=numbers)
    rows = [row for row in rows if caller.sees is None or row["owner"] == caller.sees]
    known = {(row["source"], _key(row)) for row in rows}
    if missing := [ref for ref, key in named.items() if (ref.source, key) not in known]:
        raise _missing(missing)
    return rows


def key_of(execution: Row) -> Key:
    """Of an execution: its job's id, and its instant."""
    return execution["job_id"], execution["scheduled_for"]


def _read(ref: Ref) -> tuple[int, datetime | None] | None:
    """What an id says: a number, and for an execution its instant; None if it is none of its source."""
    written = _ID[ref.source].fullmatch(str(ref.id))
    if written is None or int(written[2]) > LARGEST_ID:
        return None
    due = _EPOCH + int(written[3]) * _MICROSECOND if ref.source == "job" else None
    return int(written[2]), due


def _key(row: Row) -> tuple[int, datetime | None]:
    if row["source"] == "job":
        return key_of(row)
    return (row["id"] if row["source"] == "workflow" else row["timer_id"]), None


def _missing(refs: Sequence[Ref]) -> RefusedError:
    listed = ", ".join(f"{ref.source} {ref.id}" for ref in refs[:10])
    return RefusedError(404, f"there is no dead letter {listed}{' ...' if len(refs) > 10 else ''}")

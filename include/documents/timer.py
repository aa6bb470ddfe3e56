"""A timer as a document: what a person may set, what is shown of it, and how timers are added.

There may be millions, and hundreds more in a second: nobody who adds one waits for anybody else who does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from include import registry
from include.documents import permits
from include.documents.attempt import WholeAttempts
from include.documents.caller import Caller
from include.documents.edits import Created
from include.documents.fields import (
    Duration,
    ExternalId,
    Instant,
    Json,
    Owner,
    Seconds,
    ShownInstant,
    Text,
    between,
)
from include.documents.invalid import InvalidDocumentError, parse
from include.documents.retry import RetrySettings, ShownRetry
from include.documents.same import same
from include.errors import RefusedError, TakenError
from include.model import Delivering
from include.store import timers
from include.store.db import DictConnection
from include.store.edits import Row
from include.store.rows import timer_from_row
from include.store.timers import TimerStatus, time_left

_KIND = "webhook"
_LARGEST = 2**31 - 1
_LONGEST = timedelta(days=36_525)
# What only a stored row has; a new one is judged without it.
_UNSTORED = {"id": 0, "attempt": 0, "base_attempt": 0}
# How the row is kept in order is nobody's business but the machinery's.
_INTERNAL = ("claimed_by", "claim")


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Method = Annotated[Literal["GET", "POST", "PUT", "PATCH", "DELETE"], BeforeValidator(_upper)]
Body = Annotated[
    Json,
    WithJsonSchema(
        {"anyOf": [{"type": "object"}, {"type": "array", "items": {}}, {"type": "string"}, {"type": "null"}]}
    ),
]
Part = Annotated[int, Field(ge=0, le=_LARGEST)]


class TimerSettings(RetrySettings):
    """A webhook that is sent once: at `due_at`, or so many `hours`, `minutes` and `seconds` from now."""

    url: Text = Field(max_length=2048, description="Where it is sent.", examples=["https://example.com/hook"])
    method: Method = "POST"
    headers: dict[Text, Text] = Field({}, max_length=64, description="Further headers, by name.")
    body: Body = Field(
        None, description="What is sent: an object or a list as JSON, a text as it is.", examples=[{"order": 17}]
    )
    conn_id: Annotated[Text, Field(min_length=1, max_length=250)] | None = Field(
        None, description="The Airflow connection whose secret signs it."
    )
    hours: Part = 0
    minutes: Part = Field(0, examples=[30])
    seconds: Part = 0
    due_at: Instant | None = Field(None, description="The instant, instead of the time from now.")
    timeout: Annotated[Duration, between(timedelta(milliseconds=1), timedelta(hours=1))] = Field(
        timedelta(seconds=30), description="How long one attempt may take."
    )
    delivery: Delivering = Field("at_least_once", description="Whether an attempt of unknown outcome is made again.")
    external_id: ExternalId | None = Field(
        None, description="Your own name for the timer; creating it again is no second timer."
    )
    owner: Owner | None = Field(None, description="Whose it is; yours, unless you are an admin.")

    @model_validator(mode="after")
    def _one_time_to_come(self) -> TimerSettings:
        delay = timedelta(hours=self.hours, minutes=self.minutes, seconds=self.seconds)
        if (self.due_at is not None) == (delay > timedelta(0)):
            raise ValueError(
                "write hours, minutes and seconds, of which one is more than 0; or due_at, and none of them"
            )
        if delay > _LONGEST:
            raise ValueError(f"hours, minutes and seconds are at most {_LONGEST.days} days together")
        return self


class Timer(ShownRetry):
    """A timer, as it is."""

    id: int
    external_id: str | None
    owner: str
    status: TimerStatus
    time_left: Seconds | None = Field(description="Until it is sent, or sent again; null if it will not be any more.")
    due_at: ShownInstant
    next_at: ShownInstant = Field(description="When it is sent next: `due_at`, or later after a failed attempt.")
    url: str
    method: str
    headers: dict[str, Any]
    body: Any
    conn_id: str | None
    hours: int
    minutes: int
    seconds: int
    timeout: Seconds
    delivery: str
    attempt: int = Field(description="How many attempts have begun.")
    attempts: WholeAttempts = Field(description="What each attempt has sent, and what became of it.")
    fired_at: ShownInstant | None = Field(description="When the first attempt began.")
    finished_at: ShownInstant | None
    lateness: Seconds | None = Field(description="From `due_at` to the first attempt; known once that has ended.")
    output: dict[str, Any] | None = Field(description="What came back.")
    error: str | None
    reason: str | None = Field(description="Why it failed, in a word.", examples=["unknown outcome"])
    created_at: ShownInstant


def document(row: Row, now: datetime) -> dict[str, Any]:
    """Every column of a timer that is of interest, and what follows from them."""
    columns = {name: value for name, value in row.items() if name not in _INTERNAL}
    return {**columns, "time_left": time_left(row, now), "lateness": lateness(row)}


def lateness(row: Row) -> timedelta | None:
    """From when it was due to its first attempt; None as long as that is not known."""
    # A claim is made shortly before the call goes out; when the attempt began is known once it has ended.
    if row["fired_at"] is None or not row["attempts"]:
        return None
    late: timedelta = row["fired_at"] - row["due_at"]
    return late


def create(db: DictConnection, caller: Caller, settings: TimerSettings, now: datetime) -> Created:
    """Add a timer; `TakenError` if its `external_id` is taken by one with other settings."""
    [made] = _create(db, caller, [settings], now)
    return made


def create_all(db: DictConnection, caller: Caller, settings: Sequence[TimerSettings], now: datetime) -> list[Created]:
    """Add timers, all or none; what is wrong with one is at the place `timers.<its number from 0>`."""
    return _create(db, caller, settings, now, "timers.{}.")


def cancel(db: DictConnection, caller: Caller, timer_id: int) -> Row:
    """The timer, which will not be sent (any more); `RefusedError` (404, 409) if there is none, or it is too late."""
    caller.check_writes()
    row = found(timers.get(db, timer_id, caller.sees, lock=True), timer_id)
    if row["status"] == "cancelled":
        return row
    if row["status"] != "pending":
        said = {"firing": "it is being sent", "fired": "it has been sent", "failed": "it has failed"}[row["status"]]
        raise RefusedError(409, f"too late to cancel timer {timer_id}: {said}")
    timers.cancel(db, [timer_id])
    return get(db, caller, timer_id)


def get(db: DictConnection, caller: Caller, timer_id: int) -> Row:
    """The timer, if the caller may see it; else `RefusedError` (404)."""
    return found(timers.get(db, timer_id, caller.sees), timer_id)


def found(row: Row | None, timer_id: int) -> Row:
    """The row itself; `RefusedError` (404) if there is none."""
    if row is None:
        raise RefusedError(404, f"there is no timer with id {timer_id}")
    return row


def _create(
    db: DictConnection, caller: Caller, settings: Sequence[TimerSettings], now: datetime, place: str = ""
) -> list[Created]:
    caller.check_writes()
    wanted = [{**one.model_dump(round_trip=True), "owner": caller.owner(one.owner)} for one in settings]
    known = _known(db, wanted)
    new = []
    for number, columns in enumerate(wanted):
        if _key(columns) not in known:
            _judge(db, caller, columns, now, place.format(number))
            new.append(columns)
    if not new:
        return [_as_known(columns, known) for columns in wanted]
    rows = timers.insert_new(db, new)
    _check_quota(db, caller)
    if len(rows) < len(new):  # somebody was quicker, or they name one external_id twice
        known = _known(db, wanted)
    named = {_key(row): row for row in rows if row["external_id"] is not None}
    nameless = iter([row for row in rows if row["external_id"] is None])
    made = []
    for columns in wanted:
        row = next(nameless) if columns["external_id"] is None else named.pop(_key(columns), None)
        made.append(_as_known(columns, known) if row is None else Created(row, made=True))
    return made


def _key(columns: Mapping[str, Any]) -> tuple[str, str | None]:
    return columns["owner"], columns["external_id"]


def _known(db: DictConnection, wanted: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str | None], Row]:
    """The timers that are there already, by owner and `external_id`."""
    named = [(columns["owner"], columns["external_id"]) for columns in wanted if columns["external_id"] is not None]
    return {_key(row): row for row in timers.by_external_id(db, named)} if named else {}


def _as_known(columns: Mapping[str, Any], known: Mapping[tuple[str, str | None], Row]) -> Created:
    row = known[_key(columns)]
    # Of a timer that is so long from now, `due_at` follows from the moment at which it was added.
    if not all(same(row[name], value) for name, value in columns.items() if name != "due_at" or value is not None):
        raise TakenError(
            f"external_id: timer {row['id']} has {row['external_id']!r} already, with other settings; use another one"
        )
    return Created(row, made=False)


def _judge(db: DictConnection, caller: Caller, columns: Mapping[str, Any], now: datetime, place: str) -> None:
    """Whether it could be sent, and the caller may have it so."""
    if columns["due_at"] is not None and columns["due_at"] <= now:
        raise InvalidDocumentError([(f"{place}due_at", "not in the future; write a time to come")])
    timer = timer_from_row({**columns, **_UNSTORED})
    try:
        parse(registry.action(_KIND).config, timers.payload_of(timer))
    except InvalidDocumentError as error:
        raise InvalidDocumentError([(f"{place}{where}", said) for where, said in error.problems]) from None
    caller.check_kind(_KIND)
    if columns["conn_id"] is not None:
        permits.check_connections(db, caller, columns["owner"], frozenset({columns["conn_id"]}))


def _check_quota(db: DictConnection, caller: Caller) -> None:
    """`RefusedError` (403) if more timers of the caller wait than he may have rows, with what has just been added.

    Those that are added at the same moment do not see each other, for none of them waits for another.
    """
    if not caller.is_admin and (most := timers.quota_exceeded(db, caller.name)) is not None:
        raise RefusedError(403, f"quota: {most} rows are the most; some timers must be sent first, or be cancelled")

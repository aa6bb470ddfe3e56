"""Timers: rows that are sent once, when they are due.

A pump claims what is due, sends it and writes what became of it, as shifts do with executions (`store/ledger.py`): what
it has claimed is its own as long as its process renews its lease. People add timers, look at them and cancel them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from include.errors import ConfigError
from include.model import Timer
from include.store.batch import Batch, Connection
from include.store.db import NOT_BY_INDEX, DictConnection, conninfo, queries
from include.store.edits import LARGEST_ID, Row, document, returned_row
from include.store.rows import timer_from_row
from include.store.search import Search

TimerStatus = Literal["pending", "firing", "fired", "failed", "cancelled"]

# What a new timer has where nothing else is said: the defaults of the table, known here so that a timer can be judged
# as a whole before there is a row.
DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "external_id": None,
        "owner": "admin",
        "method": "POST",
        "headers": {},
        "body": None,
        "conn_id": None,
        "hours": 0,
        "minutes": 0,
        "seconds": 0,
        "due_at": None,
        "retries": 3,
        "retry_delay": timedelta(seconds=2),
        "retry_backoff": 2.0,
        "retry_max_delay": timedelta(hours=1),
        "retry_jitter": 0.1,
        "no_retry_on": [],
        "timeout": timedelta(seconds=30),
        "delivery": "at_least_once",
    }
)

_SQL = {name: text.encode() for name, text in queries("timers").items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt at a timer; without an `entry`, nothing was sent.

    `next_at` is when a timer that is `pending` again is to be sent next, if that has changed.
    """

    id: int
    attempt: int
    status: TimerStatus
    started_at: datetime
    finished_at: datetime
    entry: dict[str, Any] | None = None
    next_at: datetime | None = None
    output: dict[str, Any] | None = None
    error: str | None = None
    reason: str | None = None


class DueTimers:
    """Timers as one pump sees them; `owner` is the holder of its process's lease, `claim` names the pump.

    Waits as long as the database is away.
    """

    def __init__(self, database_url: str, owner: UUID, claim: int) -> None:
        self._names = {"owner": owner, "claim": claim}
        # In the order of the index, too.
        info = conninfo(database_url, via="shift", without=(*NOT_BY_INDEX, "bitmapscan"))
        self._takes = Batch(info, self._execute, gather_seconds=0.0, most=1)
        self._outcomes = Batch(info, self._finish, gather_seconds=0.01)

    async def close(self) -> None:
        """Disconnect."""
        await self._takes.close()
        await self._outcomes.close()

    async def take(self, most: int, now: datetime) -> list[Timer]:
        """Claim what is due, at most so many, the oldest first; `now` by the asker's clock."""
        return _oldest_first(await self._takes.ask(("claim", {"most": most, "now": now})))

    async def take_over(self, most: int, in_hand: Collection[int], on_duty: Collection[int]) -> list[Timer]:
        """Claim what nobody is sending any more.

        `in_hand` are the ids that this pump has claimed and knows of, `on_duty` the claims of all the owner's pumps.
        """
        parameters = {"most": most, "in_hand": list(in_hand), "on_duty": list(on_duty)}
        return _oldest_first(await self._takes.ask(("take_over", parameters)))

    async def next_at(self) -> datetime | None:
        """When the next pending timer is due; None if there is none."""
        [row] = await self._takes.ask(("next_timer", {}))
        at: datetime | None = row["next_at"]
        return at

    async def finish(self, outcome: Outcome) -> bool:
        """Write the outcome of an attempt; False if it is void, for somebody took the timer over, or cancelled it."""
        return await self._outcomes.ask(outcome)

    async def hand_back(self, begun: Collection[int]) -> None:
        """Let go of all that this pump has claimed; `begun` are the ids that may have been sent.

        It takes its turn after a claim that is still on its way, and so undoes that one, too.
        """
        await self._takes.ask(("hand_back", {"begun": list(begun)}))

    async def _execute(self, db: Connection, asks: Sequence[tuple[str, dict[str, Any]]]) -> list[list[dict[str, Any]]]:
        answers: list[list[dict[str, Any]]] = []
        for name, parameters in asks:
            cursor = await db.execute(_SQL[name], {**self._names, **parameters})
            answers.append(await cursor.fetchall() if cursor.description else [])
        return answers

    async def _finish(self, db: Connection, outcomes: Sequence[Outcome]) -> list[bool]:
        plain = ("id", "attempt", "status", "reason", "error", "next_at", "started_at", "finished_at")
        columns: dict[str, Any] = {name: [getattr(outcome, name) for outcome in outcomes] for name in plain}
        for name in ("output", "entry"):
            values = [getattr(outcome, name) for outcome in outcomes]
            columns[name] = [None if value is None else Jsonb(value) for value in values]
        cursor = await db.execute(_SQL["finish"], {**columns, "claim": [self._names["claim"]] * len(outcomes)})
        written = {row["place"] for row in await cursor.fetchall()}
        return [place in written for place in range(1, len(outcomes) + 1)]


def payload_of(timer: Timer) -> dict[str, Any]:
    """The timer as a payload of kind `webhook`; what is not said is left to the kind's defaults."""
    payload: dict[str, Any] = {"url": timer.url, "headers": timer.headers}
    if timer.body is not None:
        payload["body"] = timer.body
    if timer.method != "POST":
        payload["method"] = timer.method
    if timer.conn_id is not None:
        payload["conn_id"] = timer.conn_id
    return payload


def insert(db: DictConnection, columns: Mapping[str, Any]) -> Row:
    """Add a timer; columns that are not given have their default. Call it inside `changing`."""
    return returned_row(db, "timer", _SQL["insert_timer"], {"columns": document({**DEFAULTS, **columns})})


def insert_new(db: DictConnection, all_columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Add timers as `insert` does, in their order, except those whose `external_id` the owner has used already."""
    columns = {"timers": [{**DEFAULTS, **columns} for columns in all_columns]}
    return db.execute(_SQL["insert_timers"], {"columns": document(columns)}).fetchall()


def quota_exceeded(db: DictConnection, owner: str) -> int | None:
    """How many rows the owner may have, if more timers of his wait than that; else None."""
    row: Row | None = db.execute(_SQL["quota_exceeded"], {"owner": owner}).fetchone()
    return None if row is None else row["max_rows"]


def get_all(db: DictConnection, ids: Sequence[int], owner: str | None = None) -> list[Row]:
    """The timers of these ids, among those of `owner` (None: all), in any order."""
    return db.execute(_SQL["get_timers"], {"ids": list(ids), "owner": owner}).fetchall()


def get(db: DictConnection, row_id: int, owner: str | None = None, *, lock: bool = False) -> Row | None:
    """The timer of that id, among those of `owner` (None: all); None if there is none.

    `lock`: until the transaction ends, nobody else changes it.
    """
    name = "lock_timer" if lock else "get_timer"
    return db.execute(_SQL[name], {"id": row_id, "owner": owner}).fetchone()


def by_external_id(db: DictConnection, wanted: Sequence[tuple[str, str]]) -> list[Row]:
    """The timers of these owners and `external_id`s, as far as there are any."""
    names = {"owners": [owner for owner, _ in wanted], "external_ids": [external_id for _, external_id in wanted]}
    return db.execute(_SQL["timers_by_external_id"], names).fetchall()


def search(db: DictConnection, wanted: Search) -> list[Row]:
    """A page of timers by `id` or `due_at`, each with its place in the order as `sort_key`; they are not counted."""
    name = f"search_timers_by_{wanted.sort}" + ("_descending" if wanted.descending else "")
    # Planned for these very filters each time: which index is the right one depends on which are given.
    return db.execute(_SQL[name], wanted.parameters("status", "external_id"), prepare=False).fetchall()


def find(db: DictConnection, ids: Sequence[int]) -> list[Row]:
    """The timers of these ids, in their order; `ConfigError` names those that there are not."""
    rows = db.execute(_SQL["timers"], {"ids": [timer_id for timer_id in ids if timer_id <= LARGEST_ID]}).fetchall()
    known = {row["id"] for row in rows}
    if unknown := [str(timer_id) for timer_id in ids if timer_id not in known]:
        listed = "`./millrace timers list --status all` shows those there are"
        raise ConfigError(f"there is no timer with id {' or '.join(unknown)}; {listed}")
    return rows


def page(
    db: DictConnection,
    *,
    statuses: Sequence[TimerStatus] | None = None,
    owner: str | None = None,
    after: int = -1,
    limit: int | None = None,
) -> list[Row]:
    """Timers whose id is greater than `after`, in the order of their ids; None: whatever the status, no limit."""
    wanted = {"statuses": None if statuses is None else list(statuses), "owner": owner, "after": after, "limit": limit}
    return db.execute(_SQL["list_timers"], wanted).fetchall()


def counts(db: DictConnection, owner: str | None = None) -> dict[str, int]:
    """How many timers there are with each status, all or those of an owner."""
    rows: list[Row] = db.execute(_SQL["count_timers"], {"owner": owner}).fetchall()
    return {row["status"]: row["timers"] for row in rows}


def cancel(db: DictConnection, ids: Sequence[int]) -> set[int]:
    """Cancel those that wait to be sent, also those that wait for a retry; the ids of those that were cancelled.

    The others were too late: `find` says what has become of them.
    """
    rows: list[Row] = db.execute(_SQL["cancel_timers"], {"ids": list(ids)}).fetchall()
    return {row["id"] for row in rows}


def time_left(row: Row, now: datetime) -> timedelta | None:
    """How long until a timer is sent, or sent again; 0 if it is overdue, None if it will not be sent any more."""
    if row["status"] not in ("pending", "firing"):
        return None
    left: timedelta = row["next_at"] - now
    return max(left, timedelta(0))


def _oldest_first(rows: Sequence[Row]) -> list[Timer]:
    """Those that are to be sent."""
    firing = [row for row in rows if row["status"] == "firing"]
    return [timer_from_row(row) for row in sorted(firing, key=lambda row: row["next_at"])]

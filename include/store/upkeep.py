"""Upkeep: chores that keep tables as small as they need be, done by one process at a time over all machines.

Each chore stands alone: it is bounded in time, works in small batches with pauses, and gives way where somebody else
has a lock; one that fails is noted in the table `upkeep`, and the others go on. Whoever begins a round holds a lock on
the connection that does the work: if one is gone, so is the other. The instant as of which things are old is a
parameter of everything here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from include.deadline import within
from include.errors import RetryableError
from include.settings import Settings
from include.store.batch import Connection
from include.store.db import conninfo, queries

log = logging.getLogger(__name__)

T = TypeVar("T")

SQL: Mapping[str, bytes] = {
    name: text.encode() for file in ("upkeep", "upkeep_airflow") for name, text in queries(file).items()
}

_AT_ONCE = 1000
_LONGEST_PAUSE_SECONDS = 1.0
_STATEMENT_SECONDS = 60
_LOCK_SECONDS = 0.3  # whoever waits for a lock has others wait behind him
_TRIES = 20
_GONE_SECONDS = 0.1  # PostgreSQL has seen by then, mostly, that a connection is gone, and has let go of its lock
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)

_ANSWERS = timedelta(days=1)  # as long as store/idempotency.py keeps them
_TRIALS = timedelta(hours=1)  # store/trials.py


@dataclass
class Work:
    """What a chore has to go by. It counts in `changed` what it removes, makes or ends; in a dry run, what it would."""

    db: Connection
    settings: Settings
    now: datetime
    dry_run: bool = False
    changed: int = 0
    before: dict[str, datetime] = field(init=False)

    def __post_init__(self) -> None:
        keep = self.settings
        # By this the ledger knows what was owed: what it looks back at has to be there.
        executions = max(keep.keep_executions_days, keep.ledger_days + 1)
        days = {
            "executions": executions,
            "records": keep.keep_records_days,
            "keys": keep.keep_keys_days,
            "audit": keep.keep_audit_days,
            "runs": keep.keep_runs_days,
            "told": keep.ledger_days,
        }
        self.before = {name: self.now - timedelta(days=kept) for name, kept in days.items()}
        self.before |= {"answers": self.now - _ANSWERS, "trials": self.now - _TRIALS}

    async def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """The rows of a statement, which has the parameters that all have, and these."""
        cursor = await self.db.execute(SQL[statement], {"now": self.now, **self.before, **parameters})
        return await cursor.fetchall() if cursor.description else []

    async def sweep(self, statement: str, **parameters: object) -> None:
        """Have a statement change all that there is, a batch at a time; in a dry run only count it."""
        if self.dry_run:
            [row] = await self.rows(statement, most=None, change=False, **parameters)
            self.changed += row["found"]
            return
        while True:
            began = time.monotonic()
            [row] = await patiently(lambda: self.rows(statement, most=_AT_ONCE, change=True, **parameters))
            self.changed += row["changed"]
            if row["found"] < _AT_ONCE or not row["changed"]:  # the rest, if any, is somebody else's just now
                return
            await asyncio.sleep(min(time.monotonic() - began, _LONGEST_PAUSE_SECONDS))


@dataclass(frozen=True, slots=True)
class Chore:
    """One chore; `does` is what its count is about, in words. It is done every hour."""

    name: str
    does: str
    carry_out: Callable[[Work], Awaitable[None]]
    of_airflow: bool = False
    most_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a chore."""

    chore: str
    does: str
    changed: int
    seconds: float
    error: str | None


def sweeping(name: str, does: str, *, of_airflow: bool = False) -> Chore:
    """A chore that is nothing but the statement of its name."""
    return Chore(name, does, lambda work: work.sweep(name), of_airflow)


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call it, again and again while somebody has a lock on what it needs, but not for ever."""
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - chance, not a secret
    return await call()


class Upkeep:
    """Chores, and the connection on which they are done."""

    def __init__(self, settings: Settings, chores: Sequence[Chore]) -> None:
        self._settings = settings
        self._chores = chores
        self._db: Connection | None = None
        self._has_airflow = False

    async def round(self, now: datetime, *, dry_run: bool = False, only_due: bool = False) -> list[Done] | None:
        """Do the chores, one after another, as of `now`, and say what became of each; None: somebody else is at it.

        `only_due`: those that nobody has begun within the hour. `RetryableError` without a database.
        """
        try:
            if not await self._connect():
                return None
            due = await self._due(now) if only_due else {chore.name for chore in self._chores}
            done = []
            for chore in self._chores:
                if chore.name in due and (self._has_airflow or not chore.of_airflow):
                    if not await self._still_here():
                        break  # somebody else has begun
                    done.append(await self._do(chore, now, dry_run))
            if self._db is not None and not self._db.closed:
                await self._db.execute(SQL["leave_lock"])  # for the end of a connection is seen a moment later
            return done
        except _AWAY as error:
            raise RetryableError(f"the database was lost: {_line(error)}") from error
        finally:
            await self._disconnect()

    async def _do(self, chore: Chore, now: datetime, dry_run: bool) -> Done:
        assert self._db is not None  # noqa: S101 - round() has connected
        limits = f"set statement_timeout = '{_STATEMENT_SECONDS}s'; set lock_timeout = '{_LOCK_SECONDS}s'"
        await self._db.execute(limits.encode())
        work = Work(self._db, self._settings, now, dry_run)
        if not dry_run:
            await work.rows("note_begun", chore=chore.name)
        began, error = time.monotonic(), None
        try:
            await within(chore.most_seconds, chore.carry_out(work))
        except asyncio.TimeoutError:
            error = f"not done within {chore.most_seconds:g} s; it goes on in the next round"
            await self._disconnect()  # cut off in the middle of a statement
        except Exception as caught:  # whatever is wrong with one chore, the others are done
            error = _line(caught)
        done = Done(chore.name, chore.does, work.changed, round(time.monotonic() - began, 3), error)
        if error is not None:
            log.warning("upkeep: %s: %s", chore.name, error)
        if not dry_run and await self._still_here():
            ended = {"seconds": done.seconds, "changed": done.changed, "error": error}
            await Work(self._db, self._settings, now).rows("note_ended", chore=chore.name, **ended)
        return done

    async def _due(self, now: datetime) -> set[str]:
        assert self._db is not None  # noqa: S101 - round() has connected
        names = [chore.name for chore in self._chores]
        return {row["name"] for row in await Work(self._db, self._settings, now).rows("due_chores", chores=names)}

    async def _still_here(self) -> bool:
        """Whether this is still the one at work; on another connection, if the one before was lost."""
        if self._db is not None and not self._db.closed:
            return True
        for _ in range(_TRIES):
            if await self._connect():
                return True
            await asyncio.sleep(_GONE_SECONDS)
        return False

    async def _connect(self) -> bool:
        """Connect and become the one at work, or learn that somebody else is."""
        info = conninfo(self._settings.database_url, via="upkeep")
        self._db = await psycopg.AsyncConnection.connect(info, autocommit=True, row_factory=dict_row)
        [row] = await (await self._db.execute(SQL["take_lock"])).fetchall()
        self._has_airflow = row["has_airflow"]
        if not row["taken"]:
            await self._disconnect()
        return bool(row["taken"])

    async def _disconnect(self) -> None:
        if self._db is not None:
            await self._db.close()
            self._db = None


def _line(error: BaseException) -> str:
    """An error in one line."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((said or str(error) or type(error).__name__).split())[:500]

"""The record log: a page and its cursor are stored together, once, and in order.

The cursor is the fence. Whoever appends says where the cursor was; if it is not there any more, somebody else has gone
on from it, and nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import JsonValue

from include.errors import PermanentError, RetryableError
from include.model import Connector, Record
from include.store.db import conninfo, queries
from include.store.edits import is_id
from include.store.rows import connector_from_row

log = logging.getLogger(__name__)

T = TypeVar("T")
Db = psycopg.AsyncConnection[DictRow]

_SQL = {name: text.encode() for name, text in queries("log").items()}
_CONNECTIONS = 8
_POOL_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 2.0
_LONGEST_ID = 18  # digits
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a page: how many records were new, and the head after it.

    `superseded`: nothing was stored, for the cursor was not where it was said to be; it is at `cursor`.
    """

    stored: int
    head: int
    superseded: bool
    cursor: JsonValue


@dataclass(frozen=True, slots=True)
class Failure:
    """How a connector stands after a failed pull. `alarm`: with this one it begins to count as failing."""

    failures: int
    failing_since: datetime | None
    alarm: bool


class RecordLog:
    """The log as one process sees it, over a few connections of its own, which are made when they are needed."""

    def __init__(self, database_url: str, *, via: str = "shift") -> None:
        self._conninfo = conninfo(database_url, via=via)
        self._opened: AsyncConnectionPool[Db] | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def connector(self, connector_id: int) -> Connector | None:
        """The row as it is now, or None."""
        row = await self._patiently(lambda db: _one(db, "connector", {"id": connector_id}))
        return None if row is None else connector_from_row(row)

    async def connector_at(self, address: str) -> Connector | None:
        """The row of that id (all digits), or the one that has had that name for longest.

        `RetryableError` while the database is away.
        """
        if "\0" in address or (is_id(address) and len(address) > _LONGEST_ID):
            return None  # neither can be asked for
        by_id = is_id(address)
        wanted = {"id": int(address)} if by_id else {"name": address}
        row = await self._once(lambda db: _one(db, "connector" if by_id else "connector_named", wanted))
        return None if row is None else connector_from_row(row)

    async def append(self, connector_id: int, items: str, *, after: JsonValue, cursor: JsonValue) -> Appended:
        """Store what is new of a page (`as_items`) and move the cursor from `after` to `cursor`, or neither.

        Waits as long as the database is away. `PermanentError` if the page cannot be stored, or the connector is gone.
        """
        parameters = {
            "connector_id": connector_id,
            "items": items,
            "move": True,
            "new_cursor": _jsonb(cursor),
            "old_cursor": _jsonb(after),
        }
        with _refusals():
            row = await self._patiently(lambda db: _one(db, "append", parameters))
        assert row is not None  # noqa: S101 - a function in from has a row
        if row["superseded"] and row["cursor"] == cursor:
            # It was us: the answer to the first attempt was lost together with its connection.
            return Appended(0, row["head"], False, cursor)
        return Appended(row["stored"], row["head"], row["superseded"], row["cursor"])

    async def deliver(self, connector_id: int, delivery_id: str | None, records: Sequence[Record]) -> list[int]:
        """Store what was pushed and return the position of each record, in their order.

        A delivery that comes again is not stored again. `RetryableError` while the database is away, `PermanentError`
        as for `append`.
        """
        items = as_items(records)

        async def store(db: Db) -> list[int]:
            async with db.transaction():
                await db.execute(_SQL["lock"], {"id": connector_id})
                if delivery_id is not None:
                    known = await _one(db, "delivery", {"connector_id": connector_id, "id": delivery_id})
                    if known is not None:
                        return list(known["positions"])
                page = {"connector_id": connector_id, "items": items, "move": False}
                await db.execute(_SQL["append"], {**page, "new_cursor": None, "old_cursor": None})
                rows = await (await db.execute(_SQL["positions"], page)).fetchall()
                positions = [row["position"] for row in rows]
                if delivery_id is not None:
                    note = {"connector_id": connector_id, "id": delivery_id, "positions": positions}
                    await db.execute(_SQL["note_delivery"], note)
            return positions

        with _refusals():
            return await self._once(store)

    async def pulled(self, connector_id: int) -> datetime | None:
        """Note that a pull came to its end; since when the connector had been failing, if it had."""
        row = await self._patiently(lambda db: _one(db, "pulled", {"id": connector_id}))
        return None if row is None else row["failing_since"]

    async def waits(self, connector_id: int, seconds: float, error: str) -> None:
        """Note that the source wants to be left alone for so long."""
        parameters = {"id": connector_id, "seconds": seconds, "error": error}
        await self._patiently(lambda db: _run(db, "waits", parameters))

    async def fails(self, connector_id: int, error: str) -> Failure:
        """Note that a pull failed."""
        row = await self._patiently(lambda db: _one(db, "fails", {"id": connector_id, "error": error}))
        return Failure(0, None, False) if row is None else Failure(**row)

    async def take_token(self, budget: str, longest_seconds: float) -> float:
        """Take a request out of a budget; the seconds to wait before it. None is taken if that is too long."""
        parameters = {"budget": budget, "longest": longest_seconds}
        row = await self._patiently(lambda db: _one(db, "take_token", parameters))
        return 0.0 if row is None else float(row["seconds"])

    async def drain_budget(self, budget: str, seconds: float) -> None:
        """Have all who share a budget wait."""
        await self._patiently(lambda db: _run(db, "drain_budget", {"budget": budget, "seconds": seconds}))

    async def _once(self, work: Callable[[Db], Awaitable[T]]) -> T:
        try:
            async with self._connection() as db:
                return await work(db)
        except _AWAY as error:
            raise RetryableError("the database does not answer") from error

    async def _patiently(self, work: Callable[[Db], Awaitable[T]]) -> T:
        """Do it, again until the database answers: so it must be harmless to do twice."""
        pause_seconds = 0.05
        while True:
            try:
                async with self._connection() as db:
                    return await work(db)
            except _AWAY as error:
                log.warning("the database does not answer, trying again: %s", str(error).strip().splitlines()[:1])
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Db]:
        async with (await self._pool()).connection(timeout=_POOL_SECONDS) as db:
            yield db

    async def _pool(self) -> AsyncConnectionPool[Db]:
        async with self._opening:
            if self._opened is None:
                pool = AsyncConnectionPool[Db](
                    self._conninfo,
                    kwargs={"autocommit": True, "row_factory": dict_row},
                    min_size=0,
                    max_size=_CONNECTIONS,
                    open=False,
                    check=AsyncConnectionPool.check_connection,
                )
                await pool.open()
                self._opened = pool
            return self._opened


def as_items(records: Sequence[Record]) -> str:
    """Records as `append_records()` takes them. What PostgreSQL cannot store in JSON (NUL, half a pair) is replaced.

    `PermanentError` if one of them is not what JSON can say.
    """
    items = [{"key": record.key, "payload": record.payload} for record in records]
    try:
        text = json.dumps(items, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if "\\u0000" in text or "\x00" in text:
            text = json.dumps(_without_nul(items), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise PermanentError(f"the page cannot be stored: {error}") from None
    return text.encode("utf-8", "replace").decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    return value


@contextmanager
def _refusals() -> Iterator[None]:
    """What PostgreSQL refuses to store, as an error that quotes nothing of it."""
    try:
        yield
    except psycopg.DataError as error:
        raise PermanentError(f"the page cannot be stored: {error.diag.message_primary}") from None
    except psycopg.errors.ForeignKeyViolation:
        raise PermanentError("the connector was deleted") from None


def _jsonb(value: JsonValue) -> Jsonb | None:
    return None if value is None else Jsonb(value)


async def _one(db: Db, statement: str, parameters: dict[str, Any]) -> DictRow | None:
    return await (await db.execute(_SQL[statement], parameters)).fetchone()


async def _run(db: Db, statement: str, parameters: dict[str, Any]) -> None:
    await db.execute(_SQL[statement], parameters)

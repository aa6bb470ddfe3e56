"""Gather what many coroutines ask of the database within a few milliseconds into one statement.

A thousand claims a second are a thousand round trips one by one, and fifty in batches. The database being away is not
the asker's failure: a batch is sent again until it is answered, so every statement behind a batch must be idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

log = logging.getLogger(__name__)

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")
Connection = psycopg.AsyncConnection[DictRow]

_LONGEST_PAUSE_SECONDS = 2.0


class Batch(Generic[Ask, Answer]):
    """One statement, one connection, many askers.

    `run` answers a batch: one answer per ask, in order. An ask that PostgreSQL refuses (a value it cannot store) fails
    alone; the others of its batch are answered. `replan_seconds`: for a connection that keeps its plans (`plan_once`),
    how long it does; a plan that was made when a table was empty is a bad one when that has grown.
    """

    def __init__(
        self,
        conninfo: str,
        run: Callable[[Connection, Sequence[Ask]], Awaitable[Sequence[Answer]]],
        *,
        gather_seconds: float,
        most: int = 500,
        replan_seconds: float = float("inf"),
    ) -> None:
        self._conninfo = conninfo
        self._run = run
        self._gather_seconds = gather_seconds
        self._most = most
        self._replan_seconds = replan_seconds
        self._planned_at = time.monotonic()
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None
        self._db: Connection | None = None
        self._is_closed = False

    async def ask(self, ask: Ask) -> Answer:
        """Return the answer to `ask`; waits as long as the database is away."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Stop working and disconnect; whoever still waits is cancelled."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        await self._disconnect()

    async def _work(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < self._most:
                    await asyncio.sleep(self._gather_seconds)
                part, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                part = [(ask, future) for ask, future in part if not future.done()]
                if part:
                    await self._answer(part)
        except asyncio.CancelledError:
            # The whole process is told to stop, and cancels every task. Who asks on his way out would wait for ever.
            if self._waiting and not self._is_closed:
                self._worker = asyncio.create_task(self._work())
            raise

    async def _answer(self, part: list[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._until_answered([ask for ask, _ in part])
        except asyncio.CancelledError:
            for _, future in part:
                future.cancel()
            raise
        except Exception as error:  # a value that has no form in PostgreSQL, in Python's or the server's opinion
            if len(part) == 1:
                if not part[0][1].done():
                    part[0][1].set_exception(error)
                return
            for pair in part:  # one of them is at fault: find out which, and answer the others
                await self._answer([pair])
            return
        for (_, future), answer in zip(part, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    async def _until_answered(self, asks: Sequence[Ask]) -> Sequence[Answer]:
        pause_seconds = 0.05
        is_new = False
        while True:
            try:
                return await self._run(await self._connection(), asks)
            except psycopg.errors.FeatureNotSupported:
                # "cached plan must not change result type": a migration has altered a table meanwhile.
                if is_new:
                    raise
                is_new = True
                await self._disconnect()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.warning("the database does not answer, trying again: %s", str(error).strip().splitlines()[:1])
                await self._disconnect()
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    async def _connection(self) -> Connection:
        if self._db is None:
            self._db = await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True, row_factory=dict_row, prepare_threshold=0
            )
        if time.monotonic() - self._planned_at > self._replan_seconds:
            self._planned_at = time.monotonic()
            await self._db.execute("discard plans", prepare=False)
        return self._db

    async def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            await db.close()

"""Executions that a person wants sent again, as a queue of jobs: of each job one after another, the oldest first.

What is taken is not given to anybody else for `hold_seconds`. Whoever takes it claims it in that time
(store/ledger.py), and the claim keeps others away as long as its owner lives; so what is taken and then forgotten comes
back by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.store.batch import Batch, Connection
from include.store.db import NOT_BY_INDEX, conninfo, queries

_SQL = {name: text.encode() for name, text in queries("redrives").items()}

_DUES = 100  # of one job at a time


@dataclass(frozen=True, slots=True)
class Asked:
    """A job, and the oldest of its executions that are to be sent again, in order."""

    job_id: int
    dues: tuple[datetime, ...]


class Asks:
    """What people want sent again, as one process sees it; but nothing of jobs whose kind is one of `worker_kinds`."""

    def __init__(self, database_url: str, *, worker_kinds: Collection[str], hold_seconds: float) -> None:
        self._parameters = {"worker_kinds": list(worker_kinds), "seconds": hold_seconds, "each": _DUES}
        info = conninfo(database_url, via="shift", without=NOT_BY_INDEX)
        self._asks = Batch(info, self._execute, gather_seconds=0.0, most=1)

    async def close(self) -> None:
        """Disconnect."""
        await self._asks.close()

    async def take(self, most: int, *, at_work: Collection[int], job_id: int | None = None) -> list[Asked]:
        """At most so many jobs that can be seen to now, or that one, if it can; not those `at_work`."""
        rows = await self._asks.ask(("take", {"most": most, "at_work": list(at_work), "job_id": job_id}))
        return [Asked(row["job_id"], tuple(row["dues"])) for row in rows]

    async def next_in(self, *, at_work: Collection[int]) -> float | None:
        """In how many seconds the next job can be taken; None: there is none."""
        [row] = await self._asks.ask(("next_in", {"at_work": list(at_work)}))
        seconds: float | None = row["seconds"]
        return seconds

    async def let_go(self, job_id: int, due: datetime, seconds: float) -> None:
        """Have it, and with it its job, taken in so many seconds and not before; nothing, if it has ended."""
        await self._asks.ask(("let_go", {"job_id": job_id, "due": due, "after": seconds}))

    async def _execute(self, db: Connection, asks: Sequence[tuple[str, dict[str, Any]]]) -> list[list[dict[str, Any]]]:
        return [await self._rows(db, name, parameters) for name, parameters in asks]

    async def _rows(self, db: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        cursor = await db.execute(_SQL[name], {**self._parameters, **parameters})
        return await cursor.fetchall()

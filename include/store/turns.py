"""Turns: at most one shift works on a row at a time, here or on another machine.

A turn is protected by its owner's lease (`store/ledger.py`): whoever dies or freezes in the middle of it loses it when
the lease runs out, and must look at the lease before each thing that it does to the outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from include.store.batch import Batch, Connection
from include.store.db import conninfo, queries

_SQL = {name: text.encode() for name, text in queries("turns").items()}


@dataclass(frozen=True, slots=True)
class Ask:
    """Whose turn on which row; `claim` names the shift."""

    table: str
    row_id: int
    claim: int


@dataclass(frozen=True, slots=True)
class Turn:
    """The answer: whether it is the asker's turn now; whose it was before, and since when, if anybody's."""

    mine: bool
    before: int | None
    before_at: datetime | None


class Turns:
    """Turns as one process takes them; `owner` is the holder of its lease."""

    def __init__(self, database_url: str, owner: UUID) -> None:
        self._owner = owner
        info = conninfo(database_url, via="shift")
        self._takes = Batch(info, self._take, gather_seconds=0.005)
        self._ends = Batch(info, self._end, gather_seconds=0.005)

    async def close(self) -> None:
        """Disconnect; turns that were not given back are free once the lease has run out."""
        await self._takes.close()
        await self._ends.close()

    async def take(self, ask: Ask) -> Turn:
        """Take the turn if nobody alive has it."""
        return await self._takes.ask(ask)

    async def end(self, ask: Ask) -> None:
        """Give the turn back."""
        await self._ends.ask(ask)

    async def _take(self, db: Connection, asks: Sequence[Ask]) -> list[Turn]:
        cursor = await db.execute(_SQL["take"], {**_columns(asks), "owner": self._owner})
        return [Turn(row["mine"], row["before"], row["before_at"]) for row in await cursor.fetchall()]

    async def _end(self, db: Connection, asks: Sequence[Ask]) -> list[None]:
        await db.execute(_SQL["end"], _columns(asks))
        return [None] * len(asks)


def _columns(asks: Sequence[Ask]) -> dict[str, Any]:
    return {
        "table_name": [ask.table for ask in asks],
        "row_id": [ask.row_id for ask in asks],
        "claim": [ask.claim for ask in asks],
    }

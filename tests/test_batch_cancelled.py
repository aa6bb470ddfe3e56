"""A batch when the whole process is told to stop, and every task of it is cancelled at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from include.store.batch import Batch, Connection
from include.store.db import conninfo


async def _double(_db: Connection, asks: Sequence[int]) -> list[int]:
    return [2 * ask for ask in asks]


def test_who_asks_on_his_way_out_is_answered(database_url: str) -> None:
    """A shift that is cancelled together with the batch's own task still lets go of what it has claimed."""
    answers: list[int] = []

    async def process() -> None:
        batch = Batch(conninfo(database_url), _double, gather_seconds=0.01)

        async def shift() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                answers.append(await batch.ask(21))
                await batch.close()

        async def another() -> None:
            while True:
                await batch.ask(1)

        tasks = [asyncio.create_task(shift()), asyncio.create_task(another())]
        await batch.ask(0)  # it is connected, and at work again at once
        assert not any(task.done() for task in tasks)

    asyncio.run(process())  # which cancels what is left
    assert answers == [42]

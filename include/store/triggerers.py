"""Airflow's triggerers and what they have: looked up, and let go of, in Airflow's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from include.store.batch import Batch, Connection
from include.store.db import conninfo, queries

_SQL = {name: text.encode() for name, text in queries("triggerers").items()}

_GATHER_SECONDS = 0.05


async def triggerer_of(database_url: str, trigger_id: int, hostname: str) -> int | None:
    """The triggerer that has the trigger, if it is one of the machine that is called so by Airflow."""
    row = await _row(database_url, "triggerer_of", {"trigger_id": trigger_id, "hostname": hostname})
    return None if row is None else row["id"]


async def release(database_url: str, triggerer_id: int) -> None:
    """Let other triggerers have at once what this one has."""
    await _row(database_url, "release", {"triggerer_id": triggerer_id})


def wanted(database_url: str) -> Batch[int, bool]:
    """Whom to ask whether a trigger is still to run; thousands may ask at once, over one connection.

    It is not once its task has been ended by a person, or by another triggerer's event.
    """
    return Batch(conninfo(database_url, via="shift"), _wanted, gather_seconds=_GATHER_SECONDS)


async def _wanted(db: Connection, trigger_ids: Sequence[int]) -> list[bool]:
    cursor = await db.execute(_SQL["wanted"], {"ids": list(trigger_ids)})
    found = {row["id"] for row in await cursor.fetchall()}
    return [trigger_id in found for trigger_id in trigger_ids]


async def _row(database_url: str, name: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    info = conninfo(database_url, via="shift")
    async with await psycopg.AsyncConnection.connect(info, autocommit=True, row_factory=dict_row) as db:
        cursor = await db.execute(_SQL[name], parameters)
        return await cursor.fetchone() if cursor.description else None

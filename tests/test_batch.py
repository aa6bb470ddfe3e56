"""Asks that are answered together outlive what happens to the database meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from include.store.batch import Batch, Connection
from include.store.db import DictConnection, conninfo

pytestmark = pytest.mark.fresh_database


async def look(db: Connection, asks: Sequence[int]) -> list[object]:
    rows = await (await db.execute("select * from lease")).fetchall()
    return [rows for _ in asks]


async def test_a_table_may_be_altered_meanwhile(database_url: str, db: DictConnection) -> None:
    """A statement that was prepared before a migration is prepared again, and the ask is answered."""
    batch: Batch[int, object] = Batch(conninfo(database_url), look, gather_seconds=0)
    try:
        assert await batch.ask(1) == []
        db.execute("alter table lease add column odd text")
        assert await batch.ask(2) == []
    finally:
        await batch.close()


async def test_what_postgresql_cannot_do_is_said(database_url: str) -> None:
    """A statement that is not supported at all is an error, and not tried for ever."""

    async def unsupported(db: Connection, asks: Sequence[int]) -> list[object]:
        await db.execute("select distinct owner from lease for update")
        return [None for _ in asks]

    batch: Batch[int, object] = Batch(conninfo(database_url), unsupported, gather_seconds=0)
    try:
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            await batch.ask(1)
    finally:
        await batch.close()

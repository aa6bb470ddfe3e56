"""Asks that are answered together outlive what happens to the database meanwhile."""

from __future__ import annotations

import asyncio
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


async def test_a_plan_that_was_made_for_an_empty_table_is_not_kept(database_url: str) -> None:
    """Where plans are kept, they are made anew now and then: an empty table is read as a whole, a large one is not."""
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("drop table if exists grown")
        db.execute("create table grown (id int primary key, filler text)")
        db.execute("analyze grown")
    statement = b"select count(*)::int as found from grown where id = any(%s::int[])"

    async def run(db: Connection, asks: Sequence[int]) -> Sequence[int]:
        row = await (await db.execute(statement, [list(asks)])).fetchone()
        assert row is not None
        return [row["found"]] * len(asks)

    async def plan(batch: Batch[int, int]) -> str:
        assert batch._db is not None
        of_ours = "select name from pg_prepared_statements where statement like '%%from grown%%'"
        [row] = await (await batch._db.execute(of_ours, prepare=False)).fetchall()
        explained = await batch._db.execute(f"explain execute \"{row['name']}\" ('{{1}}')".encode(), prepare=False)
        return " ".join(str(line["QUERY PLAN"]) for line in await explained.fetchall())

    info = conninfo(database_url, plan_once=True)
    kept = Batch(info, run, gather_seconds=0.0)
    renewed = Batch(info, run, gather_seconds=0.0, replan_seconds=0.0)
    for batch in (kept, renewed):
        await batch.ask(1)
        assert "Seq Scan" in await plan(batch)
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("alter table grown set (autovacuum_enabled = off)")
        await asyncio.gather(kept.ask(1), renewed.ask(1))
        db.execute("insert into grown select n, repeat('x', 500) from generate_series(1, 20000) n")
    await asyncio.gather(kept.ask(1), renewed.ask(1))
    assert ["Seq Scan" in await plan(batch) for batch in (kept, renewed)] == [True, False]
    await kept.close()
    await renewed.close()
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("drop table grown")

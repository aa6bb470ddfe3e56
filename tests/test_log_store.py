"""The record log as processes use it: what is asked twice happens once, and what cannot be stored is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from include.errors import PermanentError
from include.model import Record
from include.store.db import DictConnection
from include.store.log import RecordLog, as_items
from tests.log_rows import add_connector

PAGE = [Record("a", 1), Record("b", 2)]


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[RecordLog]:
    opened = RecordLog(database_url)
    yield opened
    await opened.close()


async def test_a_page_whose_answer_was_lost_is_stored_once(log: RecordLog, db: DictConnection) -> None:
    """Asked again with the same cursors, as after a lost connection, it is done already and no supersession."""
    connector = add_connector(db)
    first = await log.append(connector, as_items(PAGE), after=None, cursor={"page": 2})
    again = await log.append(connector, as_items(PAGE), after=None, cursor={"page": 2})
    assert (first.stored, first.head, first.superseded) == (2, 2, False)
    assert (again.stored, again.head, again.superseded) == (0, 2, False)


async def test_a_connection_that_breaks_loses_nothing(log: RecordLog, db: DictConnection) -> None:
    """PostgreSQL ends every connection while pages are appended; each record is stored once, in order."""
    connector = add_connector(db)

    async def write() -> None:
        for number in range(40):
            records = [Record(f"{number}-{n}", n) for n in range(3)]
            appended = await log.append(connector, as_items(records), after=number or None, cursor=number + 1)
            assert not appended.superseded
            await asyncio.sleep(0.005)

    writing = asyncio.create_task(write())
    for _ in range(4):
        await asyncio.sleep(0.05)
        db.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    await writing
    rows = db.execute("select key from record order by position").fetchall()
    assert [row["key"] for row in rows] == [f"{number}-{n}" for number in range(40) for n in range(3)]


async def test_a_delivery_that_comes_twice_at_once_is_stored_once(log: RecordLog, db: DictConnection) -> None:
    """Both are told the same positions."""
    connector = add_connector(db)
    answers = await asyncio.gather(*(log.deliver(connector, "delivery 1", PAGE) for _ in range(6)))
    assert answers == [[1, 2]] * 6


@pytest.mark.parametrize("payload", [float("nan"), {"when": object()}])
async def test_what_json_cannot_say_is_refused(payload: object) -> None:
    """A record that is no JSON is an error of its page, and nothing is stored in its place."""
    with pytest.raises(PermanentError, match="cannot be stored"):
        as_items([Record("a", payload)])  # type: ignore[arg-type]  # that is the point


async def test_a_connector_that_is_gone_is_said(log: RecordLog, db: DictConnection) -> None:
    """A page for a connector that was deleted meanwhile fails for good."""
    with pytest.raises(PermanentError, match="deleted"):
        await log.append(99, as_items(PAGE), after=None, cursor=1)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute("insert into record (connector_id, payload) values (99, '{}')")

"""Connectors of kind `python`: people's own generators, pulled by the shift that a worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include import registry
from include import settings as our_settings
from include.errors import ConfigError
from include.model import Connection
from include.shifts import pull
from include.shifts.shift import Ending
from include.store.db import DictConnection
from include.store.rows import connector_from_row
from tests.log_rows import add_connector
from tests.shift_stage import opened_post
from tests.test_shift_pull import keys, row, shift_for


@pytest.fixture(autouse=True)
def user_code(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Iterator[None]:
    """The package for user code is this one."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", database_url)
    monkeypatch.setenv("MILLRACE_USER_CODE", "tests")
    our_settings.settings.cache_clear()
    yield
    our_settings.settings.cache_clear()


def add_python(db: DictConnection, function: str, **columns: Any) -> int:
    arguments = columns.pop("arguments", {})
    config = {"function": f"user_pulls:{function}", "arguments": arguments, **columns.pop("config", {})}
    return add_connector(db, kind="python", config=config, **columns)


async def pull_by_hand(database_url: str, connector: int, **settings: Any) -> Ending:
    async with opened_post(database_url, **settings) as post:

        async def find(conn_id: str) -> Connection:
            return Connection(conn_id, login="ann", password="secret")

        post.connections = find
        return await pull.stand(shift_for(connector, by_hand=True), post)


async def test_a_generator_goes_on_from_its_cursor(database_url: str, db: DictConnection) -> None:
    """Pages are stored as they come; one that breaks off keeps what came, and the next call goes on from there."""
    connector = add_python(db, "count", arguments={"up_to": 7, "breaks_at": 5})
    broken = await pull_by_hand(database_url, connector)
    assert broken == Ending("failed", "RuntimeError: the source is down")
    assert (keys(db), row(db, connector)["cursor"]) == ([1, 2, 3, 4], 4)
    db.execute("update connector set config = jsonb_set(config, '{arguments}', '{\"up_to\": 7}')")
    assert (await pull_by_hand(database_url, connector)).line == "1 pulls, 3 new records"
    assert keys(db) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_generator_that_hangs_is_left(database_url: str, db: DictConnection) -> None:
    """After `pull_seconds` the pull ends, although the generator's thread cannot be ended."""
    connector = add_python(db, "hangs")
    assert (await pull_by_hand(database_url, connector, pull_seconds=4)).state == "success"
    assert keys(db) == [1]


async def test_what_postgresql_cannot_store_is_replaced(database_url: str, db: DictConnection) -> None:
    """NUL and half a surrogate pair become the replacement character or a question mark; nothing else is touched."""
    connector = add_python(db, "odd")
    assert (await pull_by_hand(database_url, connector)).state == "success"
    records = db.execute("select key, payload from record order by position").fetchall()
    assert records[0] == {"key": "nul\ufffd", "payload": {"t\ufffd": "a\ufffdb", "list": ["\ufffd"]}}
    assert records[1] == {"key": "half", "payload": "?"}


async def test_the_connection_is_handed_over(database_url: str, db: DictConnection) -> None:
    """A row that names a connection has it given to its function."""
    connector = add_python(db, "with_secret", config={"conn_id": "api"})
    assert (await pull_by_hand(database_url, connector)).state == "success"
    assert db.execute("select payload from record").fetchone() == {"payload": "ann"}


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("infinite", "the page cannot be stored"),
        ("no_generator", "is no generator: it returned list"),
        ("no_pages", "yielded dict; yield include.model.Page"),
        ("missing", "has no function missing"),
    ],
)
async def test_what_is_wrong_is_said(database_url: str, db: DictConnection, function: str, says: str) -> None:
    """A function that does not keep to the contract fails the pull with what to do instead."""
    connector = add_python(db, function)
    ending = await pull_by_hand(database_url, connector)
    assert ending.state == "failed"
    assert says in ending.line
    assert says in row(db, connector)["last_error"]


async def test_a_module_that_does_not_exist(database_url: str, db: DictConnection) -> None:
    """The message names the module that was looked for, in the package that is set."""
    connector = add_connector(db, kind="python", config={"function": "nowhere:pull"})
    assert "there is no module tests.nowhere" in (await pull_by_hand(database_url, connector)).line


def test_a_worker_is_not_asked_more_than_once_a_minute(db: DictConnection) -> None:
    """Each pull forks a process: a row that wants it more often is refused, and says what to write."""
    connector = add_python(db, "count", every="30 seconds")
    with pytest.raises(ConfigError, match="at most once a minute"):
        registry.vet(connector_from_row(row(db, connector)))

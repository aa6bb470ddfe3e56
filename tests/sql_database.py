"""A database for rows of kind `sql`, and calls of the kind, by psycopg alone: Airflow's way is tested on its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from include.egress import Egress
from include.local.postgres import Postgres
from include.model import Call, Connection, Output
from include.registry import action

DUE = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


def by_psycopg(named: Connection) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=named.host, port=named.port, dbname=named.schema, user=named.login, password=named.password
    )


@dataclass
class Target:
    """The database: its rows, by SQL, and attempts of the kind at it."""

    db: psycopg.Connection[Any]
    connection: Connection
    timeout_seconds: float = 30.0

    def sql(self, statement: str) -> None:
        self.db.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.db.execute(query.encode()).fetchall()

    def act(self, sql: Any, **payload: Any) -> Output:
        """One attempt; what it gave can be stored."""
        kind = action("sql")
        config = kind.parse({"conn_id": self.connection.id, "sql": sql, **payload})
        call = Call(
            config=config,
            key="job_1_0",
            due=DUE,
            attempt=1,
            timeout_seconds=self.timeout_seconds,
            http=Egress(),
            connection=self.connection,
            open_database=by_psycopg,
        )
        output = kind.act(call)
        assert isinstance(output, Output)
        self.db.execute("select %s::jsonb", [json.dumps(output.data)])
        return output

    def using(self, timeout_seconds: float | None = None, **parts: Any) -> Target:
        """The same database by another connection, or with less time."""
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        return replace(self, connection=replace(self.connection, **parts), timeout_seconds=seconds)


@pytest.fixture
def target(server: Postgres) -> Iterator[Target]:
    """An empty database."""
    server.create_database("acted_on")
    url = server.url("acted_on")
    parts = urlsplit(url)
    named = Connection("shop", "postgres", "127.0.0.1", parts.port, "acted_on", parts.username, parts.password, {})
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("drop schema public cascade")
        db.execute("create schema public")
        yield Target(db, named)

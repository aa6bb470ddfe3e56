"""A `postgres` connector in front of another database on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pydantic import JsonValue

from include.egress import Egress
from include.local.postgres import Postgres
from include.model import Connection, Page, Source
from include.registry import source
from include.settings import settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@dataclass
class Other:
    """The other database: its rows, by SQL, and pulls from it."""

    db: psycopg.Connection[Any]
    connection: Connection
    timeout_seconds: float = 30.0
    pages: list[Page] = field(default_factory=list)

    def sql(self, statement: str, *parameters: Any) -> None:
        self.db.execute(statement.encode(), parameters or None)

    async def pull(
        self,
        cursor: JsonValue = None,
        most: int = -1,
        between: Callable[[], None] = lambda: None,
        **config: Any,
    ) -> list[Page]:
        """Pull to the end, or so many pages, and do something after each; what came before an error is in `pages`."""
        self.pages = pages = []
        kind = source("postgres")
        parsed = kind.parse({"conn_id": self.connection.id, "primary_key": "id", **config})
        held = json.loads(json.dumps(cursor))
        given = Source(parsed, held, Egress(), self.connection, NOW, self.timeout_seconds)
        async with aclosing(kind.pull(given)) as pulled:
            async for page in pulled:
                json.dumps(page.cursor)
                pages.append(page)
                if len(pages) == most:
                    break
                between()
        return pages

    def using(self, **parts: Any) -> Other:
        """The same database by another connection."""
        return replace(self, connection=replace(self.connection, **parts))


def keys(pages: list[Page]) -> list[str | None]:
    return [record.key for page in pages for record in page.records]


def payloads(pages: list[Page]) -> list[Any]:
    return [record.payload for page in pages for record in page.records]


@pytest.fixture
def other(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Other]:
    """An empty database that calls may go to."""
    server.create_database("elsewhere")
    url = server.url("elsewhere")
    monkeypatch.setenv("MILLRACE_DATABASE_URL", server.url("postgres"))
    monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", "127.0.0.0/8")
    settings.cache_clear()
    assert settings().egress_allow == (ip_network("127.0.0.0/8"),)
    parts = urlsplit(url)
    named = Connection(
        "elsewhere", "postgres", "127.0.0.1", parts.port, "elsewhere", parts.username, parts.password, {}
    )
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("drop schema public cascade")
        db.execute("create schema public")
        yield Other(db, named)
    settings.cache_clear()

"""What tests share: a real PostgreSQL of their own, and a migrated database each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

# Before anything imports Airflow or our settings: tests must not find a system that happens to run beside them.
for name in [name for name in os.environ if name.startswith(("MILLRACE_", "AIRFLOW_"))]:
    if name != "MILLRACE_TEST_KEEP":
        del os.environ[name]

import psycopg
import pytest

from include.local.postgres import Postgres
from include.store.db import DictConnection, connect
from include.store.migrate import migrate

_numbers = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole session, with a migrated database to copy."""
    with Postgres.temporary() as running:
        running.create_database("template")
        migrate(running.url("template"))
        yield running


@pytest.fixture
def database_url(server: Postgres) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template template")
        admin.execute(f"alter database {name} set search_path = millrace, public")
        yield server.url(name)
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def db(database_url: str) -> Iterator[DictConnection]:
    """A connection to the test's database, in autocommit."""
    with connect(database_url) as connection:
        yield connection

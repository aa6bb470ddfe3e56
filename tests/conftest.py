"""What tests share: a real PostgreSQL of their own, and a migrated database each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

# Before anything imports Airflow or our settings: tests must not find a system that happens to run beside them.
for name in [name for name in os.environ if name.startswith(("MILLRACE_", "AIRFLOW_"))]:
    if name != "MILLRACE_TEST_KEEP":
        del os.environ[name]

import hypothesis
import psycopg
import pytest

from include.local.postgres import Postgres
from include.store.db import DictConnection, connect
from include.store.migrate import migrate

# Deleting the few rows of a test is a thirtieth of the cost of truncating tables with dozens of partitions.
EMPTY = """
    delete from connection_grant; delete from quota where owner <> '*';
    delete from workflow; delete from connector; delete from job; delete from execution; delete from audit;
    delete from lease; delete from shard; delete from turn; delete from budget;
    delete from timer; delete from notice; delete from notice_channel; delete from owner_notify;
    delete from outcome_queue; delete from tally; delete from idempotency_key; delete from trial;
    delete from upkeep;
    delete from warning;
    select setval(name::regclass, 1, false) from unnest(array[
        'revision', 'job_id_seq', 'connector_id_seq', 'workflow_id_seq', 'dead_letter_id_seq', 'audit_id_seq',
        'timer_id_seq', 'notice_id_seq', 'trial_id_seq', 'warning_id_seq']) as name;
"""

_numbers = count()

# A busy machine may stall for as long as it likes: that is no failure of an example.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups that keep one process busy for long come first, so that nobody waits for them in the end."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where tests of one group would run at once: pytest-xdist says by the name that it has seen it."""
    if not getattr(session.config.option, "loadgroup", False):
        return
    for item in session.items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: pytest-xdist does not group its tests with this pytest")


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole session, with a migrated database to copy."""
    with Postgres.temporary() as running:
        running.create_database("template")
        migrate(running.url("template"))
        yield running


@pytest.fixture(scope="session")
def shared_database(server: Postgres) -> str:
    """A migrated database that tests use one after another; a copy for each would cost 0.3 s apiece."""
    return copy_of_template(server)


@pytest.fixture
def database_url(server: Postgres, shared_database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated database with no rows; for a test that changes the schema (`fresh_database`), one of its own."""
    if request.node.get_closest_marker("fresh_database"):
        yield server.url(copy_of_template(server))
        return
    name = shared_database
    yield server.url(name)
    with psycopg.connect(server.url(name), autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        admin.execute(EMPTY.encode())


def copy_of_template(server: Postgres) -> str:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute(f"create database {name} template template")
        admin.execute(f"alter database {name} set search_path = millrace, public")
    return name


@pytest.fixture
def db(database_url: str) -> Iterator[DictConnection]:
    """A connection to the test's database, in autocommit."""
    with connect(database_url) as connection:
        yield connection

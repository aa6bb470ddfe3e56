"""Fixtures for tests of the Airflow edge; a test module names this one in `pytest_plugins`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.airflow_system import insert_job  # isort: split

from airflow import settings as airflow_settings
from airflow.configuration import conf
from sqlalchemy import text
from sqlalchemy.orm import Session

from include import settings as our_settings
from include.local.database import Database
from include.local.postgres import Postgres
from include.store.db import DictConnection, connect
from include.store.migrate import adopt_airflow
from tests.conftest import EMPTY

_AIRFLOWS_TABLES = (
    *("asset_event", "asset_dag_run_queue", "asset_active", "dag_schedule_asset_reference"),
    *(
        "task_outlet_asset_reference",
        "asset",
        "xcom",
        "callback",
        "dag_run",
        "trigger",
        "job",
        "dag_version",
        "dag",
        "dag_bundle",
        "dag_priority_parsing_request",
    ),
)


@pytest.fixture(scope="session")
def airflow_url(server: Postgres) -> Iterator[str]:
    """A database with Airflow's tables and ours, as both know it. Airflow is bound to it from now on."""
    with connect(server.url("postgres")) as admin:
        admin.execute("create database airflow template template")
    database = Database(server.url("airflow"))
    conf.set("database", "sql_alchemy_conn", database.for_airflow)
    conf.set("database", "sql_alchemy_conn_async", database.for_airflow_async)
    airflow_settings.dispose_orm(do_log=False)
    airflow_settings.configure_vars()
    airflow_settings.configure_orm()

    from airflow.models.base import Base
    from airflow.utils.db import import_all_models, synchronize_log_template

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_all_models()
        Base.metadata.create_all(airflow_settings.engine)  # as `airflow db migrate` does in an empty database
        with airflow_settings.NonScopedSession() as session:
            synchronize_log_template(session=session)
            session.commit()
    adopt_airflow(database.url)
    yield database.url
    airflow_settings.dispose_orm(do_log=False)


@pytest.fixture
def ours(airflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DictConnection]:
    """A connection of ours, in autocommit. This process belongs to that database, and may call the loopback."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", airflow_url)
    monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", "127.0.0.0/8")
    our_settings.settings.cache_clear()
    with connect(airflow_url) as connection:
        yield connection
        connection.execute(EMPTY.encode())
    our_settings.settings.cache_clear()


@pytest.fixture
def airflow_session(ours: DictConnection) -> Iterator[Session]:
    """A session of Airflow's on empty tables."""
    session = airflow_settings.NonScopedSession()
    yield session
    session.rollback()
    for table in _AIRFLOWS_TABLES:
        session.execute(text(f'delete from public."{table}"'))
    session.commit()
    session.close()


@pytest.fixture
def insert(ours: DictConnection) -> Callable[..., int]:
    """Insert a job by SQL, a ping without a schedule unless told otherwise; return its id."""
    return partial(insert_job, ours)

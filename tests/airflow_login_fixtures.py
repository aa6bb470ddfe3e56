"""Fixtures for tests with Airflow's real auth managers; a test module names this one in `pytest_plugins`.

It names `tests.airflow_fixtures` as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest

from tests.airflow_logins import FAB, SIMPLE, Logins, fab_security

# isort: split
from airflow import settings as airflow_settings
from airflow.api_fastapi.app import init_auth_manager, purge_cached_app
from airflow.configuration import conf
from sqlalchemy import text

from include.store.db import DictConnection


@pytest.fixture(scope="session")
def fab_tables(airflow_url: str) -> None:
    """FAB's tables and roles, as its own code makes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import airflow.providers.fab.auth_manager.fab_auth_manager  # noqa: F401 - warns while it is imported
        from airflow.providers.fab.auth_manager.models.db import FABDBManager

        with airflow_settings.NonScopedSession() as session:
            FABDBManager(session).initdb()
            session.commit()
        with fab_security() as security:
            security.sync_roles()


@pytest.fixture
def use_manager(
    ours: DictConnection, airflow_url: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Logins]]:
    """Make an auth manager that of this process."""

    def use(name: str) -> Logins:
        if name == FAB:
            request.getfixturevalue("fab_tables")
        conf.set("core", "auth_manager", name)
        purge_cached_app()
        return Logins(init_auth_manager(), airflow_url)

    before = conf.get("core", "auth_manager")
    yield use
    conf.set("core", "auth_manager", before)
    purge_cached_app()
    with airflow_settings.NonScopedSession() as session:
        session.execute(text("delete from revoked_token"))
        if session.scalar(text("select to_regclass('public.ab_user') is not null")):
            session.execute(text("truncate ab_user cascade"))
        session.commit()


@pytest.fixture
def simple(use_manager: Callable[[str], Logins]) -> Logins:
    return use_manager(SIMPLE)


@pytest.fixture
def fab(use_manager: Callable[[str], Logins]) -> Logins:
    return use_manager(FAB)


@pytest.fixture(params=[SIMPLE, FAB], ids=["simple", "fab"])
def logins(use_manager: Callable[[str], Logins], request: pytest.FixtureRequest) -> Logins:
    """Each of Airflow's auth managers in turn."""
    return use_manager(request.param)

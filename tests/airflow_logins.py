"""The real auth managers, simple and FAB, in this process, with users of every role, and the API and the dashboard
as Airflow mounts them.

The fixtures are in `tests/airflow_login_fixtures.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests import airflow_system  # noqa: F401

# isort: split
from airflow import settings as airflow_settings
from airflow.api_fastapi.app import lifespan
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.app import init_middlewares
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.settings import Settings
from include.ui.app import create_app

SIMPLE = "include.orchestration.auth_simple.MillraceSimpleAuthManager"
FAB = "include.orchestration.auth_fab.MillraceFabAuthManager"
ORIGIN = "http://millrace.test"
_numbers = count()


@dataclass
class Logins:
    """An auth manager of Airflow's, and users of it."""

    manager: Any
    database_url: str

    def token(self, name: str, *roles: str, seconds: int = 3600) -> str:
        """A token as Airflow gives it to a user with these roles, of which the simple auth manager knows one."""
        role = roles[0] if roles else None
        user = self._fab_user(name, roles) if self._is_fab else SimpleAuthManagerUser(username=name, role=role)
        return str(self.manager.generate_jwt(user, expiration_time_in_seconds=seconds))

    @property
    def _is_fab(self) -> bool:
        return "FabAuthManager" in type(self.manager).__name__

    def _fab_user(self, name: str, names: tuple[str, ...]) -> Any:
        with fab_security() as security:
            user = security.find_user(username=name)
            if user is None:
                roles = [security.find_role(role) or security.add_role(role) for role in names]
                user = security.add_user(
                    name, "A", "B", f"{next(_numbers)}@example.com", roles, hashed_password="unused"
                )
            return user

    @contextmanager
    def serving(self, **settings: Any) -> Iterator[TestClient]:
        """The API and the dashboard below /millrace of an app with Airflow's own middlewares."""
        root = FastAPI(lifespan=lifespan)
        root.mount("/millrace", create_app(Settings(database_url=self.database_url, **settings)))
        init_middlewares(root)
        with TestClient(root, base_url=ORIGIN) as client:
            yield client


@contextmanager
def fab_security() -> Iterator[Any]:
    """FAB's own code for users and roles, in a transaction."""
    from airflow.providers.fab.www.security_appless import ApplessAirflowSecurityManager

    with airflow_settings.NonScopedSession() as session:
        yield ApplessAirflowSecurityManager(session=session)
        session.commit()

"""The environment of every component: `config/airflow.env`, and what depends on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from include.errors import ConfigError
from include.local.database import Database
from include.local.home import PROJECT, Home
from include.local.keys import Keys
from include.local.ports import LOOPBACK
from include.local.users import USERS, with_admin

SETTINGS_FILE = PROJECT / "config" / "airflow.env"
_LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
_FOREIGN = ("AIRFLOW_CONFIG", "AIRFLOW__CORE__SQL_ALCHEMY_CONN", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Site:
    """What one running system depends on."""

    home: Home
    database: Database
    keys: Keys
    port: int
    demo: bool
    broker_url: str | None = None  # of Celery; without it, what runs on workers runs in processes of the scheduler's

    @property
    def host(self) -> str:
        return os.environ.get("AIRFLOW__API__HOST", LOOPBACK)

    @property
    def url(self) -> str:
        """Where to reach it from this machine; an address and not a name, which may mean IPv6 first."""
        everywhere = self.host in ("0.0.0.0", "")  # noqa: S104 - compared with, not bound to
        return f"http://{LOOPBACK if everywhere else self.host}:{self.port}"


def read_settings(file: Path = SETTINGS_FILE) -> dict[str, str]:
    """The file's `KEY=VALUE` lines: everything after the first `=` is the value, as Docker reads them, too."""
    settings: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"{file}, line {number}: write KEY=VALUE")
        if key in settings:
            raise ConfigError(f"{file}, line {number}: {key} is set twice")
        settings[key] = value.strip()
    return settings


def component_environment(site: Site, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the components run with: the machine's part cannot be overridden, the rest yields to what is set already."""
    environment = {
        **read_settings(),
        "AIRFLOW__CORE__FERNET_KEY": site.keys.fernet_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": site.keys.jwt_secret,
        "AIRFLOW__API__SECRET_KEY": site.keys.api_secret_key,
        **{name: value for name, value in inherited.items() if name not in _FOREIGN},
        USERS: with_admin(inherited.get(USERS, "")),
        **_of_this_machine(site),
        **_of_celery(site),
    }
    if site.demo:
        allowed = (inherited.get("MILLRACE_EGRESS_ALLOW", ""), _LOOPBACK_NETWORKS)
        environment["MILLRACE_EGRESS_ALLOW"] = ",".join(filter(None, allowed))
    return environment


def _of_celery(site: Site) -> dict[str, str]:
    if site.broker_url is None:
        return {}
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": site.broker_url,
        # The outcomes of tasks are in the database, as everything else that must not be lost.
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{site.database.for_airflow}",
    }


def _of_this_machine(site: Site) -> dict[str, str]:
    # `config/` is for `airflow_local_settings` and the like, which Airflow imports by their bare names.
    path = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {
        "PYTHONPATH": os.pathsep.join((str(PROJECT), str(PROJECT / "config"))),
        "PATH": os.pathsep.join(path),
        "MILLRACE_HOME": str(site.home.path),
        "MILLRACE_DATABASE_URL": site.database.url,
        "AIRFLOW_HOME": str(site.home.airflow),
        # The default is in the machine's temporary directory, where two systems would meet.
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(site.home.airflow / "bundles"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(site.home.passwords_file),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{site.url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": site.database.for_airflow,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": site.database.for_airflow_async,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(site.home.airflow / "logs"),
        "AIRFLOW__API__HOST": site.host,
        "AIRFLOW__API__PORT": str(site.port),
        "AIRFLOW__API__BASE_URL": site.url,
    }

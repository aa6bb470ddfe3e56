"""What has to be true of the database before the components start: it answers, and its tables are this version's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from include.errors import ConfigError, MillraceError
from include.local.components import airflow
from include.local.environment import Site
from include.local.files import write_private
from include.local.home import PROJECT, Home
from include.local.processes import Child, end, last_line
from include.store.db import connect
from include.store.migrate import adopt_airflow, migrate

_POLL_SECONDS = 0.1
_OLDEST_POSTGRES = 14


def check_server(database_url: str) -> None:
    """Raise if the database does not answer, or is of a version that lacks what our SQL needs."""
    with connect(database_url, via="migrate") as db:
        version_number = db.info.server_version // 10_000
    if version_number < _OLDEST_POSTGRES:
        raise ConfigError(f"PostgreSQL {_OLDEST_POSTGRES} or newer is needed, and DATABASE_URL is {version_number}")


def migrate_airflow(site: Site, environment: Mapping[str, str], give_up: Callable[[], None]) -> bool:
    """Bring Airflow's tables to the installed version; false if they were. `give_up` raises when it is time to stop."""
    if _airflow_is_current(site):
        return False
    log_file = site.home.log("migrate")
    child = Child(airflow("db", "migrate"), log_file=log_file, environment=environment, directory=PROJECT)
    try:
        while (code := child.exit_code()) is None:
            give_up()
            time.sleep(_POLL_SECONDS)
    finally:
        end([child.identity], grace_seconds=5)
    if code != 0:
        raise MillraceError(f"`airflow db migrate` failed: {last_line(log_file)} ({log_file})")
    write_private(_migrated_file(site.home), json.dumps(_airflow_state(site)))
    return True


def migrate_millrace(database_url: str) -> list[str]:
    """Bring our own tables, and what we add to Airflow's, to this version; return what was missing."""
    applied = migrate(database_url)
    adopt_airflow(database_url)
    return applied


def _airflow_is_current(site: Site) -> bool:
    """Airflow needs seconds to find that out by itself, so what it last made of this database is remembered."""
    file = _migrated_file(site.home)
    return file.exists() and json.loads(file.read_text()) == _airflow_state(site)


def _airflow_state(site: Site) -> dict[str, str | None]:
    with connect(site.database.url, via="migrate") as db:
        found = db.execute("select to_regclass('public.alembic_version') is not null as found").fetchone()
        row = (
            db.execute("select version_num from public.alembic_version").fetchone()
            if found and found["found"]
            else None
        )
    return {"airflow": version("apache-airflow-core"), "revision": str(row["version_num"]) if row else None}


def _migrated_file(home: Home) -> Path:
    return home.path / "migrated.json"

"""What has to be true of the database before the components start: it answers, and its tables are this version's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from psycopg import sql

from include.errors import ConfigError, MillraceError
from include.local.components import airflow
from include.local.environment import Site
from include.local.files import write_private
from include.local.home import PROJECT, Home
from include.local.processes import Child, end, last_line
from include.local.users import ADMIN, are_in_fab
from include.store.db import DictConnection, connect
from include.store.migrate import adopt_airflow, migrate

_POLL_SECONDS = 0.1
_OLDEST_POSTGRES = 14


def check_server(database_url: str) -> None:
    """Raise if the database does not answer, or not itself, or is of a version that lacks what our SQL needs."""
    with connect(database_url, via="migrate") as db:
        version_number = db.info.server_version // 10_000
        arrived = db.execute("select current_setting('millrace.via', true) as via").fetchone()
    if arrived != {"via": "migrate"}:
        raise ConfigError(
            "between here and PostgreSQL is a pooler, such as PgBouncer, that drops what connections ask for; give the "
            "address of PostgreSQL itself. Airflow's own connections may go through it: docs/deploy.md"
        )
    if version_number < _OLDEST_POSTGRES:
        raise ConfigError(f"PostgreSQL {_OLDEST_POSTGRES} or newer is needed, and DATABASE_URL is {version_number}")


def migrate_airflow(site: Site, environment: Mapping[str, str], give_up: Callable[[], None]) -> bool:
    """Bring Airflow's tables to the installed version; false if they were. `give_up` raises when it is time to stop."""
    if _airflow_is_current(site):
        return False
    _run(site, ("db", "migrate"), environment, give_up)
    write_private(_migrated_file(site.home), json.dumps(_airflow_state(site)))
    return True


def make_admin(site: Site, environment: Mapping[str, str], give_up: Callable[[], None]) -> bool:
    """Make the user as whom ./millrace logs in, where FAB has the users; one of this name that is there is left alone.

    The password is told, and not written among the arguments, which everybody on the machine can read.
    """
    if not are_in_fab(environment) or _has_fab_admin(site):
        return False
    named = ("--username", ADMIN, "--firstname", "Admin", "--lastname", "Admin", "--email", f"{ADMIN}@localhost")
    told = f"{site.keys.password}\n" * 2  # once more for confirmation
    _run(site, ("users", "create", "--role", "Admin", *named), environment, give_up, told)
    return True


def _run(
    site: Site,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    give_up: Callable[[], None],
    told: str | None = None,
) -> None:
    """Run a command of Airflow's to its end; `MillraceError` if it fails."""
    log_file = site.home.log("migrate")
    child = Child(airflow(*command), log_file=log_file, environment=environment, directory=PROJECT, told=told)
    try:
        while (code := child.exit_code()) is None:
            give_up()
            time.sleep(_POLL_SECONDS)
    finally:
        end([child.identity], grace_seconds=5)
    if code != 0:
        raise MillraceError(f"`airflow {' '.join(command[:2])}` failed: {last_line(log_file)} ({log_file})")


def _has_fab_admin(site: Site) -> bool:
    with connect(site.database.url, via="migrate") as db:
        return db.execute("select from public.ab_user where lower(username) = %s", (ADMIN,)).fetchone() is not None


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
    """What is installed, and what the database is at. FAB has tables of its own, whether or not it is in use."""
    with connect(site.database.url, via="migrate") as db:
        return {
            "airflow": version("apache-airflow-core"),
            "revision": _revision(db, "alembic_version"),
            "fab": version("apache-airflow-providers-fab"),
            "fab_revision": _revision(db, "alembic_version_fab"),
        }


def _revision(db: DictConnection, table: str) -> str | None:
    place = sql.Identifier("public", table)
    found = db.execute("select to_regclass(%s) is not null as found", (f"public.{table}",)).fetchone()
    if not found or not found["found"]:
        return None
    row = db.execute(sql.SQL("select version_num from {}").format(place)).fetchone()
    return str(row["version_num"]) if row else None


def _migrated_file(home: Home) -> Path:
    return home.path / "migrated.json"

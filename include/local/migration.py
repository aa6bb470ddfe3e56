"""Make a database ready where ./millrace does not run the system: in containers, say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from include.errors import ConfigError, MillraceError
from include.local.database import Database
from include.local.environment import Site, component_environment
from include.local.home import Home
from include.local.keys import Keys
from include.local.prepare import check_server, make_admin, migrate_airflow, migrate_millrace
from include.local.users import are_in_fab

_ANY_PORT = 8080  # nothing is started
Say = Callable[[str], None]


def make_ready(say: Say) -> None:
    """Bring the tables in `MILLRACE_DATABASE_URL`, Airflow's and ours, to this version; with FAB, make its admin.

    Doing it twice is harmless. What Airflow says goes to standard error if it fails.
    """
    home = Home.from_environment()
    home.make()
    site = Site(home, _database(), _keys(), _ANY_PORT, demo=False)
    check_server(site.database.url)
    environment = component_environment(site)
    try:
        if migrate_airflow(site, environment, _never):
            say("Airflow's tables are of this version")
        if make_admin(site, environment, _never):
            say("user admin was made")
    except MillraceError:
        if home.log("migrate").exists():
            sys.stderr.write(home.log("migrate").read_text("utf-8", errors="replace"))
        raise
    for name in migrate_millrace(site.database.url):
        say(f"migration {name} applied")
    say("the database is ready")


def _database() -> Database:
    url = os.environ.get("MILLRACE_DATABASE_URL")
    if not url:
        raise ConfigError("set MILLRACE_DATABASE_URL, as postgresql://user:password@host:5432/database")
    return Database.parse(url, "MILLRACE_DATABASE_URL")


def _keys() -> Keys:
    """The admin's password; the other keys are the environment's, where they are needed."""
    password = os.environ.get("MILLRACE_PASSWORD", "")
    if not password and are_in_fab(os.environ):
        raise ConfigError("set MILLRACE_PASSWORD: the password of the user admin, who is made if there is none")
    return Keys(password, fernet_key="", jwt_secret="", api_secret_key="")


def _never() -> None:
    """Nobody tells us to give up but by ending this process."""

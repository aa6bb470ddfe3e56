"""What it takes to pull from here as a triggerer would: the settings of the system in use, and its secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import urlsplit

from include.errors import ConfigError, MillraceError
from include.model import Connection

_LOOK_UP_SECONDS = 60


def system_environment() -> dict[str, str]:
    """What the components of the system in use run with: present settings count if they name its database, else those
    of the system that `./millrace up` runs."""
    if os.environ.get("MILLRACE_DATABASE_URL"):
        return dict(os.environ)
    from include.local.database import Database
    from include.local.environment import Site, component_environment
    from include.local.home import Home
    from include.local.keys import Keys
    from include.local.system import running

    home = Home.from_environment()
    run = running(home)
    if run is None:
        raise ConfigError("the system is not up; start it with `./millrace up`, or set MILLRACE_DATABASE_URL")
    port = urlsplit(run.url).port or 0
    return component_environment(Site(home, Database(run.database_url), Keys.of(home), port, run.demo))


def find_connection(conn_id: str, environment: dict[str, str]) -> Connection:
    """The connection that Airflow has under this name. Its secrets pass through a pipe and are nowhere else.

    `ConfigError` if it has none.
    """
    from include.local.home import PROJECT

    command = [sys.executable, "-m", "include.orchestration.connections", conn_id]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LOOK_UP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MillraceError(f"Airflow did not say within {_LOOK_UP_SECONDS} s what connection {conn_id!r} is") from None
    said, lines = done.stdout.splitlines(), done.stderr.splitlines()
    if done.returncode != 0 and lines and not any(line.startswith("Traceback") for line in lines):
        raise ConfigError(f"connection {conn_id!r} cannot be looked up: {lines[-1]}")
    try:
        return Connection(**json.loads(said[-1]))  # Airflow may have had something to say before it
    except (IndexError, ValueError, TypeError):
        # Not what Airflow says: it quotes connections that it cannot read.
        raise MillraceError(
            f"Airflow fails to read connection {conn_id!r}; `airflow connections get {conn_id}` may say why"
        ) from None

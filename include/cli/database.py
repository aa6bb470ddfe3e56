"""The database that a command works on, and the one place that knows where to look for it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from include.errors import ConfigError, RetryableError
from include.store.db import DictConnection, connect


def database_url() -> str:
    """`MILLRACE_DATABASE_URL`, or else the database of the system that `./millrace up` runs."""
    if os.environ.get("MILLRACE_DATABASE_URL"):
        from include.settings import settings

        return settings().database_url
    from include.local.home import Home
    from include.local.system import running

    run = running(Home.from_environment())
    if run is None:
        raise ConfigError("the system is not up; start it with `./millrace up`, or set MILLRACE_DATABASE_URL")
    return run.database_url


@contextmanager
def open_database() -> Iterator[DictConnection]:
    """A connection whose changes the audit writes down as made on the command line, by the user who is logged in."""
    try:
        with connect(database_url(), via="cli", actor=_user()) as db:
            yield db
    except psycopg.errors.UndefinedTable as error:
        raise ConfigError("the database has no tables of Millrace; `./millrace up` makes them") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigError(f"the database does not let its user do this: {error.diag.message_primary}") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise RetryableError(f"the database was lost: {' '.join(str(error).split())}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name, as in many containers
        return ""

"""Connections to Millrace's schema, and its statements by name.

Statements live in `sql/*.sql` under a header `-- name: verb_noun`, followed by a sentence that says what they do;
Python passes parameters and never builds SQL. Every connection looks names up in schema `millrace` first, and
speaks UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from include.errors import ConfigError, RetryableError

SCHEMA = "millrace"
_SQL = Path(__file__).parent / "sql"
_OPTIONS = f"-c search_path={SCHEMA},public -c TimeZone=UTC"

# To leave out where a few wanted rows are joined to millions: always by index, whatever statistics of a new day say.
NOT_BY_INDEX = ("hashjoin", "mergejoin", "seqscan")

DictConnection = psycopg.Connection[dict[str, object]]


@cache
def queries(file: str) -> dict[str, str]:
    """The statements of `sql/<file>.sql` by name."""
    found: dict[str, str] = {}
    for part in (_SQL / f"{file}.sql").read_text("utf-8").split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body.strip().rstrip(";")
    return found


def conninfo(
    database_url: str, *, via: str = "sql", actor: str = "", without: Iterable[str] = (), plan_once: bool = False
) -> str:
    """The URL with our search path; `via` and `actor` are what the audit writes for changes made here.

    `without`: ways of joining and scanning that the planner is not to take, such as `NOT_BY_INDEX`. `plan_once`:
    prepared statements are not planned anew for the values they are given. With a partition for each of 38 days, a
    claim takes PostgreSQL 20 ms to plan, and 2 ms by a plan that it has: docs/decisions/0023-idle.md
    """
    options = f"{_OPTIONS} -c millrace.via={via}" + (f" -c millrace.actor={_escaped(actor)}" if actor else "")
    options += "".join(f" -c enable_{way}=off" for way in without)
    options += " -c plan_cache_mode=force_generic_plan" if plan_once else ""
    try:
        return make_conninfo(database_url, options=options, application_name=f"millrace-{via}", connect_timeout=10)
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"MILLRACE_DATABASE_URL is not a PostgreSQL URL: {error}") from error


def connect(database_url: str, *, via: str = "sql", actor: str = "") -> DictConnection:
    """Open a connection in autocommit whose rows are dicts; `RetryableError` if the server cannot be reached."""
    try:
        return psycopg.connect(conninfo(database_url, via=via, actor=actor), autocommit=True, row_factory=dict_row)
    except psycopg.OperationalError as error:
        raise RetryableError(f"the database cannot be reached: {str(error).strip()}") from error


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")

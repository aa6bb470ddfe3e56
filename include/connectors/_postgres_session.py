"""A session with somebody else's PostgreSQL: it goes where HTTP calls may go, reads only, and takes only so long."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from include.deadline import within
from include.egress import permitted_addresses
from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from include.model import Connection
from include.settings import settings

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
# What of a connection's extra libpq gets to see. The rest is Airflow's, or would lead it elsewhere.
_EXTRA = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "target_session_attrs")
_NO_FILE = os.path.join(os.devnull, "none")
_GRACE_SECONDS = 5.0  # the server is to end a statement that takes too long; where it does not, we do

# For the length of a transaction, as poolers want it: values read the same whatever the server's own settings are.
_SETTINGS = """
select set_config('statement_timeout', %(timeout_ms)s, true), set_config('TimeZone', 'UTC', true),
       set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'iso_8601', true),
       set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '3', true)
"""


class Session:
    """Reads from one database; every method raises `RetryableError` or `PermanentError` that says what is wrong."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], named: Connection, timeout_seconds: float) -> None:
        self._connection = connection
        self._named = named
        self._timeout_seconds = timeout_seconds

    async def read(
        self, statement: sql.Composed | sql.SQL, parameters: Mapping[str, Any]
    ) -> tuple[Sequence[psycopg.Column], list[tuple[Any, ...]]]:
        """The columns and rows of one statement, run in a read-only transaction of its own.

        `parameters` are never empty: with them, the server takes one statement and not several.
        """
        try:
            return await within(self._timeout_seconds + _GRACE_SECONDS, self._read(statement, parameters))
        except (psycopg.Error, asyncio.TimeoutError, UnicodeDecodeError) as error:
            raise _explained(error, self._named, self._timeout_seconds) from None

    async def _read(
        self, statement: sql.Composed | sql.SQL, parameters: Mapping[str, Any]
    ) -> tuple[Sequence[psycopg.Column], list[tuple[Any, ...]]]:
        timeout_ms = max(math.ceil(self._timeout_seconds * 1000), 1)
        await self._connection.execute(_SETTINGS, {"timeout_ms": str(timeout_ms)})
        cursor = await self._connection.execute(statement, parameters)
        rows = await cursor.fetchall()
        await self._connection.rollback()
        return cursor.description or (), rows


@asynccontextmanager
async def session(named: Connection, timeout_seconds: float) -> AsyncIterator[Session]:
    """A session with the database that a connection names as its schema; closed in the end, whatever happens.

    `ConfigError` if the connection names none, `PermanentError` if calls may not go there.
    """
    try:
        connection = await within(timeout_seconds + _GRACE_SECONDS, _connect(named, timeout_seconds))
    except (psycopg.Error, asyncio.TimeoutError) as error:
        raise _explained(error, named, timeout_seconds) from None
    try:
        await connection.set_read_only(True)
        yield Session(connection, named, timeout_seconds)
    finally:
        await connection.close()


async def _connect(named: Connection, timeout_seconds: float) -> psycopg.AsyncConnection[Any]:
    host = (named.host or "").strip()
    if not _HOST.fullmatch(host):
        raise ConfigError(f"connection {named.id!r}: write a host's name or address as its host")
    if not named.login:
        raise ConfigError(f"connection {named.id!r} has no login")
    addresses = await _addresses(host, named.port or 5432)
    extra = {name: named.extra[name] for name in _EXTRA if isinstance(named.extra.get(name), str)}
    return await psycopg.AsyncConnection.connect(
        # Once for each address: by these we connect, so nobody looks the name up again and gets another answer.
        host=",".join([host] * len(addresses)),
        hostaddr=",".join(addresses),
        port=named.port or 5432,
        dbname=named.schema or named.login,
        user=named.login,
        password=named.password or "",
        passfile=_NO_FILE,  # nor does a password of our own machine go there
        client_encoding="utf8",
        application_name="millrace",
        connect_timeout=math.ceil(timeout_seconds),
        prepare_threshold=None,
        **extra,
    )


async def _addresses(host: str, port: int) -> list[str]:
    """The addresses of a host that calls may go to."""
    allowed, hosts = settings().egress_allow, settings().egress_hosts
    return await asyncio.to_thread(permitted_addresses, host, port, allowed, hosts)


def _explained(error: Exception, named: Connection, timeout_seconds: float) -> AttemptError:
    """The error that says what to do, with the server's own words, but without login and password."""
    limit = f"it took more than {timeout_seconds:g} s, the connector's timeout"
    if isinstance(error, asyncio.TimeoutError):
        return RetryableError(f"{named.host}: {limit}")
    if isinstance(error, UnicodeDecodeError):
        return PermanentError(f"{named.host}: a text in it is not valid UTF-8")
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    # libpq's own messages begin with address and port: `connection to server at "...", port 5432 failed: ...`
    said = said or (str(error).partition("\n")[0].rpartition(" failed: ")[2].strip() or type(error).__name__)
    said = said.removeprefix("FATAL:").strip().replace(f'"{named.login}"', '"***"')
    if isinstance(error, psycopg.errors.QueryCanceled):
        return RetryableError(f"{named.host}: {said}: {limit}")
    if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return RetryableError(f"{named.host}: {said}")
    return PermanentError(f"{named.host}: {said}")

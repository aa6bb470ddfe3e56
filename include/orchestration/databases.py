"""The way from a worker to the database of an Airflow connection: by the hook of its type, to a checked address."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from importlib import import_module
from typing import Any

from include.egress import permitted_addresses
from include.errors import ConfigError
from include.model import Connection
from include.settings import settings

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
_NO_FILE = os.path.join(os.devnull, "none")
_CONNECT_SECONDS = 10

# What libpq gets to see of an extra. The rest would lead it elsewhere: `hostaddr`, `service`, `passfile` and the like.
_TAKEN = frozenset(
    {
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "channel_binding", "require_auth"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
        *("target_session_attrs", "options", "application_name"),
    }
)
# Of no consequence here, where rows are tuples and SQLAlchemy is not asked.
_LEFT_OUT = frozenset({"cursor", "sqlalchemy_scheme", "sqlalchemy_query"})


def open_database(connection: Connection) -> Any:
    """Connect, and return what PEP 249 calls a connection, which does not commit by itself. It blocks.

    The host is looked up once, here. To PostgreSQL we connect by `hostaddr`, and a certificate is verified for the
    host's name. Other types get the address in place of the name, so that a certificate, if their driver verifies it
    for a name, must hold the address; and nothing of their extra, which may mean anything.

    `ConfigError` if the connection is no database that has a host and a hook here, or if its extra holds what is not
    taken; `PermanentError` if calls may not go there; `RetryableError` if the host's name cannot be resolved; and
    whatever the driver raises.
    """
    if connection.type == "sqlite":
        raise ConfigError(f"connection {connection.id!r}: sqlite is a file of the worker, to which rows get no access")
    host = (connection.host or "").strip()
    if not _HOST.fullmatch(host):
        raise ConfigError(f"connection {connection.id!r}: write a host's name or address as its host")
    extra = _checked_extra(connection)
    if connection.type == "postgres":
        if not connection.login:
            raise ConfigError(f"connection {connection.id!r} has no login")
        checked = _to_postgres(connection, host, extra)
    else:
        checked = replace(connection, host=_addresses(host, connection.port or 0)[0], extra={})
    return _connect(checked)


def _to_postgres(connection: Connection, host: str, extra: dict[str, Any]) -> Connection:
    port = connection.port or 5432
    addresses = _addresses(host, port)
    return replace(
        connection,
        host=",".join([host] * len(addresses)),  # once for each address, as libpq wants it
        port=port,
        schema=connection.schema or connection.login,
        password=connection.password or "",  # or libpq would look for one in the environment of the worker
        extra={
            "application_name": "millrace",
            **extra,
            "hostaddr": ",".join(addresses),
            "passfile": _NO_FILE,
            "client_encoding": "utf8",
            "connect_timeout": _CONNECT_SECONDS,
        },
    )


def _addresses(host: str, port: int) -> list[str]:
    return permitted_addresses(host, port, settings().egress_allow, settings().egress_hosts)


def _checked_extra(connection: Connection) -> dict[str, Any]:
    """What of the extra goes to the driver. Silence about the rest would turn off, say, TLS without a word."""
    given = {
        name: value
        for name, value in connection.extra.items()
        if value is not None and value is not False and value != ""
    }
    taken = _TAKEN if connection.type == "postgres" else frozenset[str]()
    for name, value in given.items():
        if name not in taken | _LEFT_OUT:
            raise ConfigError(f"connection {connection.id!r}: kind 'sql' takes no {name} from its extra: leave it out")
        if name in taken and not isinstance(value, (str, int)):
            raise ConfigError(f"connection {connection.id!r}: write {name} in its extra as a text or a number")
    return {name: value for name, value in given.items() if name in taken}


def _connect(checked: Connection) -> Any:
    """By the hook of the connection's type; wherever that looks the connection up, it finds the checked one."""
    # Here and not above: most shifts on a worker need no database.
    from airflow import sdk

    hook_class, name = _hook_class(checked)
    found = sdk.Connection(
        conn_id=checked.id,
        conn_type=checked.type,
        host=checked.host,
        port=checked.port,
        schema=checked.schema,
        login=checked.login,
        password=checked.password,
        extra=json.dumps(checked.extra),
    )
    guarded = type(hook_class.__name__, (hook_class,), {"get_connection": classmethod(lambda cls, conn_id: found)})
    hook = guarded(**{name: checked.id})
    made = hook.get_conn()
    if hook.supports_autocommit:
        hook.set_autocommit(made, False)
    return made


def _hook_class(connection: Connection) -> tuple[Any, str]:
    """The hook of the connection's type, and what its argument for the connection's name is called."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    known = ProvidersManagerTaskRuntime().hooks.get(connection.type)
    if known is None:
        raise ConfigError(f"connection {connection.id!r}: no provider for type {connection.type} is installed here")
    module, _, name = known.hook_class_name.rpartition(".")
    hook_class = getattr(import_module(module), name)
    if not issubclass(hook_class, DbApiHook):
        raise ConfigError(f"connection {connection.id!r}: type {connection.type} is no SQL database")
    return hook_class, known.connection_id_attribute_name

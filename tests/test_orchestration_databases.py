"""The way to a connection's database leads through the guard, by the installed hook, and nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.airflow_system import OF_AIRFLOW
from tests.sql_database import DUE, Target, target

# isort: split
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers_manager import HookInfo
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from include import settings as our_settings
from include.egress import Egress
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Connection
from include.orchestration.databases import open_database
from include.registry import action

__all__ = ["target"]
pytestmark = [*OF_AIRFLOW, pytest.mark.e2e]


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set what calls may reach."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")

    def allowing(networks: str) -> None:
        monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", networks)
        our_settings.settings.cache_clear()

    allowing("127.0.0.0/8")
    yield allowing
    our_settings.settings.cache_clear()


@pytest.fixture
def named_elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name that leads to this machine when Python looks it up, and nowhere when libpq does."""
    look_up = socket.getaddrinfo

    def answer(host: Any, *rest: Any, **more: Any) -> Any:
        return look_up("127.0.0.1" if host == "db.example.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return "db.example.test"


def test_the_action_works_by_the_installed_hook(target: Target, allow: Callable[[str], None]) -> None:
    """Kind `sql` runs with the connection that Airflow's hook makes: one transaction, in psycopg 3."""
    kind = action("sql")
    sql = "create table item (id int); insert into item values (%(id)s), (2); select '{\"a\": 1}'::jsonb"
    config: Any = kind.parse({"conn_id": "shop", "sql": sql, "parameters": {"id": 1}})
    call = Call(config, "job_1_0", DUE, 1, 30.0, Egress(), connection=target.connection, open_database=open_database)
    output: Any = kind.act(call)
    assert output.line == "3 statements, 2 rows changed, 1 row read"
    assert output.data["statements"][2]["rows"] == [[{"a": 1}]]
    assert target.rows("select id from item") == [(1,), (2,)]
    bad: Any = kind.parse({"conn_id": "shop", "sql": "insert into item values (3); select 1 / 0"})
    with pytest.raises(PermanentError, match="statement 2 of 2: division by zero"):
        kind.act(replace(call, config=bad))
    config = kind.parse({"conn_id": "shop", "sql": "insert into item values (4)", "read_only": True})
    with pytest.raises(PermanentError, match="read-only transaction"):
        kind.act(replace(call, config=config))
    config = kind.parse({"conn_id": "shop", "sql": "select pg_sleep(60)"})
    with pytest.raises(RetryableError, match=r"canceling statement|no time is left"):
        kind.act(replace(call, config=config, timeout_seconds=0.3))
    assert target.rows("select count(*) from item") == [(2,)]


def test_the_address_that_was_checked_is_connected_to(
    target: Target, allow: Callable[[str], None], named_elsewhere: str
) -> None:
    """The name is looked up once; the driver gets the address, and the name to verify a certificate for."""
    connection = replace(
        target.connection, host=named_elsewhere, extra={"application_name": "shop", "cursor": "dictcursor"}
    )
    with closing(open_database(connection)) as made:
        assert isinstance(made, psycopg.Connection)
        assert not made.autocommit
        assert (made.info.host, made.info.hostaddr) == (named_elsewhere, "127.0.0.1")
        assert made.execute("show application_name").fetchone() == ("shop",)
        assert made.execute("show client_encoding").fetchone() == ("UTF8",)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "db.example.test", "::1"])
def test_a_host_that_is_not_allowed_is_refused(
    target: Target, allow: Callable[[str], None], named_elsewhere: str, host: str
) -> None:
    """Without an allowed network, this machine is out of reach, however it is spelled and named."""
    allow("")
    with pytest.raises(PermanentError, match=r"refused: .* is loopback|write the host's address"):
        open_database(replace(target.connection, host=host))


def test_only_the_hosts_of_the_setting_are_gone_to(
    target: Target, allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the operator names the hosts that calls may go to, databases are no exception."""
    monkeypatch.setenv("MILLRACE_EGRESS_HOSTS", "*.example.com")
    allow("127.0.0.0/8")
    with pytest.raises(PermanentError, match=r"127\.0\.0\.1: refused"):
        open_database(target.connection)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        " ",
        "/run/postgresql",
        "@abstract",
        "127.0.0.1,10.0.0.1",
        "127.0.0.1 hostaddr=10.0.0.1",
        "http://a.test/",
    ],
)
def test_a_host_is_one_name_or_address(target: Target, allow: Callable[[str], None], host: str | None) -> None:
    """Sockets, lists and everything else that a driver might take for a host are errors of the connection."""
    with pytest.raises(ConfigError, match="connection 'shop': write a host's name or address as its host"):
        open_database(replace(target.connection, host=host))


@pytest.mark.parametrize(
    "name",
    [
        *("hostaddr", "host", "port", "service", "servicefile", "passfile", "dbname", "user", "load_balance_hosts"),
        *("iam", "redshift", "aws_conn_id", "azure_conn_id", "gssencmode", "krbsrvname", "sslsni", "row_factory"),
    ],
)
def test_an_extra_that_could_lead_elsewhere_is_refused(target: Target, allow: Callable[[str], None], name: str) -> None:
    """What is not known to be harmless is not taken, and not left out in silence; what is empty is not there."""
    with pytest.raises(ConfigError, match=f"takes no {name} from its extra: leave it out"):
        open_database(replace(target.connection, extra={name: "10.0.0.1"}))
    open_database(replace(target.connection, extra={name: None})).close()
    with pytest.raises(ConfigError, match="write sslmode in its extra as a text"):
        open_database(replace(target.connection, extra={"sslmode": {"a": 1}}))


def test_a_database_name_is_a_name(
    target: Target, allow: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither it nor the environment of the worker leads elsewhere."""
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGPORT", "1")
    open_database(target.connection).close()
    with pytest.raises(psycopg.OperationalError, match=r'database "hostaddr=192\.0\.2\.1" does not exist'):
        open_database(replace(target.connection, schema="hostaddr=192.0.2.1"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "sqlite", "host": "data.db"}, "sqlite is a file of the worker"),
        ({"type": "http"}, "type http is no SQL database"),
        ({"type": "dbase"}, "no provider for type dbase is installed"),
        ({"type": None}, "no provider for type None is installed"),
        ({"login": None}, "has no login"),
    ],
)
def test_what_is_no_database_that_can_be_reached_is_refused(
    target: Target, allow: Callable[[str], None], changes: dict[str, Any], says: str
) -> None:
    """The error says what is wrong with the connection."""
    with pytest.raises(ConfigError, match=says):
        open_database(replace(target.connection, **changes))


class OtherHook(DbApiHook):
    """Another provider's hook, of those that look their connection up by its name; its driver notes where it goes."""

    conn_name_attr = "other_conn_id"
    supports_autocommit = True

    def get_conn(self) -> Any:
        made = type("Made", (), {"autocommit": True})()
        made.found = self.get_connection(self.get_conn_id())
        return made


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection of that provider's type."""
    info = HookInfo(f"{__name__}.OtherHook", "other_conn_id", "other", "Other", "other", False)
    monkeypatch.setitem(ProvidersManagerTaskRuntime().hooks, "other", info)
    return Connection("shop", "other", "db.example.test", None, "orders", "ann", "pw-of-ann")


def test_other_types_get_the_address(allow: Callable[[str], None], named_elsewhere: str, other: Connection) -> None:
    """The hook finds the connection with the address as its host, and does not commit by itself."""
    made = open_database(other)
    assert made.autocommit is False
    found = made.found
    assert (found.conn_type, found.host, found.port, found.schema) == ("other", "127.0.0.1", None, "orders")
    assert (found.login, found.password, found.extra_dejson) == ("ann", "pw-of-ann", {})
    allow("")
    with pytest.raises(PermanentError, match=r"db\.example\.test: refused: 127\.0\.0\.1 is loopback"):
        open_database(other)


def test_other_types_get_no_extra(allow: Callable[[str], None], named_elsewhere: str, other: Connection) -> None:
    """An extra of a type that we do not know may mean anything."""
    with pytest.raises(ConfigError, match="takes no unix_socket from its extra"):
        open_database(replace(other, extra={"unix_socket": "/run/mysqld.sock"}))

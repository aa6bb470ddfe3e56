"""A statement that must not, cannot, or takes too long: what the server does about it, and what the row is told."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import psycopg
import pytest

from include.egress import Egress
from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from include.model import Call, Connection
from include.registry import action
from tests.sql_database import DUE, Target, by_psycopg, target

__all__ = ["target"]

READ_ONLY = "a read-only transaction|must be set before any query"
# The second where this machine is so busy that the time is up before the statement begins.
TOO_LONG = r"canceling statement due to .* an attempt may take 0\.3 s|no time is left of 0\.3 s"


@pytest.mark.parametrize(
    "sql",
    [
        "insert into item values (2)",
        "create table more ()",
        "with x as (insert into item values (2) returning id) select * from x",
        "select grow()",
        "set transaction read write; insert into item values (2)",
        "set local transaction_read_only = off; insert into item values (2)",
        "set session characteristics as transaction read write; insert into item values (2)",
        "select set_config('transaction_read_only', 'off', false); insert into item values (2)",
        "savepoint s; set transaction read write; insert into item values (2)",
    ],
)
def test_read_only_is_kept_by_the_server(target: Target, sql: str) -> None:
    """Whatever the statements say, nothing is changed, and the error says why."""
    target.sql("create table item (id int); insert into item values (1)")
    target.sql("create function grow() returns int language sql as 'insert into item values (2) returning id'")
    with pytest.raises(PermanentError, match=READ_ONLY):
        target.act(sql, read_only=True)
    assert target.rows("select id from item") == [(1,)]


def test_read_only_reads(target: Target) -> None:
    """What only reads goes through."""
    assert target.act("select 1; show transaction_read_only", read_only=True).data["statements"][1]["rows"] == [["on"]]


def test_read_only_that_cannot_be_kept_is_refused(target: Target) -> None:
    """A database of which we do not know how it is told is not trusted to be read only."""
    with pytest.raises(ConfigError, match="read_only works with connections of type postgres, and 'shop' is mysql"):
        target.using(type="mysql").act("select 1", read_only=True)


def running(target: Target, marked: str) -> list[tuple[Any, ...]]:
    return target.rows(
        f"select state from pg_stat_activity where query like '%{marked}%' and pid <> pg_backend_pid()"
        " and state <> 'idle'"
    )


def failure(target: Target, sql: Any, **payload: Any) -> AttemptError:
    with pytest.raises(AttemptError) as caught:
        target.act(sql, **payload)
    return caught.value


@pytest.mark.parametrize(
    "sql",
    [
        "select 'marked', pg_sleep(60)",
        "insert into item values (1); select 'marked', pg_sleep(60)",
        "set local statement_timeout = 0; select 'marked', pg_sleep(60)",  # from here it is ended from outside
        "do $$ begin perform 'marked', pg_sleep(60); end $$",
    ],
)
def test_what_takes_too_long_is_ended_in_the_server(target: Target, sql: str) -> None:
    """When the attempt ends, so has the statement; nothing is committed, and it is tried again."""
    target.sql("create table item (id int)")
    error = failure(target.using(timeout_seconds=0.3), sql)
    assert isinstance(error, RetryableError)
    assert re.search(TOO_LONG, str(error))
    assert running(target, "marked") == []
    assert target.rows("select count(*) from item") == [(0,)]


def test_many_short_statements_are_too_long_together(target: Target) -> None:
    """The time is that of the attempt: the one statement that no time is left for is not run, and none is committed."""
    target.sql("create table item (id int)")
    error = failure(target.using(timeout_seconds=0.3), ["insert into item values (1)", "select pg_sleep(0.1)"] * 9)
    assert isinstance(error, RetryableError)
    assert target.rows("select count(*) from item") == [(0,)]


def test_a_commit_that_takes_too_long_is_ended_too(target: Target) -> None:
    """What the server does at COMMIT is within the time as well."""
    target.sql("create table item (id int)")
    target.sql("create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(60); end'")
    target.sql(
        "create constraint trigger t after insert on item deferrable initially deferred"
        " for each row execute function slow()"
    )
    error = failure(target.using(timeout_seconds=0.3), "insert into item values (1)")
    assert isinstance(error, RetryableError)
    assert re.search(TOO_LONG, str(error))


def test_a_wait_for_a_lock_is_no_exception(target: Target) -> None:
    """Waiting for somebody else's lock ends with the attempt's time, or with the row's own `lock_timeout`."""
    target.sql("create table item (id int)")
    with by_psycopg(target.connection) as other:
        other.execute("lock table item")
        for sql in ("select * from item", "set local lock_timeout = '10ms'; select * from item"):
            assert isinstance(failure(target.using(timeout_seconds=0.3), sql), RetryableError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40001", RetryableError),
        ("40P01", RetryableError),
        ("53300", RetryableError),
        ("55P03", RetryableError),
        ("57P01", RetryableError),
        ("40002", PermanentError),
        ("22012", PermanentError),
        ("23505", PermanentError),
        ("25006", PermanentError),
        ("42P01", PermanentError),
        ("P0001", PermanentError),
    ],
)
def test_the_code_of_an_error_decides(target: Target, code: str, kind: type[AttemptError]) -> None:
    """What may go away is tried again, and what will not is given up; none has a code, so its outcome is unknown."""
    error = failure(target, f"select 1; do $$ begin raise exception 'so be it' using errcode = '{code}'; end $$")
    assert type(error) is kind
    assert str(error) == f"127.0.0.1: statement 2 of 2: so be it (SQLSTATE {code})"
    assert error.code is None


def test_a_deadlock_is_tried_again(target: Target) -> None:
    """Two rows that want each other's locks: one of them is told to come again."""
    target.sql("create table item (id int primary key, n int); insert into item values (1, 0), (2, 0)")
    both = "(select count(*) = 2 from pg_locks where locktype = 'advisory' and objid in (1, 2))"
    meet = f"do $$ begin while not {both} loop perform pg_sleep(0.01); end loop; end $$"
    errors: list[AttemptError] = []

    def lock(first: int, second: int) -> None:
        one = "update item set n = 1 where id = {}"
        try:
            target.act([one.format(first), f"select pg_advisory_xact_lock({first})", meet, one.format(second)])
        except AttemptError as error:
            errors.append(error)

    threads = [threading.Thread(target=lock, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [error] = errors
    assert isinstance(error, RetryableError)
    assert "deadlock detected (SQLSTATE 40P01)" in str(error)


def kill(target: Target, marked: str) -> None:
    """End the server's side of a connection as soon as it runs something."""
    while not target.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        f" where query like '%{marked}%' and pid <> pg_backend_pid() and state = 'active'"
    ):
        time.sleep(0.01)


@pytest.mark.parametrize("at_commit", [False, True])
def test_a_connection_that_breaks_is_tried_again(target: Target, at_commit: bool) -> None:
    """Whether it breaks in a statement or at COMMIT, where the outcome is unknown: a `RetryableError` without code."""
    target.sql("create table item (id int)")
    target.sql("create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(60); end'")
    target.sql(
        "create constraint trigger t after insert on item deferrable initially deferred"
        " for each row execute function slow()"
    )
    sql = "insert into item values (1)" if at_commit else "select 'marked', pg_sleep(60)"
    killer = threading.Thread(target=kill, args=(target.using(), "COMMIT" if at_commit else "marked"))
    killer.start()
    error = failure(target, sql)
    killer.join()
    assert type(error) is RetryableError
    assert error.code is None
    assert ("COMMIT" if at_commit else "statement 1 of 1") in str(error)


def test_a_server_that_is_not_there_is_tried_again(target: Target) -> None:
    """A refused connection may be accepted later."""
    error = failure(target.using(port=1), "select 1")
    assert type(error) is RetryableError
    assert str(error).lower() == "127.0.0.1: connecting: connection refused"


def test_secrets_are_not_told(target: Target) -> None:
    """Neither the login nor the password is in an error, whatever the server says."""
    target.sql("drop role if exists guest; create role guest login password 'pw-of-guest'")
    target.sql("create table item (id int)")
    guest = target.using(login="guest", password="pw-of-guest")
    error = failure(guest, "do $$ begin raise exception 'by \"guest\" with pw-of-guest'; end $$")
    assert str(error) == '127.0.0.1: statement 1 of 1: by "***" with *** (SQLSTATE P0001)'
    assert isinstance(failure(guest, "select * from item"), PermanentError)
    for stranger in (guest.using(password="wrong-pw"), target.using(login="nobody")):
        error = failure(stranger, "select 1")
        assert not any(secret in str(error) for secret in ("wrong-pw", "guest", "nobody"))


def test_the_connection_is_closed(target: Target) -> None:
    """Nothing is left behind in the server, after success or failure."""
    target.act("select 1")
    failure(target, "select 1 / 0")
    failure(target, "copy (select 1) to stdout")
    failure(target, "create temp table x (a int); copy x from stdin")
    ended = time.monotonic() + 10
    mine = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    while target.rows(f"{mine} and backend_type = 'client backend'"):
        assert time.monotonic() < ended
        time.sleep(0.01)


def test_without_airflow_there_is_no_database() -> None:
    """Where connections cannot be looked up, the error says what is missing."""
    kind = action("sql")
    config: Any = kind.parse({"conn_id": "shop", "sql": "select 1"})
    for named in (None, Connection("shop", "postgres")):
        with pytest.raises(ConfigError, match="needs Airflow"):
            kind.act(Call(config, "job_1_0", DUE, 1, 30.0, Egress(), connection=named))


def test_a_driver_that_raises_is_explained(target: Target) -> None:
    """An error that no database has sent is for good, but for those of the operating system."""
    kind = action("sql")
    config: Any = kind.parse({"conn_id": "shop", "sql": "select 1"})
    for raised, expected in ((TypeError("no"), PermanentError), (ConnectionResetError("gone"), RetryableError)):

        def fail(named: Connection, raised: Exception = raised) -> psycopg.Connection[Any]:
            raise raised

        call = Call(config, "job_1_0", DUE, 1, 30.0, Egress(), connection=target.connection, open_database=fail)
        with pytest.raises(expected, match=f"127.0.0.1: connecting: {raised}"):
            kind.act(call)

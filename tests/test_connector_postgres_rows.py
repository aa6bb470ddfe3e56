"""What rows of another database become, and what a connector to it may not do."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from include.errors import AttemptError, ConfigError, PermanentError, RetryableError
from include.settings import settings
from tests.postgres_source import Other, keys, other, payloads

__all__ = ["other"]


async def value(other: Other, expression: str) -> Any:
    """What an SQL expression becomes in a payload, after a trip through JSON."""
    [row] = payloads(await other.pull(query=f"select 1 as id, {expression} as v"))
    return json.loads(json.dumps(row, allow_nan=False))["v"]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("null::int", None),
        ("true", True),
        ("9223372036854775807", 9223372036854775807),
        ("12345678901234567890123456789012345::numeric", 12345678901234567890123456789012345),
        ("12.50::numeric", 12.5),
        ("0.1234567890123456789::numeric", "0.1234567890123456789"),
        ("123456789012345678.5::numeric", "123456789012345678.5"),
        ("'NaN'::numeric", "NaN"),
        ("0.1::float8", 0.1),
        ("0.1::float4", 0.1),
        ("1e300::float8", 1e300),
        ("'infinity'::float8", "Infinity"),
        ("'2026-03-01 10:00:00.123456+02'::timestamptz", "2026-03-01T08:00:00.123456+00:00"),
        ("'2026-03-01 10:00:00'::timestamp", "2026-03-01T10:00:00"),
        ("'2026-03-01'::date", "2026-03-01"),
        ("'1 day 2 hours'::interval", "P1DT2H"),
        ("'0af7651916cd43dd8448eb211c80319c'::uuid", "0af76519-16cd-43dd-8448-eb211c80319c"),
        ("'\\x00ff'::bytea", "\\x00ff"),
        ("array[1, null, 3]", [1, None, 3]),
        ('\'{"a": [1.5, "ü"]}\'::jsonb', {"a": [1.5, "ü"]}),
        ('\'{"a": 1e400, "b": 1e-99999999999999999999}\'::json', {"a": "1e400", "b": "1e-99999999999999999999"}),
        ("repeat('9', 5000)::json", "9" * 5000),
        ("'100 % of %s'", "100 % of %s"),
        ("row(1, 'x')", {"f1": 1, "f2": "x"}),
    ],
)
async def test_every_type_has_its_place_in_json(other: Other, expression: str, expected: Any) -> None:
    """A value keeps every digit, and times are in UTC, whatever the server is set to."""
    other.sql("alter database elsewhere set timezone = 'Asia/Tokyo'")
    other.sql("alter database elsewhere set datestyle = 'German'")
    assert await value(other, expression) == expected


async def test_a_row_with_columns_of_any_name_is_read(other: Other) -> None:
    """Names that mean something to SQL or to the connector are names."""
    names = ["q", "p", "id", "o0", "place", "payload", 'a"b', "50%", "%s", "select", "ä ö"]
    columns = ", ".join(f'{n} as "{name.replace(chr(34), chr(34) * 2)}"' for n, name in enumerate(names))
    for name in names:
        query = f"select {columns}"
        [page] = await other.pull(query=query, primary_key=["id", "q"], cursor_column=name)
        assert page.records[0].payload == {name: n for n, name in enumerate(names)}


async def test_a_table_may_be_in_a_schema(other: Other) -> None:
    """Names are taken as they are, with capitals and quotes."""
    other.sql('create schema "Sch"; create table "Sch"."T""1" (id int); insert into "Sch"."T""1" values (7)')
    assert keys(await other.pull(table='Sch.T"1')) == ["7"]


@pytest.mark.parametrize(
    "query",
    ["with x as (select 3 as id) select * from x", "(select 3 as id)", "select 3 as id -- the end", "table item"],
)
async def test_a_query_may_be_any_select(other: Other, query: str) -> None:
    """A query with a `with`, in parentheses, or with a comment at its end is read."""
    other.sql("create table item (id int); insert into item values (3)")
    assert keys(await other.pull(query=query)) == ["3"]


@pytest.mark.parametrize(
    "config",
    [
        {"query": "insert into item values (2) returning id"},
        {"query": "with x as (insert into item values (2) returning id) select * from x"},
        {"query": "select grow() as id"},
        {"query": "select 1 as id) as q; insert into item values (2); --"},
        {"query": "select 1 as id) as q limit %(most)s; commit; insert into item values (2); select * from (select 1"},
        {"query": "select 1 as id, set_config('transaction_read_only', 'off', false), grow() from item"},
        {"table": "item; drop table item"},
        {"table": 'item"; drop table item; --'},
        {"table": "item", "primary_key": 'id"; drop table item; --'},
        {"table": "item", "cursor_column": 'id" = 1; drop table item; --'},
        {"table": "item", "cursor_column": "id", "initial_value": "1'; drop table item; --"},
    ],
)
async def test_nothing_can_be_written(other: Other, config: dict[str, Any]) -> None:
    """Whatever is written in a configuration, the other database stays as it is."""
    other.sql("create table item (id int); insert into item values (1)")
    other.sql("create function grow() returns int language sql as 'insert into item values (2) returning id'")
    with pytest.raises(PermanentError):
        await other.pull(**config)
    assert other.db.execute("select array_agg(id) from item").fetchone() == ([1],)


async def test_a_session_stays_read_only(other: Other) -> None:
    """A query cannot prepare a write by the next page."""
    other.sql("create table item (id int); create table ready ()")
    other.sql("create function grow() returns int language plpgsql as 'begin insert into item values (2); end'")
    loosen = "set_config('default_transaction_read_only', 'off', false)"
    grow = "case when exists (select from ready) then grow() end"
    query = f"select id, {loosen} as a, {grow} as b from generate_series(1, 9) as id"
    with pytest.raises(PermanentError, match="cannot execute INSERT in a read-only transaction"):
        await other.pull(query=query, page_size=1, between=lambda: other.sql("insert into ready default values"))
    assert keys(other.pages) == ["1"]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"query": "select nonsense"}, 'column "nonsense" does not exist'),
        ({"query": "selec 1"}, "syntax error"),
        ({"table": "absent"}, 'relation "absent" does not exist'),
        ({"table": "item", "primary_key": "no"}, "there is no column no; there are: id, at"),
        ({"query": "select 1 as id, 2 as id"}, "two columns id"),
        ({"query": "select 1 / 0 as id"}, "division by zero"),
        ({"table": "item", "cursor_column": "at", "initial_value": "soon"}, "invalid input syntax"),
    ],
)
async def test_a_mistake_in_the_query_is_explained(other: Other, config: dict[str, Any], says: str) -> None:
    """The error says what PostgreSQL says."""
    other.sql("create table item (id int, at int)")
    with pytest.raises(PermanentError, match=says):
        await other.pull(**config)


async def test_what_the_login_may_not_read_is_refused(other: Other) -> None:
    """The rights are those of the connection."""
    other.sql("create table item (id int); drop role if exists guest; create role guest login password 'guest-pw'")
    other.sql("grant usage on schema public to guest")
    with pytest.raises(PermanentError, match="permission denied for table item"):
        await other.using(login="guest", password="guest-pw").pull(table="item")


async def test_a_query_that_takes_too_long_is_ended(other: Other) -> None:
    """The server ends it after the connector's time-out; it may be faster the next time."""
    other.timeout_seconds = 0.2
    with pytest.raises(RetryableError, match=r"took more than 0\.2 s"):
        await other.pull(query="select 1 as id, pg_sleep(60)")


async def test_a_pull_can_be_cancelled(other: Other) -> None:
    """A cancelled pull leaves no session behind."""
    sessions = "select state from pg_stat_activity where application_name = 'millrace' and datname = 'elsewhere'"
    task = asyncio.ensure_future(other.pull(query="select 1 as id, pg_sleep(60)"))
    while ("active",) not in other.db.execute(sessions).fetchall():
        assert not task.done()
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while other.db.execute(sessions).fetchall():
        await asyncio.sleep(0.01)


async def failure(other: Other, **parts: Any) -> AttemptError:
    """The error of a connection that does not work; neither login nor password is in it."""
    changed = other.using(**parts)
    with pytest.raises(AttemptError) as caught:
        await changed.pull(query="select 1 as id")
    for secret in (changed.connection.login, changed.connection.password):
        assert str(secret) not in repr(caught.value)
    assert str(caught.value).startswith(f"{changed.connection.host}: ")
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback shows no more than that"
    return caught.value


async def test_a_connection_that_fails_is_explained(other: Other) -> None:
    """The error names the host and what is wrong, and the pull may be tried again."""
    wrong = await failure(other, login="somebody", password="not-the-password")
    assert isinstance(wrong, RetryableError)
    assert str(wrong) == '127.0.0.1: password authentication failed for user "***"'
    assert str(await failure(other, schema="nowhere")) == '127.0.0.1: database "nowhere" does not exist'
    assert "SSL" in str(await failure(other, extra={"sslmode": "require"}))
    assert str(await failure(other, port=1)) == "127.0.0.1: Connection refused"
    assert "cannot be resolved" in str(await failure(other, host="nowhere.invalid"))


async def test_a_server_that_goes_away_is_worth_another_try(other: Other) -> None:
    """A session that ends in the middle of a pull is no mistake of the row."""
    end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace'"
    with pytest.raises(RetryableError, match=r"^127\.0\.0\.1: "):
        await other.pull(query="select * from generate_series(1, 9) id", page_size=2, between=lambda: other.sql(end))
    assert keys(other.pages) == ["1", "2"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0", "2130706433", "0x7f.1", "::ffff:127.0.0.1"])
async def test_private_addresses_are_refused(other: Other, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A database is judged as any other address that is called, however it is written."""
    monkeypatch.setenv("MILLRACE_EGRESS_ALLOW", "")
    settings.cache_clear()
    refused = await failure(other, host=host)
    assert isinstance(refused, PermanentError)
    assert "allow it with MILLRACE_EGRESS_ALLOW" in str(refused)


async def test_a_name_is_looked_up_once(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is made to an address that was judged, not to what the name means by then."""
    answers = iter([["10.0.0.1", "127.0.0.1"]])

    def look_up(host: object, port: int, *_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert keys(await other.using(host="db.example").pull(query="select 1 as id")) == ["1"]


@pytest.mark.parametrize("host", [None, "", "/run", "@socket", "127.0.0.1,10.0.0.1", "h host=x", "postgresql://h"])
async def test_what_is_no_host_is_refused(other: Other, host: str | None) -> None:
    """Neither a Unix socket nor several hosts nor an option can take the place of a host."""
    with pytest.raises(ConfigError, match="connection 'elsewhere': write a host"):
        await other.using(host=host).pull(query="select 1 as id")


async def test_extra_cannot_lead_elsewhere(other: Other) -> None:
    """Of a connection's extra only what is about TLS counts."""
    extra = {"hostaddr": "10.0.0.1", "host": "/run", "service": "x", "options": "-c default_transaction_read_only=off"}
    assert keys(await other.using(extra=extra).pull(query="select 1 as id")) == ["1"]


async def test_our_own_password_goes_nowhere(other: Other, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the connection has no password, none of this machine's is sent instead."""
    monkeypatch.setenv("PGPASSWORD", str(other.connection.password))
    refused = other.using(password=None)
    with pytest.raises(RetryableError, match="no password supplied"):
        await refused.pull(query="select 1 as id")


async def test_a_connection_is_needed(other: Other) -> None:
    """A connection without a login is refused before anything is sent."""
    with pytest.raises(ConfigError, match="has no login"):
        await other.using(login=None).pull(query="select 1 as id")


async def test_sessions_are_closed(other: Other) -> None:
    """No session is left when a pull is over, also if nobody wanted the rest of it."""
    await other.pull(query="select * from generate_series(1, 9) id", page_size=2, most=1)
    sessions = "select count(*) from pg_stat_activity where application_name = 'millrace'"
    while other.db.execute(sessions).fetchone() != (0,):
        await asyncio.sleep(0.01)

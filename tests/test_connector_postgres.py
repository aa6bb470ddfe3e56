"""No row of another database is lost, whatever its cursor values are and wherever a pull stops."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import JsonValue

from include.errors import ConfigError, PermanentError
from include.registry import source
from tests.postgres_source import Other, keys, other, payloads

__all__ = ["other"]

TIED = {"table": "item", "cursor_column": "at", "page_size": 3}


def fill(other: Other, count: int = 20, per_value: int = 7) -> list[str]:
    """Rows of which several share a cursor value, and not in the order of their keys."""
    other.sql("create table item (id int primary key, at int)")
    other.sql(f"insert into item select (n * 13) % 97, n / {per_value} from generate_series(0, {count - 1}) as n")
    rows = other.db.execute("select id::text from item order by at, item.id").fetchall()
    return [row[0] for row in rows]


async def test_equal_values_across_pages_are_all_read(other: Other) -> None:
    """Each row comes once in a pull, in the order of cursor and key, though pages end within equal values."""
    expected = fill(other)
    pages = await other.pull(**TIED)
    assert keys(pages) == expected
    assert [len(page.records) for page in pages] == [3] * 6 + [2]


@pytest.mark.parametrize("stop", range(1, 8))
async def test_a_pull_goes_on_after_any_page(other: Other, stop: int) -> None:
    """A pull that was cut off is finished by the next one, without a gap and without reading anything again."""
    expected = fill(other)
    first = await other.pull(most=stop, **TIED)
    rest = await other.pull(first[-1].cursor, **TIED) if stop < 7 else []
    assert keys([*first, *rest]) == expected


async def test_a_row_that_comes_later_with_an_equal_value_is_found(other: Other) -> None:
    """The greatest value is read again, with whatever came to share it since."""
    fill(other, 6, per_value=3)
    pages = await other.pull(**TIED)
    other.sql("insert into item values (-5, 1), (500, 1), (501, 2)")
    assert {"-5", "500", "501"} <= set(keys(await other.pull(pages[-1].cursor, **TIED)))


async def test_rows_added_between_pages_are_found(other: Other) -> None:
    """What is written while a pull goes on is read by this pull or the next, wherever its value falls."""
    expected = fill(other)
    new = iter(range(1000, 2000))

    def write() -> None:
        at = other.db.execute("select max(at) from item").fetchone()
        assert at is not None
        other.sql("insert into item values (%s, %s), (%s, %s)", next(new), at[0], next(new), at[0] + 1)

    first = await other.pull(between=write, **TIED)
    second = await other.pull(first[-1].cursor, **TIED)
    everything = other.db.execute("select id::text from item").fetchall()
    assert len(first) == 7, "a pull ends, though rows keep coming"
    assert {*keys(first), *keys(second)} == {row[0] for row in everything} > set(expected)


async def test_a_pull_with_nothing_new_reads_the_greatest_value_only(other: Other) -> None:
    """The next pull costs as much as there is new, and leaves the cursor where it was."""
    fill(other)
    pages = await other.pull(**TIED)
    again = await other.pull(pages[-1].cursor, **TIED)
    assert len(keys(again)) == 6
    assert again[-1].cursor == pages[-1].cursor


async def test_an_empty_table_gives_no_page(other: Other) -> None:
    """Nothing is nothing; what comes then is found."""
    fill(other, 0)
    assert await other.pull(**TIED) == []
    other.sql("insert into item values (1, 1), (2, null)")
    assert keys(await other.pull(**TIED)) == ["1"], "rows without a cursor value are not read"


async def test_rows_that_are_deleted_meanwhile_do_not_stop_a_pull(other: Other) -> None:
    """A pull whose last rows are gone ends all the same."""
    fill(other, 6, per_value=3)
    pages = await other.pull(between=lambda: other.sql("delete from item where at = 1"), **TIED)
    assert [len(page.records) for page in pages] == [3, 0]
    assert pages[-1].cursor == {"last": {"at": "1"}}
    assert await other.pull(pages[-1].cursor, **TIED) == []


async def test_without_a_cursor_every_pull_reads_everything(other: Other) -> None:
    """Rows come in the order of their key; a pull that was cut off goes on, the one after that begins anew."""
    fill(other, 8)
    config: dict[str, Any] = {"table": "item", "page_size": 3}
    ids = [str(id) for id in sorted((n * 13) % 97 for n in range(8))]
    first = await other.pull(most=1, **config)
    rest = await other.pull(first[-1].cursor, **config)
    assert keys([*first, *rest]) == ids
    assert rest[-1].cursor is None
    assert keys(await other.pull(None, **config)) == ids


async def test_composite_keys_are_told_apart(other: Other) -> None:
    """Rows are read in the order of all columns of the key, and no two keys look alike."""
    other.sql("create table item (a text, b text, at int, primary key (a, b))")
    other.sql("insert into item values ('x', 'y,z', 1), ('x,y', 'z', 1), ('x', 'y', 1), ('', '', 1), ('ü', '\"', 1)")
    config = {"table": "item", "cursor_column": "at", "primary_key": ["b", "a"], "page_size": 1}
    found = keys(await other.pull(**config))
    assert sorted(map(str, found)) == sorted(['["y,z","x"]', '["z","x,y"]', '["y","x"]', '["",""]', '["\\"","ü"]'])


async def test_the_cursor_may_be_the_key(other: Other) -> None:
    """A growing id needs no second column."""
    other.sql("create table item (id bigint primary key)")
    other.sql("insert into item select 9007199254740990 + n from generate_series(1, 5) as n")
    config = {"table": "item", "cursor_column": "id", "page_size": 2}
    pages = await other.pull(**config)
    assert keys(pages) == [str(9007199254740990 + n) for n in range(1, 6)]
    assert pages[-1].cursor == {"last": {"id": "9007199254740995"}}


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("timestamptz", ["2026-03-01 10:00:00.123456+02", "2026-03-01 08:00:00.123457+00", "2026-03-01 11:30+02"]),
        ("timestamp", ["2026-03-01 08:00:00.000001", "2026-03-01 08:00:00.000002", "2026-03-02 00:00"]),
        ("date", ["2026-02-28", "2026-03-01", "12026-03-01"]),
        ("numeric", ["0.10000000000000000001", "0.10000000000000000002", "1e40"]),
        ("double precision", ["0.1", "0.30000000000000004", "1e300"]),
        ("uuid", [f"00000000-0000-0000-0000-00000000000{n}" for n in range(3)]),
        ("varchar(20)", ["a", "a%s", "a'--"]),
        ("character(8)", ["a", "ab", "b"]),
        ("boolean", ["false", "true", "true"]),
        ("interval", ["1 day", "1 mon", "1 year"]),
    ],
)
async def test_cursor_values_keep_every_digit(other: Other, type_: str, values: list[str]) -> None:
    """Values go into the cursor and back into a statement as they are, whatever their type."""
    other.sql(f"create table item (id int primary key, at {type_})")
    for number, value in enumerate(values):
        other.sql("insert into item values (%s, %s)", number, value)
    config = {"table": "item", "cursor_column": "at", "page_size": 1}
    seen: list[str | None] = []
    cursor: JsonValue = None
    for _ in values:
        pages = await other.pull(cursor, most=1, **config)
        seen, cursor = [*seen, *keys(pages)], pages[-1].cursor
    assert seen == [str(number) for number in range(len(values))]
    assert keys(await other.pull(cursor, **config))[-1:] == seen[-1:]


@pytest.mark.parametrize(
    ("type_", "value", "late", "lag"),
    [
        ("timestamptz", "2026-03-01 12:00:00", "2026-03-01 11:59:30.5", 29.5),
        ("date", "2026-03-02", "2026-03-01", 3600),
        ("bigint", "100", "90", 10),
        ("smallint", "100", "99", 0.5),
        ("numeric", "1.5", "1.25", 0.25),
    ],
)
async def test_a_row_that_commits_late_is_found_within_the_lag(
    other: Other, type_: str, value: str, late: str, lag: float
) -> None:
    """A smaller value than the greatest is found if it is not farther below it than `lag`."""
    other.sql(f"create table item (id int primary key, at {type_})")
    other.sql("insert into item values (1, %s)", value)
    config = {"table": "item", "cursor_column": "at"}
    cursor = (await other.pull(lag=lag, **config))[-1].cursor
    other.sql("insert into item values (2, %s)", late)
    assert keys(await other.pull(cursor, **config)) == ["1"]
    assert keys(await other.pull(cursor, lag=lag, **config)) == ["2", "1"]


async def test_a_lag_needs_a_type_to_measure_it_by(other: Other) -> None:
    """What is neither a time nor a number has no distance."""
    other.sql("create table item (id text primary key)")
    with pytest.raises(ConfigError, match="leave out lag: id is text"):
        await other.pull(table="item", cursor_column="id", lag=1)


async def test_the_first_pull_begins_with_the_initial_value(other: Other) -> None:
    """Rows below it are never read, that value itself is."""
    fill(other, 20)
    pages = await other.pull(initial_value=2, **TIED)
    assert {payload["at"] for payload in payloads(pages)} == {2}


async def test_a_cursor_of_other_columns_counts_for_nothing(other: Other) -> None:
    """After an edit of the cursor column or of the key in the middle of a pull, nothing is left out."""
    expected = fill(other)
    middle = (await other.pull(most=2, **TIED))[-1].cursor
    by_key = {"table": "item", "cursor_column": "id", "page_size": 50}
    for cursor in (middle, {"last": {"at": "9"}}, "?", {"last": 5}, {"after": [["id", None]]}, []):
        assert sorted(keys(await other.pull(cursor, **by_key))) == sorted(expected)
    assert sorted(keys(await other.pull(middle, **TIED, primary_key=["at", "id"]))) > []


@pytest.mark.parametrize("cursor_column", ["at", None])
@pytest.mark.parametrize("page_size", [2, 3, 4, 10])
async def test_a_null_in_the_key_is_refused(other: Other, cursor_column: str | None, page_size: int) -> None:
    """Wherever the border of a page falls, a row without a key is not passed over in silence."""
    other.sql("create table item (id int, part int, at int)")
    other.sql("insert into item values (1, 1, 1), (2, 2, 1), (3, 3, 1), (3, null, 1), (4, 4, 1), (5, 5, 2)")
    config = {"table": "item", "primary_key": ["id", "part"], "cursor_column": cursor_column, "page_size": page_size}
    with pytest.raises(PermanentError, match=r"null in its primary key \(id, part\)"):
        await other.pull(**config)
    other.sql("update item set id = null, part = 1 where part is null")
    with pytest.raises(PermanentError, match="null in its primary key"):
        await other.pull(**config)


async def test_a_page_of_large_rows_ends_early(other: Other) -> None:
    """A page holds what a page may hold, and one row at least; all rows come."""
    other.sql("create table item (id int primary key, text text)")
    other.sql("insert into item select n, repeat('x', 3 << 20) from generate_series(1, 7) as n")
    pages = await other.pull(table="item")
    assert [len(page.records) for page in pages] == [3, 3, 1]
    assert keys(pages) == [str(n) for n in range(1, 8)]


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"table": "a", "query": "select 1"},
        {"table": "a.b.c"},
        {"query": "select 1;"},
        {"query": " "},
        {"query": "select '\x00'"},
        {"table": "a", "primary_key": []},
        {"table": "a", "primary_key": ["id", "id"]},
        {"table": "a", "lag": 5},
        {"table": "a", "initial_value": 5},
        {"table": "a", "cursor_column": "at", "lag": -1},
        {"table": "a", "page_size": 10_001},
        {"table": "a", "password": "x"},
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, Any]) -> None:
    """What could not be read is an error of the row."""
    with pytest.raises(ConfigError):
        source("postgres").parse({"conn_id": "c", "primary_key": "id", **config})

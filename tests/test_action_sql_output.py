"""What kind `sql` tells of rows is JSON that can be stored, and never more than the ledger takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.actions._sql_rows import OUTPUT_BYTES, VALUE_CHARACTERS, shown
from tests.sql_database import Target, target

__all__ = ["target"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("null", None),
        ("true", True),
        ("9223372036854775807", 9223372036854775807),
        ("1.5::float8", 1.5),
        ("'NaN'::float8", "nan"),
        ("12.30::numeric", "12.30"),
        ("1e200::numeric", "1" + "0" * 200),
        ("'Zürich 東京 🐘'", "Zürich 東京 🐘"),
        (r"'\x00ff'::bytea", "00ff"),
        ("date '2026-03-01'", "2026-03-01"),
        ("time '12:30:05'", "12:30:05"),
        ("timestamp '2026-03-01 12:00'", "2026-03-01T12:00:00"),
        ("timestamptz '2026-03-01 12:00:00.5+02' at time zone 'UTC'", "2026-03-01T10:00:00.500000"),
        ("interval '1 day 2:03:04.5'", "P1DT2H3M4.5S"),
        ("interval '-1 hour'", "-PT1H"),
        ('\'{"a": [1, null, "x"]}\'::jsonb', {"a": [1, None, "x"]}),
        (r"""'{"a": "\u0000"}'::json""", {"a": "\ufffd"}),
        ("array[date '2026-03-01', null]", ["2026-03-01", None]),
        ("array[array[1, 2], array[3, 4]]", [[1, 2], [3, 4]]),
        ("row(1, 'a')", ["1", "a"]),
        ("'d9428888-122b-11e1-b85c-61cd3cbb3210'::uuid", "d9428888-122b-11e1-b85c-61cd3cbb3210"),
        ("inet '192.0.2.1'", "192.0.2.1"),
        ("int4range(1, 5)", "[1, 5)"),
        ("'(1,2)'::point", "(1,2)"),
    ],
)
def test_every_type_has_a_form_in_json(target: Target, value: str, expected: Any) -> None:
    """Dates and intervals are in ISO 8601, exact numbers are text, bytes are hexadecimal."""
    [made] = target.act(f"select {value} as it").data["statements"]
    assert made == {"read": 1, "columns": ["it"], "rows": [[expected]]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "?"),
        (memoryview(b"ab"), "6162"),
        ({1, 2}, "{1, 2}"),
        (float("inf"), "inf"),
        ("x" * 5000, "x" * VALUE_CHARACTERS + "…"),
        (b"\xab" * 5000, "ab" * (VALUE_CHARACTERS // 2) + "…"),
    ],
)
def test_what_drivers_give_can_be_stored(value: Any, expected: Any) -> None:
    """Whatever a driver makes of a value, what is shown can be stored in PostgreSQL, and is not wide."""
    assert shown(value) == expected


def test_wide_json_is_cut(target: Target) -> None:
    """A large document is shown as the beginning of its text."""
    [made] = target.act("select jsonb_agg(n) from generate_series(1, 100000) as n").data["statements"]
    [[text]] = made["rows"]
    assert text.startswith("[1,2,3")
    assert len(text) == VALUE_CHARACTERS + 1


def test_only_the_first_rows_are_kept(target: Target) -> None:
    """All rows are counted; as many are kept as the row asks for, 20 unless told otherwise."""
    query = "select n from generate_series(1, 5000) as n"
    for kept, asked in ((20, {}), (3, {"rows": 3}), (0, {"rows": 0})):
        [made] = target.act(query, **asked).data["statements"]
        assert [made["read"], made["rows"]] == [5000, [[n + 1] for n in range(kept)]]
    assert target.act(query).line == "1 statement, 0 rows changed, 5000 rows read"


def test_the_output_has_a_cap(target: Target) -> None:
    """However much the statements return, all of it together fits into the ledger, and says that rows are missing."""
    wide = "select repeat('\u00fc', 900) as a, n from generate_series(1, 1000) as n"
    output = target.act([wide, wide, "select 1"], rows=1000)
    first, second, third = output.data["statements"]
    assert len(json.dumps(output.data, ensure_ascii=False).encode()) < 64 * 1024
    assert 0 < len(first["rows"]) < 1000
    assert first["truncated"]
    assert second == {"read": 1000, "rows": [], "truncated": True}
    assert third == {"read": 1, "rows": [], "truncated": True}


def test_wide_columns_count_too(target: Target) -> None:
    """Names of columns are part of what has to fit."""
    target.sql("create table wide ({})".format(", ".join(f'"{"c" * 55}{n:04}" int' for n in range(1600))))
    target.sql("insert into wide default values")
    [made] = target.act("select * from wide").data["statements"]
    assert OUTPUT_BYTES < 1600 * 59
    assert made == {"read": 1, "rows": [], "truncated": True}


@pytest.mark.parametrize("value", ["'infinity'::timestamptz", "date '0044-03-15 BC'", "date '12000-01-01'"])
def test_a_value_that_the_driver_cannot_make_is_no_failure(target: Target, value: str) -> None:
    """The statements did their work: it is committed, and the output says why rows are missing."""
    target.sql("create table item (at int)")
    output = target.act(f"insert into item values (1); select 1 as n; select {value} as it")
    made = output.data["statements"][2]
    assert made["read"] == 1
    assert made["rows"] == []
    assert "date" in made["unreadable"] or "timestamp" in made["unreadable"]
    assert target.rows("select at from item") == [(1,)]

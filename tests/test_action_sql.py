"""Statements of kind `sql` are one transaction; what they did and read is told; parameters are never SQL."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigError, PermanentError
from include.registry import action
from tests.sql_database import Target, target

__all__ = ["target"]

STATED = [
    "create table item (id int primary key, name text)",
    "insert into item values (1, 'a;b'), (2, 'c')",
    "select name from item order by id",
]


@pytest.mark.parametrize("sql", ["; ".join(STATED), STATED], ids=["text", "list"])
def test_statements_are_run_and_counted(target: Target, sql: Any) -> None:
    """The line counts statements and rows; each statement has its number, and its first rows if it returned any."""
    output = target.act(sql)
    assert output.line == "3 statements, 2 rows changed, 2 rows read"
    assert output.data["statements"] == [
        {"changed": 0},
        {"changed": 2},
        {"read": 2, "columns": ["name"], "rows": [["a;b"], ["c"]]},
    ]
    assert target.rows("select count(*) from item") == [(2,)], "committed"


def test_rows_that_a_change_returns_are_changed_rows(target: Target) -> None:
    """What `returning` gives is shown, and counted once."""
    target.sql("create table item (id int)")
    output = target.act("insert into item values (1) returning id")
    assert output.line == "1 statement, 1 row changed, 0 rows read"
    assert output.data["statements"] == [{"changed": 1, "columns": ["id"], "rows": [[1]]}]


@pytest.mark.parametrize("last", ["select 1 / 0", "insert into item values (1)", "select * from absent", "selec 1"])
def test_an_error_undoes_everything(target: Target, last: str) -> None:
    """After an error in any statement the database is as it was before."""
    target.sql("create table item (id int primary key)")
    with pytest.raises(PermanentError, match=r"127\.0\.0\.1: statement 3 of 3: "):
        target.act(f"insert into item values (1); create table more (); {last}")
    assert target.rows("select count(*), to_regclass('more') is null from item") == [(0, True)]


def test_a_constraint_that_is_checked_in_the_end_counts(target: Target) -> None:
    """What the server finds wrong at COMMIT is an error, and nothing is committed."""
    target.sql("create table item (id int unique deferrable initially deferred)")
    with pytest.raises(PermanentError, match=r"COMMIT: duplicate key .* \(SQLSTATE 23505\)"):
        target.act("insert into item values (1); insert into item values (1)")
    assert target.rows("select count(*) from item") == [(0,)]


@pytest.mark.parametrize(
    "sql",
    [
        "commit",
        "insert into item values (1); COMMIT; selec",
        "begin",
        "begin read write",
        "start transaction",
        "end",
        "rollback",
        "rollback work",
        "abort",
        "prepare transaction 'x'",
        "/* a */ -- b\n commit",
        "/* /* */ select 1 -- */ commit",
        "-- /*\ncommit -- */",
        ["select 1", "; commit"],
    ],
)
def test_the_transaction_is_not_for_statements_to_end(target: Target, sql: Any) -> None:
    """A statement that would begin, commit or roll back is refused with the row."""
    target.sql("create table item (id int)")
    with pytest.raises(ConfigError, match="leave it out; all statements are one transaction"):
        target.act(sql)
    assert target.rows("select count(*) from item") == [(0,)]


def test_savepoints_are_for_statements_to_use(target: Target) -> None:
    """Parts of the transaction can be undone."""
    target.sql("create table item (id int)")
    target.act("insert into item values (1); savepoint s; insert into item values (2); rollback to savepoint s")
    assert target.rows("select id from item") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("create function f() returns int language plpgsql as $$ begin return 1; end $$; select f()", 2),
        ("create function f() returns int language sql begin atomic select 1; select 2; end; select f()", 2),
        ("do $body$ declare x int; begin x := 1; perform $$ ; $$; end $body$; select 1;", 2),
        ("-- a; b\nselect ';' as \"c;d\" /* ; */; ; /* nothing; */ ;-- nothing", 1),
        ("select E'it\\'s; so'; select 'it''s; so'", 2),
        (["do $$ begin perform 1; end $$", " -- nothing", "select '\\'; --'"], 2),
    ],
)
def test_a_text_is_split_where_statements_end(target: Target, sql: Any, count: int) -> None:
    """Semicolons in quotes, comments and bodies end nothing, and nothing is not a statement."""
    assert len(target.act(sql).data["statements"]) == count


def test_a_statement_that_was_overlooked_is_refused(target: Target) -> None:
    """Where the splitter and the server disagree, the server refuses, and nothing is done."""
    target.sql("create table item (id int)")
    with pytest.raises(PermanentError, match="cannot insert multiple commands"):
        target.act("select '\\'; insert into item values (1); commit; select 'x'")
    assert target.rows("select count(*) from item") == [(0,)]


EVIL = "x'); drop table item; --"


def test_parameters_are_never_sql(target: Target) -> None:
    """A value is stored as it is, whatever it looks like; named ones are there for every statement."""
    target.sql("create table item (name text, about jsonb, tags text[])")
    values = {"name": EVIL, "about": {"a": [EVIL]}, "tags": ["%s", '"', None], "unused": 1}
    output = target.act(
        "insert into item values (%(name)s, %(about)s, %(tags)s); select count(*) from item where name = %(name)s",
        parameters=values,
    )
    assert output.data["statements"][1]["rows"] == [[1]]
    assert target.rows("select * from item") == [(EVIL, {"a": [EVIL]}, ["%s", '"', None])]


def test_a_list_of_parameters_is_for_one_statement(target: Target) -> None:
    """Values by position are handed over in order; with several statements nobody could say whose they are."""
    assert target.act("select %s || %s", parameters=["a", EVIL]).data["statements"][0]["rows"] == [["a" + EVIL]]
    with pytest.raises(ConfigError, match="a list is for a single statement"):
        target.act("select %s; select 2", parameters=["a"])
    with pytest.raises(ConfigError, match="a list is for a single statement"):
        target.act(["select %s", "select 2"], parameters=["a"])


def test_without_parameters_a_percent_sign_is_one(target: Target) -> None:
    """A pattern is written as in any client; what does not fit the parameters is an error that says so."""
    assert target.act("select 'abc' like 'a%'").data["statements"][0]["rows"] == [[True]]
    with pytest.raises(PermanentError, match=r"statement 1 of 1: .*missing"):
        target.act("select %(a)s", parameters={"b": 1})
    with pytest.raises(PermanentError, match="cannot contain NUL"):
        target.act("select %(a)s", parameters={"a": "\x00"})


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ({"conn_id": None}, "conn_id: "),
        ({"sql": ""}, "sql: write one statement or more"),
        ({"sql": []}, "sql: write one statement or more"),
        ({"sql": " -- nothing\n;;"}, "sql: write one statement or more"),
        ({"sql": ["/* nothing */"]}, "sql: write one statement or more"),
        ({"sql": "select 1;" * 1001}, "sql: write at most 1000 statements"),
        ({"sql": 1}, "sql: write a text, or a list of texts"),
        ({"sql": ["select 1", 1]}, "sql: write a text, or a list of texts"),
        ({"sql": ["x" * 40_000] * 2}, "sql: write at most 65536 characters"),
        ({"rows": 1001}, "rows: "),
        ({"rows": -1}, "rows: "),
        ({"parameters": "x"}, "parameters: write an object or a list"),
        ({"host": "elsewhere"}, "host: "),
    ],
)
def test_a_payload_that_does_not_fit_is_refused(payload: dict[str, Any], says: str) -> None:
    """What is missing, too much, or not known is an error of the row, which says once what to write."""
    with pytest.raises(ConfigError, match=f"the payload does not fit kind 'sql': {says}"):
        action("sql").parse({"conn_id": "shop", "sql": "select 1", **payload})


def test_it_runs_on_a_worker() -> None:
    """Drivers block, so the triggerer is no place for it."""
    assert action("sql").runs_on == "worker"

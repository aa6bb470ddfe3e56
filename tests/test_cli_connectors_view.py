"""`./millrace connectors list`, `show` and `records`: what people read is so."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from include.store.db import DictConnection, queries
from tests.connector_commands import (
    SHOP,
    Refused,
    Run,
    add_records,
    add_workflow,
    document,
    environment,
    refused,
    run,
)

__all__ = ["environment", "refused", "run"]


def mark(db: DictConnection, name: str, assignments: str, *values: object) -> None:
    """Set what Millrace writes into the row while it runs."""
    db.execute(f"update connector set {assignments} where name = %s".encode(), (*values, name))


@pytest.mark.parametrize(
    ("assignments", "state", "shown"),
    [
        ("error = 'bad', is_active = false", "error", "error"),
        ("is_active = false", "paused", "paused"),
        ("paused_until = now() + interval '1 hour'", "paused", "paused until 2"),
        ("failing_since = '2026-01-02 03:04:05+00', failures = 7", "failing", "failing"),
        ("not_before = now() + interval '1 hour'", "rate-limited", "waits"),
        ("not_before = now() - interval '1 hour', failures = 1", "active", "active"),
        ("paused_until = now() - interval '1 hour'", "active", "active"),
    ],
)
def test_list_says_how_a_connector_is(run: Run, db: DictConnection, assignments: str, state: str, shown: str) -> None:
    """What keeps it from pulling comes first; a word for scripts, and since or until when for people."""
    run("add", "shop", *SHOP, "--every", "5m")
    mark(db, "shop", assignments)
    [listed] = document(run("list", "--json"))
    assert listed["state"] == state
    assert shown in run("list").stdout.splitlines()[1]


def test_list_says_beside_its_table_until_when_a_connector_waits(run: Run, db: DictConnection) -> None:
    """The instant is in a note, so that the table fits a narrow window; `show` and scripts have all in one place."""
    run("add", "shop", *SHOP)
    mark(db, "shop", "not_before = '2100-01-02 03:04:05+00', last_error = 'HTTP 429'")
    until = "rate-limited until 2100-01-02 03:04:05"
    assert run("list").stderr == f"connector 1 (shop): {until} UTC\nconnector 1 (shop): HTTP 429\n"
    assert until in run("show", "shop").stdout
    assert document(run("list", "--json"))[0]["not_before"] == "2100-01-02T03:04:05+00:00"


def test_show_and_add_say_where_records_are_pushed_to(run: Run, db: DictConnection) -> None:
    """The address is made of the id, which nobody knows before; of a kind that pulls there is none."""
    assert "POST /millrace/hooks/1," in run("add", "hook", "webhook", "--set", "conn_id=a").stdout
    assert "POST /millrace/hooks/1 " in run("show", "hook").stdout
    assert document(run("show", "hook", "--json"))["pushed_to"] == "/millrace/hooks/1"
    assert "hooks" not in run("add", "shop", *SHOP).stdout + run("show", "shop").stdout


def test_a_name_of_several_owners_is_not_guessed(run: Run, refused: Refused, db: DictConnection) -> None:
    """The error says which ids there are; by its id, each is found."""
    for owner in ("ada", "bob"):
        run("add", "shop", *SHOP, "--owner", owner)
    for words in (["show"], ["pause"], ["records"], ["edit", "--timeout", "9s"], ["rm", "--yes"]):
        assert "several owners have a connector named 'shop'; write the id: 1 (ada), 2 (bob)" in refused(
            words[0], "shop", *words[1:]
        )
    assert document(run("show", "2", "--json"))["owner"] == "bob"


def test_list_shows_how_far_a_connector_is(run: Run, db: DictConnection) -> None:
    """One line each: how often, the head of its log, when it pulled last, and what went wrong as a note beside it."""
    run("add", "shop", *SHOP, "--every", "90s")
    run("add", "hook", "webhook", "--set", "conn_id=hook")
    add_records(db, 1, 12)
    mark(db, "shop", "pulled_at = %s, failures = 3, last_error = 'HTTP 500'", datetime(2026, 1, 2, tzinfo=timezone.utc))
    result = run("list")
    header, shop, hook = result.stdout.splitlines()
    assert header.split() == ["id", "name", "kind", "every", "state", "head", "pulled", "(UTC)", "failures"]
    assert shop.split() == ["1", "shop", "python", "1m30s", "active", "12", "2026-01-02", "00:00:00", "3"]
    assert hook.split() == ["2", "hook", "webhook", "active", "0"]
    assert result.stderr == "connector 1 (shop): HTTP 500\n"
    one, other = document(run("list", "--json"))
    assert (one["head"], one["failures"], one["last_error"], one["every"]) == (12, 3, "HTTP 500", 90.0)
    assert (other["head"], other["pulled_at"], other["every"]) == (0, None, None)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--kind", "webhook"], ["b"]),
        (["--owner", "ada"], ["b"]),
        (["--active"], ["a", "c"]),
        (["--paused"], ["b"]),
        (["--failing"], ["a", "c"]),
        (["--limit", "1"], ["a"]),
        (["--limit", "0"], ["a", "b", "c"]),
        (["--after", "1"], ["b", "c"]),
        (["--failing", "--owner", "ada"], []),
    ],
)
def test_list_filters(run: Run, db: DictConnection, words: list[str], names: list[str]) -> None:
    """Only the connectors that were asked for, and whether there are more."""
    run("add", "a", *SHOP)
    run("add", "b", "webhook", "--set", "conn_id=hook", "--owner", "ada", "--inactive")
    run("add", "c", *SHOP)
    mark(db, "a", "failures = 1, last_error = 'HTTP 500'")
    mark(db, "c", "error = 'bad'")
    result = run("list", *words, "--json")
    assert [connector["name"] for connector in document(result)] == names
    assert ("there are more" in result.stderr) == (words == ["--limit", "1"])


def test_an_empty_list_says_how_to_begin(run: Run) -> None:
    """Nobody is left with a blank screen."""
    assert "`./millrace connectors add --help`" in run("list").stderr


def test_show_tells_everything(run: Run, db: DictConnection) -> None:
    """Columns, config, the newest records, and the workflows that read them with what lies ahead of each."""
    run("add", "shop", *SHOP, "--every", "5m", "--rate-limit", "10/second")
    add_records(db, 1, 7)
    add_workflow(db, 1)
    db.execute("update workflow_progress set position = 3, processed = 3")
    mark(db, "shop", """cursor = '{"page": 7}', last_error = 'HTTP 500'""")
    text = run("show", "shop").stdout
    for part in (
        "connector_1",
        "10/second",
        '"function": "shop:items"',
        '{"page":7}',
        "HTTP 500",
        "to crm",
        "ada@example.com",
    ):
        assert part in text
    shown = document(run("show", "1", "--json"))
    columns = {
        str(row["column_name"])
        for row in db.execute(
            "select column_name from information_schema.columns"
            " where table_schema = 'millrace' and table_name = 'connector'"
        )
    }
    assert columns - {"schedule_revision", "schedule_changed_at"} <= set(shown)
    assert (shown["cursor"], shown["every"], shown["rate_limit"]) == ({"page": 7}, 300.0, "10/second")
    assert [record["position"] for record in shown["records"]] == [7, 6, 5, 4, 3]
    [workflow] = shown["workflows"]
    assert (workflow["name"], workflow["position"], workflow["lag_records"]) == ("to crm", 3, 4)


def test_show_and_list_survive_a_row_that_makes_no_sense(run: Run, db: DictConnection) -> None:
    """A bad row that was written by SQL is shown with what is wrong, before anybody else has noticed."""
    db.execute("insert into connector (name, kind) values ('bad', 'nonsense')")
    assert [connector["name"] for connector in document(run("list", "--json"))] == ["bad"]
    assert "unknown kind 'nonsense'" in run("show", "bad").stdout
    assert document(run("show", "bad", "--json"))["state"] == "error"


@pytest.mark.parametrize(
    ("words", "positions"),
    [
        ([], list(range(30, 10, -1))),
        (["-n", "3"], [30, 29, 28]),
        (["-n", "3", "--from", "5"], [5, 4, 3]),
        (["--from", "2"], [2, 1]),
        (["--key", "k7"], [7]),
        (["--key", "nothing"], []),
    ],
)
def test_records_go_back_from_the_newest(run: Run, db: DictConnection, words: list[str], positions: list[int]) -> None:
    """The log, newest first, from wherever somebody wants to begin; or one record by its key."""
    run("add", "shop", *SHOP)
    add_records(db, 1, 30)
    found = document(run("records", "shop", *words, "--json"))
    assert [record["position"] for record in found] == positions
    assert all(record["key"] == f"k{record['payload']['n']}" for record in found)


def test_following_the_hint_shows_every_record_once(run: Run, db: DictConnection) -> None:
    """A page that is full says how to go on; the last one does not."""
    run("add", "shop", *SHOP)
    add_records(db, 1, 5)
    first = run("records", "shop", "-n", "3")
    assert [line.split()[0] for line in first.stdout.splitlines()[1:]] == ["5", "4", "3"]
    assert "--from 2 goes on" in first.stderr
    last = run("records", "shop", "-n", "3", "--from", "2")
    assert [line.split()[0] for line in last.stdout.splitlines()[1:]] == ["2", "1"]
    assert last.stderr == ""


def test_a_record_has_a_version_for_each_content(run: Run, db: DictConnection) -> None:
    """With dedupe = content a key comes again when what it holds has changed; keys of any length are found."""
    key = "k" * 3000
    run("add", "shop", *SHOP, "--dedupe", "content")
    for number in (1, 2):
        items = json.dumps([{"key": key, "payload": {"n": number}}])
        db.execute("select append_records(1, %s::jsonb)", (items,))
    found = document(run("records", "shop", "--key", key, "--json"))
    assert [(record["version"], record["payload"]) for record in found] == [(2, {"n": 2}), (1, {"n": 1})]
    assert "(version 2)" in run("records", "shop").stdout


def test_a_table_bears_payloads_of_any_size(run: Run, db: DictConnection) -> None:
    """A long payload is cut in the table, and is whole in the JSON; nothing in it steers the terminal."""
    run("add", "shop", *SHOP)
    long = "\x1b[2J" + "x" * 5000
    db.execute("select append_records(1, %s::jsonb)", (json.dumps([{"key": "a\nb", "payload": long}]),))
    lines = run("records", "shop").stdout.splitlines()
    assert len(lines) == 2
    assert len(lines[1]) < 300
    assert "\x1b" not in lines[1]
    assert document(run("records", "shop", "--json"))[0]["payload"] == long


def test_records_that_are_not_there_are_told_apart(run: Run, refused: Refused, db: DictConnection) -> None:
    """An empty log, and a log without what was asked for, say which they are."""
    run("add", "shop", *SHOP)
    assert "has no records yet" in run("records", "shop").stderr
    add_records(db, 1, 1)
    assert "no such records" in run("records", "shop", "--key", "x").stderr
    assert "there is no connector" in refused("records", "2")


def test_list_reads_nothing_but_its_page(run: Run, db: DictConnection) -> None:
    """However many connectors there are, a list is one statement without a look-up for each row."""
    db.execute("insert into connector (name, kind) select 'c' || n, 'python' from generate_series(1, 300) as n")
    db.execute("analyze connector")
    wanted = {"kind": None, "owner": None, "paused": None, "failing": False, "after": 0, "limit": 101}
    row = db.execute(("explain (format json) " + queries("connectors")["list_connectors"]).encode(), wanted).fetchone()
    assert row is not None
    assert json.dumps(row["QUERY PLAN"]).count('"Relation Name"') == 1
    assert len(document(run("list", "--json"))) == 100

"""`./millrace connectors add`, `edit`, `pause`, `resume`, `reset`, `rm`: what people write becomes rows as meant."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from include.cli.connectors import app
from include.store import connectors
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

# add


def test_a_connector_without_options_is_what_plain_sql_makes(run: Run, db: DictConnection) -> None:
    """The defaults of the command line are those of the table."""
    run("add", "by cli", *SHOP)
    db.execute(
        """insert into connector (name, kind, config) values ('by sql', 'python', '{"function": "shop:items"}')"""
    )
    one, other = db.execute("select * from connector order by id").fetchall()
    own = {"id", "name", "revision", "schedule_revision", "schedule_changed_at", "created_at", "updated_at"}
    assert {name for name in one if one[name] != other[name]} <= own
    columns = db.execute("select column_name from information_schema.columns where table_name = 'connector'")
    kept = {"cursor", "head", "head_at", "pulled_at", "failures", "failing_since", "not_before", "last_error", "error"}
    assert {str(row["column_name"]) for row in columns} - own - kept - {"kind"} == set(connectors.DEFAULTS)


def test_every_option_of_add_ends_up_in_its_column(run: Run, db: DictConnection) -> None:
    """What is written on the command line is what is in the row."""
    db.execute("insert into budget (name, rate_limit) values ('shared', '5/second')")
    options = (
        "--every 90s --owner ada --dedupe content --rate-limit 10/Second --budget shared --timeout 5s --alert-after 2"
        " --inactive"
    )
    notify = {"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/"}}
    config = ["--config", '{"function": "shop:items"}', "--set", "arguments.page=2"]
    made = document(
        run("add", "shop", "python", *shlex.split(options), "--notify", json.dumps(notify), *config, "--json")
    )
    row = connectors.find(db, "shop")
    assert row["config"] == {"function": "shop:items", "arguments": {"page": 2}}
    assert (row["every"], row["owner"], row["dedupe"]) == (timedelta(seconds=90), "ada", "content")
    assert (row["rate_limit"], row["budget"], row["timeout"]) == ("10/second", "shared", timedelta(seconds=5))
    assert (row["alert_after"], row["notify"], row["is_active"]) == (2, notify, False)
    assert (made["id"], made["dag_id"], made["state"]) == (row["id"], f"connector_{row['id']}", "paused")


def test_add_says_what_was_added(run: Run, db: DictConnection) -> None:
    """The id, the kind and how often it pulls come back; the audit names the command line."""
    result = run("add", "shop", *SHOP, "--every", "5m")
    assert "added connector 1 (shop): python, every 5 min" in result.stdout
    assert "within seconds" in result.stderr
    assert db.execute("select via, table_name from audit").fetchall() == [{"via": "cli", "table_name": "connector"}]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a", "pyhton"], "unknown kind 'pyhton'; did you mean 'python'?"),
        (["a", "python"], "function: Field required"),
        (["a", *SHOP, "--set", "functoin=x"], "functoin: Extra inputs are not permitted"),
        (["a", *SHOP, "--every", "10s"], "at most once a minute"),
        (["a", *SHOP, "--every", "often"], "--every: 'often' is not a duration"),
        (["a", *SHOP, "--rate-limit", "10/s"], "--rate-limit: '10/s' is not a rate; write 10/second"),
        (["a", *SHOP, "--budget", "nobody's"], "there is no budget of this name"),
        (["a", *SHOP, "--alert-after", "0"], "alert_after: write 1 to 1000"),
        (["a", *SHOP, "--notify", "[]"], "--notify is not a JSON object"),
        (["a", *SHOP, "--notify", '{"kind": "webhook", "payload": {}}'], "url: Field required"),
        (["a", "python", "--config", "{", "--set", "a=1"], "--config is not JSON"),
        (["a", "python", "--config", "{}", "--config-file", "-"], "--config and --config-file are both given"),
        (["42", *SHOP], "would be read as an id"),
        ([" a ", *SHOP], "name: write 1 to 200 characters"),
    ],
)
def test_a_bad_connector_is_refused_before_there_is_a_row(
    refused: Refused, db: DictConnection, words: list[str], says: str
) -> None:
    """Whatever is wrong with a new connector, the message says so, and no row is left behind."""
    assert says in refused("add", *words)
    assert db.execute("select count(*) as rows from connector").fetchone() == {"rows": 0}


def test_wrong_usage_has_exit_code_2(environment: None) -> None:
    """What is not an option, not one of its choices, or a word too few is wrong usage and not an error of a row."""
    for words in (["list", "--nonsense"], ["add", "a", "python", "--dedupe", "maybe"], ["add", "a"], ["preview"]):
        assert CliRunner().invoke(app, words).exit_code == 2


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command has a line to copy."""
    help_text = CliRunner().invoke(app, [command, "--help"]).output
    assert f"Example: `./millrace connectors {command} " in " ".join(help_text.split())


# edit, pause, resume, reset, rm


def test_edit_changes_what_is_given_and_nothing_else(run: Run, db: DictConnection) -> None:
    """Every column that was not named is as before, the schedule's revision included."""
    run("add", "shop", *SHOP, "--every", "1h", "--rate-limit", "5/minute", "--set", "arguments.page=1")
    before = connectors.find(db, "shop")
    run("edit", "shop", "--set", "arguments.page=2", "--timeout", "5s")
    after = connectors.find(db, "shop")
    assert after["config"] == {"function": "shop:items", "arguments": {"page": 2}}
    assert {name for name in after if after[name] != before[name]} == {"config", "timeout", "revision", "updated_at"}
    run("edit", "shop", "--unset", "arguments", "--every", "none", "--rate-limit", "none")
    row = connectors.find(db, "shop")
    assert (row["config"], row["every"], row["rate_limit"]) == ({"function": "shop:items"}, None, None)


def test_edit_can_rename_and_replace(run: Run) -> None:
    """A new name, and a new kind with its whole config."""
    run("add", "shop", *SHOP)
    made = document(
        run("edit", "shop", "--name", "hook", "--kind", "webhook", "--config", '{"conn_id": "a"}', "--json")
    )
    assert (made["name"], made["kind"], made["config"]) == ("hook", "webhook", {"conn_id": "a"})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "nothing to change"),
        (["--kind", "webhook"], "function: Extra inputs are not permitted"),
        (["--every", "5s"], "at most once a minute"),
        (["--unset", "nothing"], "the config has no such key"),
        (["--name", "b"], "this owner has a connector with this name already"),
        (["--timeout", "2h"], "timeout: write more than 0s, and at most 1h"),
    ],
)
def test_a_bad_edit_changes_nothing(
    run: Run, refused: Refused, db: DictConnection, words: list[str], says: str
) -> None:
    """An edit that would leave a connector that cannot run is refused as a whole."""
    run("add", "a", *SHOP)
    run("add", "b", *SHOP)
    before = connectors.find(db, "a")
    assert says in refused("edit", "a", *words)
    assert connectors.find(db, "a") == before


def test_several_connectors_are_paused_and_resumed_or_none(run: Run, refused: Refused, db: DictConnection) -> None:
    """Names and ids may be mixed; if one of them is unknown, none changes; a pause may have an end."""
    for name in ("first", "second"):
        run("add", name, *SHOP)
    both = ("first", "second")
    assert refused("pause", "first", "secnod").endswith("did you mean 'second'?")
    assert [connectors.find(db, name)["is_active"] for name in both] == [True, True]
    run("pause", "first", str(connectors.find(db, "second")["id"]), "first")
    assert [connectors.find(db, name)["is_active"] for name in both] == [False, False]
    assert "is not in the future" in refused("pause", "first", "--until", "2020-01-01")
    run("resume", *both)
    run("pause", "second", "--until", "+2h")
    assert [row["state"] for row in document(run("list", "--json"))] == ["active", "paused"]


def test_reset_has_everything_pulled_again(run: Run, refused: Refused, db: DictConnection) -> None:
    """The cursor is forgotten, the records stay; nobody is asked only if --yes says so."""
    run("add", "shop", *SHOP)
    db.execute("""select append_records(1, '[{"key": "a", "payload": 1}]', true, '{"page": 7}')""")
    assert "say --yes" in refused("reset", "shop")
    assert connectors.find(db, "shop")["cursor"] == {"page": 7}
    assert "its next pull begins anew" in run("reset", "shop", "--yes").stdout
    row = connectors.find(db, "shop")
    assert (row["cursor"], row["head"]) == (None, 1)
    assert document(run("reset", "shop", "--yes", "--json"))["cursor"] is None


def test_rm_says_how_many_records_go(run: Run, refused: Refused, db: DictConnection) -> None:
    """One without records is removed at once; one with records only if a person says so, and they go with it."""
    run("add", "empty", *SHOP)
    run("add", "full", *SHOP)
    add_records(db, 2, 3)
    assert "removed connector 1 (empty) and its 0 records" in run("rm", "empty").stdout
    assert "remove 'full' and its 3 records; say --yes" in refused("rm", "full")
    assert document(run("rm", "full", "--yes", "--json")) == [{"id": 2, "name": "full", "records": 3}]
    assert db.execute("select count(*) as left from record").fetchone() == {"left": 0}


def test_rm_is_refused_while_workflows_read(run: Run, refused: Refused, db: DictConnection) -> None:
    """What somebody still reads stays, with all that was to go together with it."""
    run("add", "read", *SHOP)
    run("add", "other", *SHOP)
    add_records(db, 1, 3)
    add_workflow(db, 1)
    assert "workflows read this connector's records" in refused("rm", "read", "other", "--yes")
    assert [row["name"] for row in document(run("list", "--json"))] == ["read", "other"]
    assert len(document(run("records", "read", "--json"))) == 3


def test_an_unknown_connector_is_answered_with_those_that_were_meant(run: Run, refused: Refused) -> None:
    """A misspelt name gets the close ones; an id that nobody has, however long, gets the way to the list."""
    run("add", "web shop", *SHOP)
    assert refused("show", "web shpo").endswith("did you mean 'web shop'?")
    assert "`./millrace connectors list`" in refused("records", "something else entirely")
    assert "there is no connector with id" in refused("show", "9" * 40)


def test_every_statement_about_connectors_has_a_sentence() -> None:
    """A statement says in words what it does before it does it."""
    for name, text in queries("connectors").items():
        assert text.startswith("-- "), f"connectors.sql: {name} has no sentence"

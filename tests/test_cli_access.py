"""`./millrace access`: what owners may have, laid down from the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from include.cli.access import app
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing
from tests.test_store import add_job, one

__all__ = ["environment"]


@pytest.fixture
def run(environment: None) -> Run:
    return going_well(app)


@pytest.fixture
def refused(environment: None) -> Refused:
    return refusing(app)


def test_grant_and_revoke(run: Run, refused: Refused, db: DictConnection) -> None:
    """What is granted is listed; what is revoked is gone, and rows that use it are named."""
    assert run("grant", "ann", "key").stdout == "ann may now name key\n"
    assert run("grant", "ann", "key").stdout == "ann may already name key\n"
    assert run("grant", "*", "all").stdout == "everybody may now name all\n"
    audit = one(db, "select via, table_name from audit order by id limit 1")
    assert audit == {"via": "cli", "table_name": "connection_grant"}
    lines = run("list", "ann").stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [["owner", "connection"], ["*", "all"], ["ann", "key"]]
    assert document(run("list", "bob", "--json"))["grants"][0]["conn_id"] == "all"
    add_job(db, "signed", owner="ann", kind="webhook", payload='{"url": "http://h/", "conn_id": "key"}')
    said = run("revoke", "ann", "key").stdout
    assert said.startswith("ann may no longer name key\n")
    assert said.splitlines()[-1].split() == ["job", "1", "signed", "ann"]
    assert document(run("revoke", "*", "all", "--json"))["still_in_use"] == []
    assert "has no such grant" in refused("revoke", "ann", "key")


def test_quota_sets_what_is_given(run: Run, db: DictConnection) -> None:
    """Limits that are not given stay as they are, at first as everybody's; `none` is no limit."""
    shown = run("quota", "ann")
    assert shown.stdout.splitlines()[1].split() == ["ann", "1000", "6000", "1s", "16"]
    assert "everybody" in shown.stderr
    run("quota", "ann", "--rows", "5", "--min-interval", "10s")
    run("quota", "ann", "--mib", "0.5", "--fires-per-minute", "none")
    row = one(db, "select max_rows, max_fires_per_minute, min_interval::text, max_bytes from quota where owner = 'ann'")
    wanted = {"max_rows": 5, "max_fires_per_minute": None, "min_interval": "00:00:10", "max_bytes": 524_288}
    assert row == wanted
    assert run("list", "ann").stdout.splitlines()[-1].split() == ["ann", "5", "none", "10s", "0.5"]
    own = document(run("quota", "ann", "--json"))
    assert (own["is_own"], own["min_interval"]) == (True, 10.0)
    assert document(run("quota", "ann", "--none", "--json"))["max_rows"] == 1000
    assert one(db, "select count(*) as rows from quota") == {"rows": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["quota", "ann", "--rows", "many"], "--rows: 'many' is not a number"),
        (["quota", "ann", "--rows", "1.5"], "--rows: '1.5' is not a number"),
        (["quota", "ann", "--rows", "-1"], "--rows: write a number from 0"),
        (["quota", "ann", "--mib", "nan"], "--mib: write a number from 0"),
        (["quota", "ann", "--min-interval", "soon"], "--min-interval: 'soon' is not a duration"),
        (["quota", "ann", "--none", "--rows", "1"], "--none: it goes with no other option"),
        (["quota", "*", "--none"], "--none: it goes with no other option, and not with '*'"),
        (["quota", "", "--rows", "1"], "OWNER: write 1 to 200 characters"),
        (["grant", "ann", "x" * 251], "CONN_ID: write 1 to 250 characters"),
    ],
)
def test_what_makes_no_sense_is_refused(refused: Refused, db: DictConnection, words: list[str], says: str) -> None:
    """It is named with what to write, and nothing is stored."""
    assert says in refused(*words)
    assert one(db, "select (select count(*) from quota) + (select count(*) from connection_grant) as rows") == {
        "rows": 1
    }


@pytest.mark.parametrize("command", [command.name for command in app.registered_commands])
def test_every_command_shows_an_example(command: str) -> None:
    """`--help` of each command has a line to copy."""
    help_text = CliRunner().invoke(app, [command, "--help"]).output
    assert f"Example: `./millrace access {command} " in " ".join(help_text.split())

"""Rows from YAML files: what is written is what it says, and what is wrong is named where it is."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.cli.connectors_access import system_environment
from include.cli.connectors_options import FILE_COLUMNS
from include.cli.row_files import read_rows
from include.errors import ConfigError
from include.local.home import Home
from include.local.keys import Keys
from include.local.processes import Identity
from include.local.run import Run as LocalRun
from include.store import connectors
from include.store.connectors import DEFAULTS
from include.store.db import DictConnection
from tests.connector_commands import Refused, Run, document, environment, refused, run

__all__ = ["environment", "refused", "run"]

SHOP = """\
connector: shop
kind: python
every: 1m30s
config:
  function: shop:items
  arguments: {since: 2026-01-01, on: yes, pages: 3, ratio: 1.5, all: true, last: null, 200: [ok, 07]}
owner: ada
dedupe: content
rate_limit: 10/minute
timeout: 5s
alert_after: 2
notify:
  kind: webhook
  payload: {url: "http://127.0.0.1:9/"}
is_active: false
"""
HOOK = "name: hook\nkind: webhook\nconfig: {conn_id: hook}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.yaml"


def read(file: Path, text: str) -> list[dict[str, Any]]:
    file.write_text(text)
    return read_rows(str(file), "connector", FILE_COLUMNS)


def test_a_file_says_what_options_say(run: Run, db: DictConnection, file: Path) -> None:
    """Every column, with durations and rates as on the command line; texts stay texts, whatever they look like."""
    file.write_text(SHOP)
    [made] = document(run("add", "--file", str(file), "--json"))
    row = connectors.find(db, "shop")
    arguments = row["config"]["arguments"]
    assert arguments == {
        "since": "2026-01-01",
        "on": "yes",
        "pages": 3,
        "ratio": 1.5,
        "all": True,
        "last": None,
        "200": ["ok", "07"],
    }
    assert (row["every"], row["owner"], row["dedupe"]) == (timedelta(seconds=90), "ada", "content")
    assert (row["rate_limit"], row["timeout"], row["alert_after"]) == ("10/minute", timedelta(seconds=5), 2)
    assert (row["notify"]["kind"], row["is_active"], made["id"]) == ("webhook", False, row["id"])
    assert set(FILE_COLUMNS) == {*DEFAULTS, "name", "kind"} - {"paused_until"}


def test_the_connectors_of_a_file_are_added_or_none(run: Run, refused: Refused, db: DictConnection, file: Path) -> None:
    """Several documents are several rows, in one transaction; a pipe is a file, too."""
    file.write_text(f"{SHOP}---\n{HOOK}---\n{HOOK}")
    assert "this owner has a connector with this name already" in refused("add", "--file", str(file))
    assert "connector 'bad': unknown kind 'pyhton'" in refused(
        "add", "--file", "-", input=f"{SHOP}---\nconnector: bad\nkind: pyhton\n"
    )
    assert db.execute("select count(*) as rows from connector").fetchone() == {"rows": 0}
    result = run("add", "--file", "-", input=f"{SHOP}---\n---\n{HOOK}")
    assert [line.split(":")[0] for line in result.stdout.splitlines()][:1] == ["added connector 4 (shop)"]
    assert [row["name"] for row in connectors.page(db)] == ["shop", "hook"]


@pytest.mark.parametrize("words", [["shop"], ["shop", "python"], ["--every", "5m"]])
def test_a_file_stands_alone(refused: Refused, file: Path, words: list[str]) -> None:
    """Options beside a file would leave open which of the two counts."""
    file.write_text(HOOK)
    assert "--file says everything" in refused("add", *words, "--file", str(file))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("connector: a\nkind: [", ", line 2, column 8: not YAML: "),
        ("connector: a\nconfig:\n  x: 1\n  x: 2\n", ", line 4, column 3: not YAML: 'x' is there twice"),
        ("connector: a\nconfig: {[1]: 2}\n", "a key must be a text"),
        ("", " is empty; write a mapping, such as connector: NAME"),
        ("- connector: a\n", " is not a mapping; write connector: NAME"),
        ("kind: python\n", ": it has no name; write connector: NAME"),
        ("connector: a\nname: a\n", ": connector and name are both given"),
        ("connector: a\nevrey: 5s\n", ": there is no 'evrey'; did you mean 'every'?"),
        ("connector: a\nxyz: 5s\n", ": there is no 'xyz'; there are: name, kind, every"),
        ("connector: a\nevery: 30\n", ", every: '30' is not a duration; write 5s"),
        ("connector: 5\n", ", name: 5 is not a text; put it into quotes"),
        ("connector: a\nconfig: text\n", ", config: 'text' is not a mapping"),
        ("connector: a\nrate_limit: 5\n", ", rate_limit: 5 is not a rate; write 10/second"),
        ("connector: a\nalert_after: 1.5\n", ", alert_after: 1.5 is not a whole number"),
        ("connector: a\nis_active: yes\n", ", is_active: 'yes' is neither true nor false"),
        ("connector: a\ndedupe: never\n", ", dedupe: 'never' is none of key, content"),
        ("connector: a\nconfig: {x: !!timestamp 2026-01-01}\n", " holds what JSON cannot say"),
        ("connector: a\nconfig: &c {x: *c}\n", " holds what JSON cannot say"),
        ("connector: a\nconfig: {x: !!python/name:os.system }\n", ", line 2, column 13: not YAML: "),
        ("connector: a\n---\nconnector: b\nevrey: 5s\n", ", document 2: there is no 'evrey'"),
        ("connector: \x01\n", ": not YAML: "),
    ],
)
def test_what_is_wrong_with_a_file_is_named(file: Path, text: str, says: str) -> None:
    """The place, what is there, and what to write; never a traceback, and nothing is executed."""
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    assert str(caught.value).startswith(str(file))
    assert says in str(caught.value)


def test_a_connector_in_a_file_has_a_kind_and_a_name_that_is_no_id(refused: Refused, file: Path) -> None:
    """The two things that have no default; a name of digits alone would be read as an id."""
    file.write_text("connector: shop\n")
    assert "connector 'shop': it has no kind" in refused("add", "--file", str(file))
    file.write_text('connector: "42"\nkind: python\n')
    assert "would be read as an id" in refused("add", "--file", str(file))


def test_a_file_that_cannot_be_read_is_named(refused: Refused, file: Path) -> None:
    """One that is not there, and one that is no text."""
    assert f"--file {file} cannot be read: No such file" in refused("add", "--file", str(file))
    file.write_bytes(b"\xff\xfe\xfa")
    assert f"--file {file} is not UTF-8 text" in refused("preview", "--file", str(file))


def test_a_preview_has_the_environment_of_the_system_that_runs(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a system that `./millrace up` runs: its database, the key of its connections, and where its demo may call."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    home = Home(tmp_path / "home")
    home.make()
    me = Identity.of(os.getpid())
    assert me is not None
    keys = Keys.of(home)
    LocalRun(me, "http://127.0.0.1:8123", "admin", keys.password, "postgresql://h/d", demo=True).write(home)
    made = system_environment()
    assert (made["MILLRACE_DATABASE_URL"], made["AIRFLOW__API__PORT"]) == ("postgresql://h/d", "8123")
    assert made["AIRFLOW__CORE__FERNET_KEY"] == keys.fernet_key
    assert "127.0.0.0/8" in made["MILLRACE_EGRESS_ALLOW"]

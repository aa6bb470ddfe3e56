"""The examples: what is written as YAML and as SQL is the same, and the page about them lists all there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from include.cli import connectors, workflows
from include.local.home import PROJECT
from include.store.db import DictConnection
from tests.connector_commands import environment
from tests.recorded.replay import RECORDED

__all__ = ["environment"]

EXAMPLES = PROJECT / "examples"
NAMES = sorted(file.stem for file in EXAMPLES.glob("*.yaml"))
COMMANDS = {"connectors": connectors.app, "workflows": workflows.app}


def commands(file: Path) -> list[list[str]]:
    """The commands in the comments of an example, as a shell would take them apart; a backslash goes on."""
    comments = [line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#")]
    lines = "\n".join(comments).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("./millrace ")]


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    result = CliRunner().invoke(COMMANDS[words[0]], words[1:])
    assert result.exit_code == 0, (result.output, result.exception)


def settings(db: DictConnection) -> list[Any]:
    """What people have written into the rows."""
    rows = db.execute(
        "select settings_of(to_jsonb(c)) as row from connector c"
        " union all select settings_of(to_jsonb(w)) || jsonb_build_object('connector_id', c.name)"
        " from workflow w join connector c on c.id = w.connector_id"
    ).fetchall()
    volatile = ("id", "created_at", "started_at")
    return [{key: value for key, value in dict(row["row"]).items() if key not in volatile} for row in rows]  # type: ignore[call-overload]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", NAMES)
def test_yaml_and_sql_say_the_same(name: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands in the YAML file make the rows that the SQL file inserts, and both are taken."""
    preview, add, then = commands(EXAMPLES / f"{name}.yaml")
    file = f"examples/{name}.yaml"
    assert preview == ["connectors", "preview", "--file", file]
    assert add == ["connectors", "add", "--file", file]
    call(add, monkeypatch)
    call(then, monkeypatch)
    by_command = settings(db)
    db.execute("delete from workflow")
    db.execute("delete from connector")
    db.execute((EXAMPLES / f"{name}.sql").read_bytes())
    assert settings(db) == by_command
    assert len(by_command) == 2


def test_the_page_about_the_examples_lists_them_all() -> None:
    """Each has its line with the command that adds it, a twin in SQL and a recording; nothing else is listed."""
    page = (EXAMPLES / "README.md").read_text()
    assert re.findall(r"`\./millrace connectors add --file examples/([\w-]+)\.yaml`", page) == NAMES
    assert sorted(file.stem for file in EXAMPLES.glob("*.sql")) == NAMES
    assert [name for name in NAMES if not (RECORDED / name).is_dir()] == []
    links = re.findall(r"\]\(([^)#]+)\)", page)
    assert [link for link in links if not (EXAMPLES / link).exists()] == []

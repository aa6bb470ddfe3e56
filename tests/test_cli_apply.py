"""`./millrace export` and `./millrace apply`: files become rows and rows files, in the database and over the API."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from include.cli.apply import apply
from include.cli.export import export
from include.errors import MillraceError
from include.store.db import DictConnection
from tests.commands import environment
from tests.config_api import airflow_with_api

__all__ = ["environment"]

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.xdist_group("api")]

APP = typer.Typer()
APP.command()(export)
APP.command()(apply)
FILE = """\
version: 1
jobs:
  heartbeat:
    kind: ping
    every: 5m
    payload:
      url: https://example.com/
  nightly:
    name: Nightly report
    kind: webhook
    cron: 0 3 * * *
    payload:
      url: https://example.com/${PART}
"""


def call(*words: str, code: int = 0, input: str | None = None) -> Result:
    result = CliRunner().invoke(APP, words, input=input)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(*words: str, input: str | None = None) -> str:
    result = call(*words, code=1, input=input)
    assert isinstance(result.exception, MillraceError), result.exception
    return str(result.exception)


def names(db: DictConnection) -> list[str]:
    return [str(row["name"]) for row in db.execute("select name from job order by name")]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PART", "x")
    path = tmp_path / "millrace.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    with airflow_with_api(database_url) as found:
        yield found


def test_apply_shows_what_it_does_and_does_it(file: Path, db: DictConnection) -> None:
    """The plan comes first, with each value that changes; then it is done, by the user of this machine."""
    first = call("apply", "-f", str(file))
    assert "  + nightly (of admin)\n" in first.stdout
    assert '      payload: {"url": "https://example.com/x"}\n' in first.stdout
    assert first.stdout.endswith("2 to add, 0 to change, 0 to replace, 0 to delete, 0 unchanged\n")
    assert call("apply", "-f", str(file)).stdout == ("0 to add, 0 to change, 0 to replace, 0 to delete, 2 unchanged\n")
    file.write_text(FILE.replace("5m", "10m").replace("${PART}", "y"))
    changed = call("apply", "-f", str(file)).stdout.splitlines()
    assert changed[:5] == [
        "jobs",
        "  ~ heartbeat (of admin, id 3)",
        '      every: "5m" -> "10m"',
        "  ~ nightly (of admin, id 4)",
        '      payload.url: "https://example.com/x" -> "https://example.com/y"',
    ]
    row = db.execute("select via, actor <> '' as somebody from audit order by id desc limit 1").fetchone()
    assert row == {"via": "cli", "somebody": True}


def test_a_dry_run_changes_nothing_and_can_say_so_by_its_exit_code(file: Path, db: DictConnection) -> None:
    """With --exit-code a dry run ends with 2 if there is something to do, and with 0 if there is not."""
    call("apply", "-f", str(file), "--dry-run")
    call("apply", "-f", str(file), "--dry-run", "--exit-code", code=2)
    assert names(db) == []
    plan = json.loads(call("apply", "-f", str(file), "--json").stdout)
    assert (plan["add"], plan["applied"]) == (2, True)
    call("apply", "-f", str(file), "--dry-run", "--exit-code")


def test_nothing_is_deleted_unasked(file: Path, db: DictConnection) -> None:
    """What is in no file stays; with --prune it goes, if somebody says yes, which nobody can where there is no
    terminal."""
    call("apply", "-f", str(file))
    file.write_text("version: 1\n")
    assert "unchanged" in call("apply", "-f", str(file)).stdout
    assert "say --yes" in refused("apply", "-f", str(file), "--prune")
    assert names(db) == ["Nightly report", "heartbeat"]
    assert "  - nightly (of admin, id 4)\n" in call("apply", "-f", str(file), "--prune", "--yes").stdout
    assert names(db) == []


def on_terminal(answer: str, *words: str) -> tuple[int, str]:
    """Call `./millrace` in a terminal, and give this answer when it asks; its exit code, and what it wrote."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "include.cli", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 4096):
                asked = b"[y/N]" in said
                said += chunk
                if not asked and b"[y/N]" in said:
                    os.write(ours, answer.encode())
        except OSError:  # so a terminal says that nobody is at its other end any more
            os.close(ours)
    return process.returncode, said.decode()


@pytest.mark.e2e
def test_a_terminal_has_colours_and_is_asked_before_anything_is_deleted(file: Path, db: DictConnection) -> None:
    """What is to be deleted is red, and stays unless the answer is yes."""
    call("apply", "-f", str(file))
    file.write_text(FILE[: FILE.index("  nightly")])
    code, said = on_terminal("n\n", "apply", "-f", str(file), "--prune")
    assert (code, names(db)) == (1, ["Nightly report", "heartbeat"])
    assert "\x1b[31m  - nightly (of admin, id 4)\x1b[0m" in said
    assert "Delete 1 row? [y/N]:" in said
    assert "error: nothing was changed" in said
    code, said = on_terminal("y\n", "apply", "-f", str(file), "--prune")
    assert (code, names(db)) == (0, ["heartbeat"])


def test_an_error_names_the_file_and_the_line(file: Path, db: DictConnection) -> None:
    """Whoever finds it, what is wrong in a file is said with its line, and nothing is done."""
    file.write_text(FILE.replace("5m", "soon"))
    assert f"{file}:5: jobs.heartbeat.every: 'soon' is not a duration" in refused("apply", "-f", str(file))
    file.write_text(FILE.replace("kind: ping", "kind: pong"))
    assert f"{file}:4: jobs.heartbeat.kind: unknown kind 'pong'" in refused("apply", "-f", str(file))
    file.write_text(FILE.replace("      url: https://example.com/\n", "      body:\n        a: 1\n"))
    said = refused("apply", "-f", str(file))
    assert f"{file}:6: jobs.heartbeat.payload.url: Field required" in said
    assert f"{file}:7: jobs.heartbeat.payload.body: Extra inputs are not permitted" in said
    db.execute("insert into job (name, kind, external_id) values ('heartbeat', 'ping', 'other')")
    file.write_text(FILE)
    assert f"{file}:3: jobs.heartbeat: this owner has a job with this name" in refused("apply", "-f", str(file))
    assert names(db) == ["heartbeat"]


def test_input_that_is_no_text_is_said(db: DictConnection) -> None:
    """Bytes that are not UTF-8 are an error of one line, from standard input as well."""
    result = CliRunner().invoke(APP, ["apply", "-f", "-"], input=b"\xff")
    assert str(result.exception) == "standard input is not UTF-8 text"
    assert isinstance(result.exception, MillraceError)


def test_export_gives_back_what_was_applied(file: Path, tmp_path: Path, db: DictConnection) -> None:
    """What comes out of export goes into apply, to the same rows; --owner says whose documents without an owner are."""
    call("apply", "-f", str(file), "--owner", "alice")
    text = call("export").stdout
    assert text == FILE.replace("version: 1\n", "version: 1\nowner: alice\n").replace("${PART}", "x")
    assert call("export", "--only", "bob").stdout == "version: 1\n"
    assert "owner" not in call("export", "--owner", "alice").stdout
    call("export", "-f", str(tmp_path / "out.yaml"))
    assert (tmp_path / "out.yaml").read_text() == text
    assert "2 unchanged" in call("apply", "-f", "-", "--prune", input=text).stdout


def test_the_same_over_the_api(file: Path, url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a URL and a token, rows are those of whoever logs in, and the references are put in here."""
    on = ("--url", url, "--token", "alice")
    assert "2 to add" in call("apply", "-f", str(file), *on).stdout
    assert [dict(row) for row in db.execute("select distinct owner from job")] == [{"owner": "alice"}]
    assert [dict(row) for row in db.execute("select distinct actor, via from audit")] == [
        {"actor": "alice", "via": "api"}
    ]
    text = call("export", *on).stdout
    assert "owner" not in text
    assert "owner: alice" in call("export", "--url", url, "--token", "admin").stdout
    assert "2 unchanged" in call("apply", "-f", "-", "--prune", *on, input=text).stdout
    monkeypatch.setenv("MILLRACE_URL", url)
    monkeypatch.setenv("MILLRACE_TOKEN", "alice")
    assert call("export").stdout == text
    file.write_text(FILE.replace("5m", "soon"))
    assert f"{file}:5: jobs.heartbeat.every: 'soon' is not a duration" in refused("apply", "-f", str(file))
    file.write_text(FILE + "budgets: {}\n")
    assert f"{file}:14: budgets: budgets are for admins" in refused("apply", "-f", str(file))
    file.write_text(FILE.replace("kind: ping", "kind: pong") + "---\nversion: 1\nowner: bob\n")
    assert f"{file}:16: owner: rows of your own only" in refused("apply", "-f", str(file))


def test_a_login_over_the_api_that_does_not_work_is_said(file: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong token, a missing one, a wrong address and a name with its password: each has its answer."""
    assert "log in first" in refused("export", "--url", url, "--token", "nobody")
    assert "set MILLRACE_TOKEN, or MILLRACE_USER and MILLRACE_PASSWORD" in refused("export", "--url", url)
    assert "is not Millrace's address" in refused("export", "--url", url + "/nowhere", "--token", "alice")
    monkeypatch.setenv("MILLRACE_USER", "alice")
    monkeypatch.setenv("MILLRACE_PASSWORD", "secret")
    assert "version: 1" in call("export", "--url", url).stdout


def test_the_schema_is_printed_without_a_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """`export --schema` needs no database."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    printed: dict[str, Any] = json.loads(call("export", "--schema").stdout)
    assert printed["title"] == "A configuration of Millrace"

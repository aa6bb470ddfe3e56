"""All commands: where the database is, and how things are printed."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from include.cli.database import open_database
from include.cli.jobs import app
from include.cli.output import print_table, status_cell
from include.errors import RetryableError
from include.settings import settings
from include.store.db import DictConnection
from tests.job_commands import Refused, Run, environment, refused, run

__all__ = ["environment", "refused", "run"]


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> io.StringIO:
    """A terminal of that width in place of stdout."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def test_without_a_database_the_remedy_is_named(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No setting and no running system: the message says how to get either."""
    monkeypatch.delenv("MILLRACE_DATABASE_URL")
    assert "`./millrace up`, or set MILLRACE_DATABASE_URL" in refused("list")


def test_a_database_that_is_away_is_one_line(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot be reached is an error to try again later."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    settings.cache_clear()
    result = CliRunner().invoke(app, ["list"])
    assert isinstance(result.exception, RetryableError)


def test_a_database_that_goes_away_is_a_retryable_error(run: Run, db: DictConnection) -> None:
    """A connection that is cut in the middle of a command is reported as lost, in one line."""

    def cut_and_ask() -> None:
        with open_database() as mine:
            row = mine.execute("select pg_backend_pid() as pid").fetchone()
            assert row is not None
            db.execute("select pg_terminate_backend(%s)", (row["pid"],))
            mine.execute("select 1")

    with pytest.raises(RetryableError, match=r"^the database was lost: [^\n]+$"):
        cut_and_ask()


@pytest.mark.fresh_database
def test_a_database_without_our_tables_is_named(
    refused: Refused, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database gets the way to fill it, not an error of SQL."""
    db.execute("drop schema millrace cascade")
    assert "the database has no tables of Millrace" in refused("list")


def test_a_terminal_gets_colours_and_every_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a narrow terminal a long error is folded and never cut; markup in it is only text."""
    screen = terminal(monkeypatch, columns=30)
    print_table(("what", "status"), [["n" * 60 + "[red]", status_cell("failed")]])
    text = screen.getvalue()
    assert text.count("n") >= 60
    assert "red" in text
    assert "\x1b[31m" in text


def test_one_long_name_leaves_the_others_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal it is cut, and every row stays one line; into a pipe goes all of it."""
    rows = [["1", "n" * 200, "active"], ["2", "short", "active"]]
    print_table(("id", "name", "state"), rows)
    assert "n" * 200 in capsys.readouterr().out
    screen = terminal(monkeypatch, columns=100)
    print_table(("id", "name", "state"), rows)
    _, first, second = screen.getvalue().splitlines()
    assert "n" * 59 + "…" in first
    assert "active" in first
    assert "short" in second


def test_a_name_cannot_steer_the_terminal(run: Run, db: DictConnection) -> None:
    """Control characters in what is shown are replaced, and every row stays one line."""
    db.execute("insert into job (name, kind) values (%s, 'ping')", ("a\x1b[2Jb\nc",))
    out = run("list").stdout
    assert "\x1b" not in out
    assert len(out.splitlines()) == 2

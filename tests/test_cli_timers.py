"""`./millrace timers`: timers are added, seen, and cancelled in time."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from include.cli.timers import app
from include.store.db import DictConnection
from tests.commands import Refused, Run, document, environment, going_well, refusing
from tests.timer_rows import add_timer, timer

__all__ = ["environment"]

URL = "http://127.0.0.1:9/hook?token=secret"
LATER = datetime(2100, 1, 1, tzinfo=timezone.utc)


@pytest.fixture
def run(environment: None) -> Run:
    """Call `timers` with these words; it must go well."""
    return going_well(app)


@pytest.fixture
def refused(environment: None) -> Refused:
    """Call `timers` with these words; it must end with exit code 1 and an error of ours, which is returned."""
    return refusing(app)


def add_failed(db: DictConnection, **columns: Any) -> int:
    """A timer that was sent 250 ms late, answered with 503, and given up."""
    timer_id = add_timer(db, URL, due_at=datetime(2026, 1, 1, 12, tzinfo=timezone.utc), **columns)
    entry = {"attempt": 1, "at": "2026-01-01T12:00:00.250000+00:00", "ms": 120.4, "code": 503, "error": "POST h 503"}
    db.execute(
        "update timer set status = 'failed', attempt = 1, attempts = %s::jsonb, fired_at = %s, finished_at = now(),"
        " error = 'POST h 503' where id = %s",
        (json.dumps([entry]), entry["at"], timer_id),
    )
    return timer_id


# -- add --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (("--in", "1h30m"), 5400),
        (("--in", "250ms"), 0.25),
        (("--hours", "1", "--minutes", "2", "--seconds", "3"), 3723),
        (("--minutes", "5"), 300),
    ],
)
def test_a_timer_is_due_so_long_from_now(run: Run, db: DictConnection, words: tuple[str, ...], seconds: float) -> None:
    """The delay counts from the call on, and the new id and the instant are printed."""
    before = datetime.now(timezone.utc)
    said = run("add", URL, *words).stdout
    row = timer(db, 1)
    assert before <= row["due_at"] - timedelta(seconds=seconds) <= datetime.now(timezone.utc)
    assert said.startswith(f"added timer 1: POST at {row['due_at']:%Y-%m-%d %H:%M:%S}")


def test_every_option_becomes_a_column(run: Run, db: DictConnection) -> None:
    """What is said is in the row; the document has it, too."""
    words = ["--at", "2100-01-01T01:00:00+01:00", "--method", "PUT", "--header", "x-a=1", "--header", "x-b=c=d"]
    words += ["--body", '{"order": 17}', "--owner", "ann@example.com", "--conn-id", "keys", "--retries", "5"]
    words += ["--retry-delay", "10s", "--retry-backoff", "3", "--timeout", "5s", "--delivery", "at_most_once"]
    shown = document(run("add", URL, *words, "--json"))
    row = timer(db, shown["id"])
    assert (row["due_at"], row["method"], row["owner"], row["conn_id"]) == (LATER, "PUT", "ann@example.com", "keys")
    assert (row["headers"], row["body"]) == ({"x-a": "1", "x-b": "c=d"}, {"order": 17})
    assert (row["retries"], row["retry_delay"], row["retry_backoff"]) == (5, timedelta(seconds=10), 3)
    assert (row["timeout"], row["delivery"]) == (timedelta(seconds=5), "at_most_once")
    assert (shown["due_at"], shown["status"], shown["timeout"]) == ("2100-01-01T00:00:00+00:00", "pending", 5)
    assert shown["time_left"] > 0
    assert "claim" not in shown


@pytest.mark.parametrize(
    ("text", "body"), [('["a"]', ["a"]), ("as it is", "as it is"), ("17", "17"), ('{"a": ', '{"a": '), ("", "")]
)
def test_a_body_is_json_or_else_a_text(run: Run, db: DictConnection, tmp_path: Path, text: str, body: object) -> None:
    """Objects and lists are JSON, everything else is sent as it is; from the command line, a file or standard input."""
    (tmp_path / "body").write_text(text)
    run("add", URL, "--in", "1h", "--body", text)
    run("add", URL, "--in", "1h", "--body-file", str(tmp_path / "body"))
    run("add", URL, "--in", "1h", "--body-file", "-", input=text)
    assert [timer(db, number)["body"] for number in (1, 2, 3)] == [body] * 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((URL,), "write when it is due"),
        ((URL, "--in", "1h", "--at", "+1h"), "one of them"),
        ((URL, "--in", "1h", "--seconds", "5"), "one of them"),
        ((URL, "--in", "soon"), "--in: 'soon' is not a duration"),
        ((URL, "--in", "0"), "--in: not in the future"),
        ((URL, "--in", "99999999d"), "longer than any duration"),
        ((URL, "--hours", "0"), "--hours, --minutes and --seconds: not in the future"),
        ((URL, "--hours", "2147483647"), "due_at"),
        ((URL, "--at", "2020-01-01"), "--at: not in the future"),
        ((URL, "--at", "9999-01-01"), "due_at"),
        (("ftp://example.com", "--in", "1h"), "url: .*starts with http"),
        (("http://me:word@example.com/", "--in", "1h"), "url: .*without user and password"),
        ((URL, "--in", "1h", "--header", "x"), "--header 'x': write NAME=VALUE"),
        ((URL, "--in", "1h", "--header", "host=a"), "leave out host"),
        ((URL, "--in", "1h", "--header", "webhook-id=a"), "leave out webhook-id"),
        ((URL, "--in", "1h", "--body", "{}", "--body-file", "-"), "keep one of them"),
        ((URL, "--in", "1h", "--body-file", "/nowhere"), "--body-file /nowhere cannot be read"),
        ((URL, "--in", "1h", "--retries", "101"), "retries: write 0 to 100"),
        ((URL, "--in", "1h", "--timeout", "2h"), "timeout: write more than 0s, and at most 1h"),
    ],
)
def test_what_could_not_be_sent_is_refused(
    refused: Refused, db: DictConnection, words: tuple[str, ...], says: str
) -> None:
    """In words that say what to write; nothing is stored, and nothing secret is repeated."""
    said = refused("add", *words)
    assert re.search(says, said), said
    assert "secret" not in said
    assert db.execute("select from timer").fetchall() == []


# -- list and show ----------------------------------------------------------------------------------------------------


def test_list_shows_what_is_to_come(run: Run, db: DictConnection) -> None:
    """By default what waits or is being sent, with the time left and without the URL's path; in all, how many."""
    add_timer(db, URL, due_at=LATER, owner="ann")
    add_timer(db, URL, due_at=datetime(2026, 1, 1, tzinfo=timezone.utc))
    add_failed(db)
    result = run("list")
    header, first, second = result.stdout.splitlines()
    assert header.split()[:3] == ["id", "owner", "status"]
    assert first.split()[:5] == ["1", "ann", "pending", "2100-01-01", "00:00:00"]
    assert second.split()[:6] == ["2", "admin", "pending", "2026-01-01", "00:00:00", "0s"]
    assert "secret" not in result.output
    assert "in all: 1 failed, 2 pending" in result.stderr


def test_list_filters_and_pages(run: Run, db: DictConnection) -> None:
    """Only those that were asked for, in the order of their ids; the next page begins after an id."""
    for owner in ("ann", "ann", "bob"):
        add_timer(db, URL, due_at=LATER, owner=owner)
    add_failed(db, owner="bob")
    for words, ids in (
        ([], [1, 2, 3]),
        (["--status", "all"], [1, 2, 3, 4]),
        (["--status", "failed"], [4]),
        (["--owner", "bob", "--status", "all"], [3, 4]),
        (["--limit", "2"], [1, 2]),
        (["--limit", "2", "--after", "2"], [3]),
        (["-n", "0"], [1, 2, 3]),
        (["--status", "cancelled"], []),
    ):
        result = run("list", "--json", *words)
        assert [row["id"] for row in document(result)] == ids, words
        assert ("there are more: --after 2" in result.stderr) == (words == ["--limit", "2"]), words
    assert "no timers that are fired" in run("list", "--status", "fired").stderr


def test_list_says_how_to_begin(run: Run) -> None:
    """Where there are none, the next command is named."""
    assert "`./millrace timers add --help`" in run("list").stderr


def test_show_tells_everything(run: Run, db: DictConnection) -> None:
    """The time left or what became of it, the call, and every attempt."""
    add_timer(db, URL, due_at=LATER, body='{"order": 17}', headers='{"x-a": "1"}')
    add_failed(db)
    waiting, failed = run("show", "1").stdout, run("show", "2").stdout
    assert "due        2100-01-01 00:00:00 UTC" in waiting
    assert "time left " in waiting
    assert "order" in waiting
    assert "x-a: 1" in waiting
    assert "time left" not in failed
    assert "status     failed" in failed
    *_, header, attempt = failed.splitlines()
    assert header.split() == ["attempt", "at", "(UTC)", "took", "code", "error", "request"]
    assert attempt.split() == ["1", "2026-01-01", "12:00:00.250", "0.12s", "503", "POST", "h", "503"]
    shown = document(run("show", "2", "--json"))
    assert (shown["lateness"], shown["time_left"], len(shown["attempts"])) == (0.25, None, 1)


def test_an_unknown_timer_is_said_to_be_unknown(refused: Refused, db: DictConnection) -> None:
    """No id of a timer: nothing is shown, and of several nothing is cancelled."""
    add_timer(db, URL, due_at=LATER)
    assert "there is no timer with id 7" in refused("show", "7")
    assert "there is no timer with id 7 or 99999999999999999999" in refused("cancel", "1", "7", "9" * 20)
    assert timer(db, 1)["status"] == "pending"


# -- cancel -----------------------------------------------------------------------------------------------------------


def test_cancel_says_which_were_cancelled(run: Run, db: DictConnection) -> None:
    """Those that wait are cancelled; one that had been is no error."""
    add_timer(db, URL, due_at=LATER)
    add_timer(db, URL, due_at=LATER)
    assert run("cancel", "1").stdout == "cancelled timer 1\n"
    again = run("cancel", "1", "2")
    assert (again.stdout, again.stderr) == ("cancelled timer 2\n", "timer 1 had been cancelled already\n")
    assert document(run("cancel", "2", "--json")) == {"cancelled": [], "too_late": []}
    assert timer(db, 2)["finished_at"] is not None


def test_too_late_is_exit_code_1(environment: None, db: DictConnection) -> None:
    """What is being sent, or was, cannot be cancelled: that is said, and the others are cancelled all the same."""
    add_timer(db, URL, due_at=LATER)
    add_failed(db)
    result = CliRunner().invoke(app, ["cancel", "1", "2"])
    assert (result.exit_code, result.stdout) == (1, "cancelled timer 1\n")
    assert result.stderr == "too late for timer 2: it is failed\n"
    result = CliRunner().invoke(app, ["cancel", "2", "--json"])
    assert (result.exit_code, document(result)) == (1, {"cancelled": [], "too_late": [{"id": 2, "status": "failed"}]})

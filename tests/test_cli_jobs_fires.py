"""`./millrace jobs executions` and `next`: what became of a job's fires, and which are to come."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from include.store import jobs
from include.store.db import DictConnection
from tests.job_commands import URL, Refused, Run, add_execution, document, environment, refused, run

__all__ = ["environment", "refused", "run"]


def test_executions_are_shown_newest_first_with_all_attempts(run: Run, db: DictConnection) -> None:
    """The table has one line per execution; JSON has the attempts, and lateness and duration in seconds."""
    for name in ("a", "b"):
        run("add", name, "ping", "--set", URL)
    a, b = (jobs.find(db, name)["id"] for name in "ab")
    now = datetime.now(timezone.utc)
    add_execution(db, a, now - timedelta(minutes=3))
    add_execution(db, b, now - timedelta(minutes=2), "failed", error="HTTP 500: oh", code=500)
    add_execution(db, a, now - timedelta(hours=2))
    found = document(run("executions", "--json"))
    assert [(row["job"], row["job_id"], row["status"]) for row in found] == [("b", b, "failed"), ("a", a, "success")]
    assert (found[0]["lateness"], found[0]["duration"], found[0]["code"]) == (0.08, 0.12, 500)
    assert [attempt["error"] for attempt in found[0]["attempts"]] == ["HTTP 500: oh"]
    header, line = run("executions", "b").stdout.splitlines()
    assert header.split()[0] == "job"
    assert "80" in line
    assert "0.12s" in line
    assert "HTTP 500: oh" in line


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["a"], 4),
        (["a", "--since", "1h"], 3),
        (["a", "--status", "failed"], 1),
        (["a", "-n", "2"], 2),
        (["a", "--since", "2020-01-01"], 4),
        (["--since", "1d"], 4),
        (["--since", "1d", "--status", "failed"], 1),
        (["--status", "missed"], 0),
        ([], 3),
    ],
)
def test_executions_are_chosen_by_job_status_and_time(
    run: Run, db: DictConnection, words: list[str], count: int
) -> None:
    """Of one job, all there are; of all jobs, those of the last hour, unless told otherwise."""
    run("add", "a", "ping", "--set", URL)
    a = jobs.find(db, "a")["id"]
    now = datetime.now(timezone.utc)
    for minutes, status in ((1, "success"), (2, "failed"), (3, "success"), (90, "success")):
        add_execution(db, a, now - timedelta(minutes=minutes), status)
    assert len(document(run("executions", *words, "--json"))) == count


def test_next_marks_what_the_clocks_do(run: Run, db: DictConnection) -> None:
    """Fires are shown in UTC and on the row's clock; those that a change of the clocks moved or doubled say so."""
    run("add", "a", "ping", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--set", URL, "--jitter", "1m")
    db.execute("update job set starts_at = '2031-03-29'")  # the night before the clocks go forward
    fires = document(run("next", "a", "-n", "3", "--json"))
    assert [fire["local"] for fire in fires] == [
        "2031-03-29T02:30:00+01:00",
        "2031-03-30T03:00:00+02:00",
        "2031-03-31T02:30:00+02:00",
    ]
    assert fires[0]["scheduled_for"] == "2031-03-29T01:30:00+00:00"
    assert [bool(fire["oddity"]) for fire in fires] == [False, True, False]
    for fire in fires:
        due, fires_at = (datetime.fromisoformat(fire[name]) for name in ("scheduled_for", "fires_at"))
        assert (fires_at - due).total_seconds() == pytest.approx(fire["jitter"])
        assert 0 <= fire["jitter"] < 60
    odd = fires[1]["oddity"]
    lines = run("next", "a", "-n", "3").stdout.splitlines()
    assert "Europe/Berlin" in lines[0]
    assert "2031-03-30 03:00:00 CEST" in lines[2]
    assert odd in lines[2]


def test_next_on_utc_has_one_clock(run: Run) -> None:
    """A job whose own clock is UTC is shown its instants once."""
    run("add", "a", "ping", "--set", URL, "--cron", "0 3 * * *", "--timezone", "UTC")
    header, first = run("next", "a", "-n", "1").stdout.splitlines()
    assert header.split() == ["UTC", "jitter", "note"]
    assert first.count("03:00") == 1


def test_next_says_when_there_is_nothing_to_come(run: Run, db: DictConnection) -> None:
    """A job by hand, or one that is paused, says so instead of leaving people to wonder."""
    run("add", "hand", "ping", "--set", URL)
    assert "no further occurrences: by hand" in run("next", "hand").stderr
    run("add", "off", "ping", "--every", "1h", "--set", URL, "--inactive")
    result = run("next", "off", "-n", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "is paused" in result.stderr


def test_next_of_a_bad_row_says_what_is_wrong(refused: Refused, db: DictConnection) -> None:
    """A schedule that cannot be read is an error with its reason, not an empty table."""
    db.execute("insert into job (name, kind, cron) values ('bad', 'ping', '99 * * * *')")
    assert "the minute cannot be '99'" in refused("next", "bad")

"""`./millrace jobs list` and `show`: what people read is so."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store import jobs
from include.store.db import DictConnection, queries
from tests.job_commands import URL, Run, add_execution, document, environment, refused, run

__all__ = ["environment", "refused", "run"]


def test_list_shows_schedule_state_outcome_and_next_fire(run: Run, db: DictConnection) -> None:
    """One line per job, with its newest execution, and a null where there is nothing."""
    run("add", "a", "ping", "--cron", "0 0 1 1 *", "--set", URL)
    run("add", "b", "webhook", "--set", URL, "--owner", "ada", "--inactive")
    a, b = (jobs.find(db, name)["id"] for name in "ab")
    due = datetime.now(timezone.utc).replace(microsecond=0)
    add_execution(db, a, due - timedelta(minutes=1))
    add_execution(db, a, due, "failed", error="HTTP 500")
    one, other = document(run("list", "--json"))
    assert (one["id"], one["schedule"], one["state"]) == (a, "cron 0 0 1 1 * (UTC)", "active")
    assert one["last"] == {"scheduled_for": due.isoformat(), "status": "failed", "reason": None, "error": "HTTP 500"}
    assert one["next"].endswith("-01-01T00:00:00+00:00")
    assert (other["id"], other["state"], other["last"], other["next"]) == (b, "paused", None, None)
    header, first, second = run("list").stdout.splitlines()
    assert header.split()[:4] == ["id", "name", "kind", "schedule"]
    assert "failed" in first
    assert "by hand" in second


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
        (["--failing", "--owner", "ada"], []),
    ],
)
def test_list_filters(run: Run, db: DictConnection, words: list[str], names: list[str]) -> None:
    """Only the jobs that were asked for."""
    run("add", "a", "ping", "--set", URL)
    run("add", "b", "webhook", "--set", URL, "--owner", "ada", "--inactive")
    run("add", "c", "ping", "--set", URL)
    add_execution(db, jobs.find(db, "a")["id"], datetime.now(timezone.utc), "failed", error="HTTP 500")
    db.execute("update job set error = 'bad' where name = 'c'")
    result = run("list", *words, "--json")
    assert [job["name"] for job in document(result)] == names
    assert ("there are more" in result.stderr) == (words == ["--limit", "1"])


def test_a_list_of_many_is_cut_and_says_how_to_go_on(run: Run, db: DictConnection) -> None:
    """A page has 100 jobs unless told otherwise, nothing in it is cut off, and following the hint shows all once."""
    db.execute(
        "insert into job (name, kind, every) select rpad('job ' || n, 150, '.'), 'ping', '1 minute'"
        " from generate_series(1, 250) as n"
    )
    seen: list[int] = []
    after = "0"
    for size in (100, 100, 50):
        result = run("list", "--after", after)
        lines = result.stdout.splitlines()[1:]
        assert len(lines) == size
        assert all("." * 100 in line for line in lines)
        seen += [int(line.split()[0]) for line in lines]
        after = str(seen[-1])
        assert (f"--after {after}" in result.stderr) == (size == 100)
    assert seen == sorted(set(seen))
    assert len(seen) == 250


def test_list_asks_the_ledger_only_about_the_jobs_of_its_page(db: DictConnection) -> None:
    """However many jobs and executions there are, a page looks up the newest execution of its own jobs."""
    db.execute("insert into job (name, kind) select 'job ' || n, 'ping' from generate_series(1, 2000) as n")
    db.execute(
        "insert into execution (job_id, scheduled_for, status, finished_at) select j.id, now() - n * interval '1 hour',"
        " 'success', now() from job j, generate_series(1, 20) as n"
    )
    db.execute("analyze job, execution")
    wanted = {"kind": None, "owner": None, "paused": None, "failing": False, "after": 0, "limit": 101}
    explain = "explain (analyze, format json) " + queries("jobs")["list_jobs"]
    row = db.execute(explain.encode(), wanted).fetchone()
    assert row is not None
    plan: Any = row["QUERY PLAN"]

    def most_loops(node: dict[str, Any]) -> int:
        return max([node["Actual Loops"], *(most_loops(child) for child in node.get("Plans", []))])

    assert most_loops(plan[0]["Plan"]) <= 101


def test_show_tells_everything(run: Run, db: DictConnection) -> None:
    """Columns, payload, error, fires and executions of one job; JSON has every column by its name."""
    run(
        "add",
        "a",
        "ping",
        "--cron",
        "0 3 * * *",
        "--timezone",
        "Europe/Berlin",
        "--set",
        URL,
        "--ends-at",
        "2090-01-01",
    )
    row = jobs.find(db, "a")
    due = datetime.now(timezone.utc)
    for minutes in range(7):
        add_execution(db, row["id"], due - timedelta(minutes=minutes))
    db.execute("update job set error = 'its DAG is broken'")
    text = run("show", "a").stdout
    for part in (
        "a",
        "Europe/Berlin",
        '"url": "http://127.0.0.1:9/"',
        "its DAG is broken",
        "before 2089-12-31 23:00:00",
    ):
        assert part in text
    shown = document(run("show", str(row["id"]), "--json"))
    assert set(row) - {"schedule_revision", "schedule_changed_at"} <= set(shown)
    assert (shown["state"], shown["timeout"], shown["max_lateness"]) == ("error", 30.0, 3600.0)
    assert (len(shown["next"]), len(shown["executions"])) == (5, 5)


def test_show_and_list_survive_a_row_that_makes_no_sense(run: Run, db: DictConnection) -> None:
    """A bad row that was written by SQL is shown with what is wrong, before anybody else has noticed."""
    db.execute("insert into job (name, kind, cron) values ('bad', 'nonsense', '0 0 30 2 *')")
    assert [job["next"] for job in document(run("list", "--json"))] == [None]
    shown = document(run("show", "bad", "--json"))
    assert shown["next"] == []
    assert shown["error"]
    assert "error" in run("show", "bad").stdout

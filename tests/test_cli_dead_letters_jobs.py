"""`./millrace dead-letters` of jobs and timers: one list with those of workflows, and commands that take any mix."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from include.shifts.execution import webhook_id
from include.store import workflows
from include.store.db import DictConnection, queries
from tests.job_commands import add_execution
from tests.test_store import add_job
from tests.workflow_commands import (
    URL,
    Refused,
    Run,
    add_records,
    bury,
    document,
    environment,
    issues,
    one,
    refused,
    run,
)

__all__ = ["environment", "issues", "refused", "run"]

HOUR = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(timezone.utc)


def add_timer(db: DictConnection, ago: timedelta = HOUR, status: str = "failed", **columns: Any) -> str:
    """A timer that failed so long ago, as a pump leaves it after one attempt; its id as a dead letter."""
    given = {
        "url": "http://127.0.0.1:9/hook?token=hush-hush",
        "headers": '{"x-api-key": "a-secret", "x-order": "17"}',
        "body": '{"order": 17}',
        "due_at": now() - ago,
        "status": status,
        "attempt": 1,
        "attempts": json.dumps([{"attempt": 1, "code": 500, "error": "HTTP 500", "excerpt": "out of order"}]),
        "finished_at": now() - ago if status in ("failed", "fired") else None,
        "error": "HTTP 500" if status == "failed" else None,
        **columns,
    }
    names, marks = ", ".join(given), ", ".join(f"%({name})s" for name in given)
    row = db.execute(f"insert into timer ({names}) values ({marks}) returning id", given).fetchone()
    assert row is not None
    return f"timer_{row['id']}"


def die(db: DictConnection, job_id: int, ago: timedelta = HOUR) -> str:
    """A failed execution that was due so long ago; its id as a dead letter."""
    due = now() - ago
    add_execution(db, job_id, due, "failed", code=503, error="HTTP 503", excerpt="overloaded")
    return webhook_id(job_id, due)


def ids(result: Any) -> list[Any]:
    return [row["id"] for row in document(result)]


@pytest.fixture
def job(db: DictConnection) -> int:
    """Ada's job `nightly`; its id."""
    payload = '{"url": "http://127.0.0.1:9/?key=hush", "headers": {"authorization": "Bearer abc"}}'
    return add_job(db, "nightly", owner="ada@example.com", kind="webhook", payload=payload)


@pytest.fixture
def letters(run: Run, db: DictConnection, issues: int, job: int) -> list[Any]:
    """Of each source one, the newest first: a record, an execution, a timer; their ids."""
    add_records(db, issues, None)
    run(f"workflows add crm webhook --connector issues {URL} --owner ada@example.com")
    record = bury(db, workflows.find(db, "crm")["id"], 1)
    return [record, die(db, job), add_timer(db, 2 * HOUR)]


def test_one_list_of_three_sources(run: Run, db: DictConnection, job: int, letters: list[Any]) -> None:
    """All dead letters in one order, the newest first; the id of an execution is the webhook-id of its calls."""
    assert ids(run("dead-letters list --json")) == letters
    lines = [line.split() for line in run("dead-letters list").stdout.splitlines()]
    assert [line[1] for line in lines] == ["of", "crm", "nightly", "timer"]
    assert lines[2][2:5] == ["ada@example.com", "webhook", "dead"]
    assert lines[3][3:6] == ["POST", "127.0.0.1", "dead"]
    assert "hush" not in run("dead-letters list --json").stdout


FILTERS = (
    ("--job nightly", [1]),
    ("--workflow crm", [0]),
    ("--timers", [2]),
    ("--owner ada@example.com", [0, 1]),
    ("--since 90m", [0, 1]),
    ("-n 2", [0, 1]),
    ("-n 0 --status dead", [0, 1, 2]),
    ("--status redriving", []),
    ("--status all", [0, 1, 2]),
)


def test_list_filters(run: Run, letters: list[Any]) -> None:
    """Only those that were asked for, whichever source they are from."""
    for options, places in FILTERS:
        assert ids(run(f"dead-letters list {options} --json")) == [letters[place] for place in places], options


def test_what_became_of_them(run: Run, db: DictConnection, job: int) -> None:
    """Being redriven, redriven, discarded: each is listed under its status, and what never was dead under none."""
    made = {
        name: die(db, job, number * HOUR) for number, name in enumerate(("dead", "asked", "again", "good", "off"), 1)
    }
    add_execution(db, job, now() - 10 * HOUR, "success")
    for name, change in (
        ("asked", "redrive_at = now()"),
        ("again", "status = 'running', finished_at = null, base_attempt = 1, redrive_at = now()"),
        ("good", "status = 'success', base_attempt = 1"),
        ("off", "discarded_at = now()"),
    ):
        [_, job_id, microseconds] = made[name].split("_")
        db.execute(
            f"update execution set {change} where job_id = %s and extract(epoch from scheduled_for) * 1000000 = %s",
            (job_id, microseconds),
        )
    timers = {
        "redriving": add_timer(db, 20 * HOUR, "pending", base_attempt=1),
        "redriven": add_timer(db, 21 * HOUR, "fired", base_attempt=1),
        "discarded": add_timer(db, 22 * HOUR, discarded_at=now()),
    }
    add_timer(db, 23 * HOUR, "fired")
    for status, expected in (
        ("dead", [made["dead"]]),
        ("redriving", [made["asked"], made["again"], timers["redriving"]]),
        ("redriven", [made["good"], timers["redriven"]]),
        ("discarded", [made["off"], timers["discarded"]]),
        ("open", [made["dead"], made["asked"], made["again"], timers["redriving"]]),
        ("all", [*made.values(), *timers.values()]),
    ):
        rows = document(run(f"dead-letters list --status {status} --json"))
        assert [row["id"] for row in rows] == expected
        assert status in ("open", "all") or {row["status"] for row in rows} == {status}
    for letter in (*made.values(), *timers.values()):
        assert document(run(f"dead-letters show {letter} --json"))["id"] == letter


def test_show_has_everything_but_secrets(run: Run, letters: list[Any]) -> None:
    """Every attempt, what came back, and what would be sent now; what is secret by its name is blotted out."""
    text = run(f"dead-letters show {letters[1]}").stdout
    for part in ("nightly (1) of ada@example.com", "HTTP 503", "answer     overloaded", '"url"', "a_run", "0.12s"):
        assert part in text
    assert "hush" not in text
    assert "abc" not in text
    shown = document(run(f"dead-letters show {letters[1]} --json"))
    assert shown["payload"]["headers"] == {"authorization": "***"}
    assert [attempt["code"] for attempt in shown["attempts"]] == [503]
    text = run(f"dead-letters show {letters[2]}").stdout
    for part in ("POST http://127.0.0.1:9/hook?token=***", '"x-api-key": "***"', '"x-order": "17"', "out of order"):
        assert part in text
    assert "hush" not in run(f"dead-letters show {letters[2]} --json").stdout


def test_redrive_takes_any_mix(run: Run, db: DictConnection, database_url: str, job: int, letters: list[Any]) -> None:
    """A record, an execution and a timer in one command; those on duty for each of them hear of it."""
    with psycopg.connect(database_url, autocommit=True) as heard:
        heard.execute("listen millrace")
        done = document(run(f"dead-letters redrive {' '.join(map(str, reversed(letters)))} --json"))
        said = {notice.payload for notice in heard.notifies(timeout=5, stop_after=2)}
    assert done == {"redriving": 3, "ids": letters, "gone": [], "cleared": []}
    assert said == {"timer", f"workflow:{workflows.find(db, 'crm')['id']}"}
    execution = one(db, "select status, redrive_at is not null as asked, base_attempt from execution")
    assert execution == {"status": "failed", "asked": True, "base_attempt": 0}
    timer = one(db, "select status, base_attempt, attempt, finished_at, error, next_at <= now() as due from timer")
    expected = {"status": "pending", "base_attempt": 1, "attempt": 1, "finished_at": None, "error": None, "due": True}
    assert timer == expected
    again = run(f"dead-letters redrive {' '.join(map(str, letters))}")
    assert again.stdout == "redriving 0 dead letters\n"
    assert "3 dead letters had been asked for already" in again.stderr


def test_redrive_of_all_since(run: Run, db: DictConnection, job: int, letters: list[Any]) -> None:
    """Everything since an instant, or all of one job, or all timers; thousands in one go."""
    assert document(run("dead-letters redrive --since 90m --json"))["ids"] == letters[:2]
    assert document(run("dead-letters redrive --timers --all --json"))["ids"] == letters[2:]
    other = add_job(db, "other", kind="webhook")
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, finished_at)"
        " select n % 2 + 1, now() - n * interval '10 seconds', 'failed', 1, now() from generate_series(1, 4000) n"
    )
    assert run(f"dead-letters redrive --job {other} --since 2h30m").stdout == "redriving 450 dead letters\n"
    assert run("dead-letters redrive --job nightly --all").stdout == "redriving 2000 dead letters\n"
    assert run("dead-letters discard --all --yes").stdout == "discarded 1550 dead letters\n"


def test_what_was_discarded_can_be_redriven_by_its_id(run: Run, db: DictConnection, letters: list[Any]) -> None:
    """Discarding is kept in the row, and is taken back by redriving it by its id; by --all it stays."""
    _, execution, timer = letters
    assert document(run(f"dead-letters discard {execution} {timer} --yes --json"))["ids"] == [execution, timer]
    assert document(run("dead-letters redrive --since 1d --json"))["ids"] == letters[:1]
    assert document(run(f"dead-letters redrive {execution} {timer} --json"))["ids"] == [execution, timer]
    assert one(db, "select discarded_at from execution") == one(db, "select discarded_at from timer")
    assert one(db, "select discarded_at from timer") == {"discarded_at": None}


def test_of_a_removed_job(run: Run, refused: Refused, db: DictConnection, job: int, letters: list[Any]) -> None:
    """Its dead letters are seen and can be discarded; to send them again is refused by id, and left out of --all."""
    run(f"dead-letters redrive {letters[1]}")
    db.execute("delete from job")
    assert ids(run(f"dead-letters list --job {job} --json")) == [letters[1]]
    assert "the job was deleted, so it cannot be sent again" in run(f"dead-letters show {letters[1]}").stdout
    says = refused(f"dead-letters redrive {letters[0]} {letters[1]}")
    assert "the job was deleted" in says
    assert f"`./millrace dead-letters discard {letters[1]}` resolves it" in says
    assert one(db, "select status from dead_letter") == {"status": "dead"}
    rest = run("dead-letters redrive --all --json")
    assert (document(rest)["ids"], document(rest)["gone"]) == ([letters[0], letters[2]], [letters[1]])
    assert "but not 1 dead letter: the job was deleted" in rest.stderr
    assert run(f"dead-letters discard --job {job} --all --yes").stdout == "discarded 1 dead letter\n"


def test_what_is_resolved_or_under_way_is_not_touched(
    run: Run, refused: Refused, db: DictConnection, letters: list[Any]
) -> None:
    """Neither what went well is sent again, nor what is just being sent discarded; ones that never died are unknown."""
    db.execute("update execution set status = 'running', finished_at = null, base_attempt = 1")
    assert "is being sent again just now (running)" in refused(f"dead-letters discard {letters[1]} --yes")
    db.execute("update execution set status = 'success', finished_at = now()")
    assert "is resolved: it was redriven at" in refused(f"dead-letters redrive {letters[1]}")
    assert "is resolved: it was redriven at" in refused(f"dead-letters discard {letters[1]} --yes")
    db.execute("update execution set base_attempt = 0")
    assert f"there is no dead letter {letters[1]}" in refused(f"dead-letters redrive {letters[1]} {letters[2]}")
    assert document(run(f"dead-letters discard {letters[2]} --yes --json")) == {"discarded": 1, "ids": letters[2:]}
    assert "is resolved: it was discarded at" in refused(f"dead-letters discard {letters[2]} --yes")


def test_lists_do_not_read_the_whole_ledger(db: DictConnection, job: int) -> None:
    """A page of dead letters is found by the indexes of what has failed and of what was redriven."""
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, finished_at)"
        " select %s, now() - n * interval '1 second', case when n %% 50 = 0 then 'failed' else 'success' end, 1, now()"
        " from generate_series(1, 20000) n",
        (job,),
    )
    db.execute("analyze execution")
    wanted = {"statuses": ["dead"], "job_id": None, "owner": None, "since": None, "limit": 50}
    plan = db.execute(b"explain " + queries("dead_letters")["list_executions"].encode(), wanted).fetchall()
    scans = [str(row["QUERY PLAN"]) for row in plan if "Seq Scan on execution_2" in str(row["QUERY PLAN"])]
    assert all("rows=1 " in scan for scan in scans), scans  # of empty days

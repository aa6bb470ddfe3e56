"""`jobs why` says in words what became of the last occurrence, and what to do about it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store import jobs
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.job_commands import URL, Run, add_execution, document, environment, run

__all__ = ["environment", "run"]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return datetime.now(timezone.utc)


def add(run: Run, db: DictConnection, *words: str) -> int:
    """A job that has been there for a day."""
    run("add", "a job", "ping", "--set", URL, *words)
    job_id = int(jobs.find(db, "a job")["id"])
    db.execute("update job set created_at = now() - interval '1 day' where id = %s", (job_id,))
    db.execute("update job set schedule_changed_at = now() - interval '1 day' where id = %s", (job_id,))
    db.execute("delete from audit")
    return job_id


def why(run: Run, *words: str) -> str:
    return str(run("why", "a job", *words).stdout)


def last_due(now: datetime) -> datetime:
    """When a job that is due once an hour was due last, some minutes ago."""
    return (now - timedelta(minutes=10)).replace(second=0, microsecond=0)


def hourly(now: datetime) -> str:
    """The cron expression of that job."""
    return f"{last_due(now).minute} * * * *"


def execution(db: DictConnection, job_id: int, due: datetime, status: str, **columns: Any) -> None:
    """A row of the ledger."""
    given = {"job_id": job_id, "scheduled_for": due, "status": status, **columns}
    if status not in ("running", "retrying"):
        given.setdefault("finished_at", due)
    if "attempts" in given:
        given["attempts"] = json.dumps(given["attempts"])
    names = ", ".join(given)
    marks = ", ".join(f"%({name})s" for name in given)
    db.execute(f"insert into execution ({names}) values ({marks})".encode(), given)


def test_on_time(run: Run, db: DictConnection, now: datetime) -> None:
    """What ran on time is said to have."""
    job_id = add(run, db, "--cron", hourly(now))
    add_execution(db, job_id, last_due(now))
    assert "it did run: " in why(run)
    assert "on time, and was a success after 1 attempt" in why(run)


def test_late(run: Run, db: DictConnection, now: datetime) -> None:
    """A late success says how late, and that nobody was on duty."""
    job_id, due = add(run, db, "--cron", hourly(now)), last_due(now)
    execution(db, job_id, due, "success", attempt=1, started_at=due + timedelta(seconds=7))
    assert "7.0 s late" in why(run)
    assert "nobody was on duty before" in why(run)


def test_late_by_its_jitter(run: Run, db: DictConnection, now: datetime) -> None:
    """What the row itself asks for is named as the cause."""
    job_id, due = add(run, db, "--cron", hourly(now), "--jitter", "10m"), last_due(now)
    delay = job_from_row(jobs.find(db, "a job")).schedule.delay(due)
    execution(db, job_id, due, "success", attempt=1, started_at=due + delay)
    assert "its jitter asks for" in why(run)
    assert "nobody was on duty" not in why(run)


def test_late_beyond_its_jitter(run: Run, db: DictConnection, now: datetime) -> None:
    """What the jitter does not explain has a reason of its own."""
    job_id, due = add(run, db, "--cron", hourly(now), "--jitter", "10m"), last_due(now)
    delay = job_from_row(jobs.find(db, "a job")).schedule.delay(due)
    execution(db, job_id, due, "success", attempt=1, started_at=due + delay + timedelta(seconds=7))
    assert "its jitter asks for" in why(run)
    assert "nobody was on duty before" in why(run)


def delayed(run: Run, db: DictConnection, now: datetime) -> datetime:
    """A job that was due a moment ago, but for its jitter; the instant until which that delays it."""
    add(run, db, "--every", "24h", "--jitter", "24h")
    due = now.replace(microsecond=0)
    while True:
        db.execute("update job set starts_at = %s", (due,))
        db.execute("update job set schedule_changed_at = now() - interval '1 day'")
        delay = job_from_row(jobs.find(db, "a job")).schedule.delay(due)
        if delay > MINUTE:
            return due + delay
        due -= timedelta(seconds=1)


def test_delayed_by_its_jitter(run: Run, db: DictConnection, now: datetime) -> None:
    """One whose instant is still to come is not late: it says until when its jitter delays it."""
    until = delayed(run, db, now)
    said = why(run)
    assert "it has not run yet: its jitter delays " in said
    assert f"until {until:%Y-%m-%d %H:%M:%S} UTC" in said
    assert "on duty" not in said


def test_paused_while_delayed(run: Run, db: DictConnection, now: datetime) -> None:
    """If somebody pauses it before that instant, this is said as well."""
    delayed(run, db, now)
    run("pause", "a job")
    said = why(run)
    assert "its jitter delays " in said
    assert "it is paused, by " in said


def test_failed(run: Run, db: DictConnection, now: datetime) -> None:
    """A failure comes with the error, every failed attempt, and the way to send it again."""
    job_id, due = add(run, db, "--cron", hourly(now)), last_due(now)
    attempts = [{"attempt": 1, "error": "GET example.com 503"}, {"attempt": 2, "error": "GET example.com 404"}]
    facts = {"attempt": 2, "started_at": due, "attempts": attempts, "error": "GET example.com 404"}
    execution(db, job_id, due, "failed", **facts)
    said = why(run)
    assert "it failed: " in said
    assert "attempt 1 failed: GET example.com 503" in said
    assert f"dead-letters redrive job_{job_id}_{int(due.timestamp())}000000" in said


def test_skipped_for_overlap(run: Run, db: DictConnection, now: datetime) -> None:
    """What is still under way is named, and what to write if that is not wanted."""
    job_id, due = add(run, db, "--cron", hourly(now)), last_due(now)
    execution(db, job_id, due - MINUTE, "running", attempt=1, started_at=due - MINUTE)
    execution(db, job_id, due, "skipped", reason="the execution before it was still running")
    assert f"under way: {due - MINUTE:%Y-%m-%d %H:%M:%S} UTC, attempt 1" in why(run)
    assert "--overlap queue" in why(run)


def test_paused(run: Run, db: DictConnection) -> None:
    """A pause is named with who made it, when, and how it ends."""
    job_id = add(run, db, "--cron", "* * * * *")
    run("pause", "a job")
    said = why(run)
    assert "nobody was on duty for it" in said
    assert "it is paused, by " in said
    assert f"`./millrace jobs resume {job_id}`" in said


def test_missed(run: Run, db: DictConnection, now: datetime) -> None:
    """A missed one says when that was found, and by which rule it was not made up for."""
    job_id, due = add(run, db, "--cron", hourly(now), "--misfire", "skip"), last_due(now)
    reason = "nobody was on duty in time"
    execution(db, job_id, due, "missed", reason=reason, finished_at=due + timedelta(hours=3))
    assert "found 3.0 h later, by its rule (misfire skip" in why(run)


def test_waiting(run: Run, db: DictConnection, now: datetime) -> None:
    """One that waits says for what."""
    job_id, due = add(run, db, "--cron", hourly(now), "--overlap", "queue"), last_due(now)
    execution(db, job_id, due - MINUTE, "running", attempt=1, started_at=due - MINUTE)
    execution(db, job_id, due, "retrying", reason="waits for the execution before it")
    assert "it waits: " in why(run)


def test_nothing_alive(run: Run, db: DictConnection, now: datetime) -> None:
    """Where no process is alive, that is the reason."""
    add(run, db, "--cron", hourly(now))
    assert "`./millrace status` shows what runs" in why(run)


def test_by_hand(run: Run, db: DictConnection) -> None:
    """A row without a schedule never runs by itself."""
    add(run, db)
    assert "it has no schedule: it runs only by hand" in why(run)


def test_not_due_yet(run: Run, db: DictConnection) -> None:
    """What has not been due yet says when it will be."""
    add(run, db, "--every", "300d")
    assert "it has not been due yet" in why(run)
    assert "it is due next at 20" in why(run)


def test_never_again(run: Run, db: DictConnection) -> None:
    """A window that is over is named."""
    add(run, db, "--cron", "* * * * *", "--starts-at", "2020-01-01", "--ends-at", "2020-01-02")
    assert "it is not due any more" in why(run)
    assert "not from 2020-01-02 00:00:00 UTC on" in why(run)


def test_a_row_that_cannot_run(run: Run, db: DictConnection) -> None:
    """What is wrong with the row comes first."""
    add(run, db, "--cron", "* * * * *")
    db.execute("update job set payload = '{}'")
    assert "it cannot run: " in why(run)


def test_an_instant_at_which_it_was_not_due(run: Run, db: DictConnection, now: datetime) -> None:
    """Nothing was missed, and nobody is blamed; nor is anything known of a schedule that is no more."""
    add(run, db, "--cron", hourly(now))
    asked = last_due(now) - 30 * MINUTE
    said = why(run, "--at", asked.isoformat())
    assert f"it was not due at {asked:%Y-%m-%d %H:%M}" in said
    assert f"the next time after that is {last_due(now):%Y-%m-%d %H:%M}" in said
    assert "nobody was on duty" not in said
    before = why(run, "--at", (now - timedelta(days=3)).isoformat())
    assert "its schedule is as it is only since" in before
    assert "nobody was on duty" in why(run, "--at", last_due(now).isoformat())


def test_another_occurrence(run: Run, db: DictConnection, now: datetime) -> None:
    """`--at` asks about an earlier one; `--json` is for scripts."""
    job_id, due = add(run, db, "--cron", hourly(now)), last_due(now)
    execution(db, job_id, due - 5 * MINUTE, "cancelled", reason="the run was ended in Airflow")
    made = document(run("why", "a job", "--at", (due - 5 * MINUTE).isoformat(), "--json"))
    assert made["why"][0].endswith("the run was ended in Airflow")
    assert datetime.fromisoformat(made["scheduled_for"]) == due - 5 * MINUTE


def test_the_minute_that_somebody_asks_about(run: Run, db: DictConnection, now: datetime) -> None:
    """Nobody types microseconds: what was due within the minute is what is meant, and what became of it is said."""
    job_id = add(run, db, "--every", "5s")
    asked = (now - 10 * MINUTE).replace(second=0, microsecond=0)
    due = job_from_row(jobs.find(db, "a job")).schedule.next_after(asked)
    assert due is not None
    execution(db, job_id, due, "success", attempt=1, started_at=due)
    assert "it did run: " in why(run, "--at", asked.isoformat())
    hour = add_execution_of_an_hourly(run, db, now)
    assert "it did run: " in str(run("why", "hourly", "--at", (hour - timedelta(seconds=30)).isoformat()).stdout)


def add_execution_of_an_hourly(run: Run, db: DictConnection, now: datetime) -> datetime:
    run("add", "hourly", "ping", "--set", URL, "--cron", hourly(now))
    db.execute("update job set schedule_changed_at = now() - interval '1 day'")
    add_execution(db, int(jobs.find(db, "hourly")["id"]), last_due(now))
    return last_due(now)


def test_an_instant_to_come(run: Run, db: DictConnection, now: datetime) -> None:
    """It is due only then; a jitter is named where there is one."""
    add(run, db, "--cron", "0 0 1 1 *")
    asked = f"{now.year + 2}-01-01"
    assert f"it is due only at {asked} 00:00:00 UTC\n" in why(run, "--at", asked)
    run("edit", "a job", "--jitter", "10m")
    db.execute("update job set schedule_changed_at = now() - interval '1 day'")
    assert f"it is due only at {asked} 00:00:00 UTC; its jitter delays it until " in why(run, "--at", asked)


def test_a_pause_that_is_over(run: Run, db: DictConnection, now: datetime) -> None:
    """What fell due while it was paused is explained by the pause, and what fell due afterwards is not."""
    add(run, db, "--cron", "* * * * *")
    run("pause", "a job")
    db.execute("update audit set at = now() - interval '30 minutes'")
    run("resume", "a job")
    db.execute("update audit set at = now() - interval '20 minutes' where id = (select max(id) from audit)")
    minute = now.replace(second=0, microsecond=0)
    assert "it was paused then, by " in why(run, "--at", (minute - 25 * MINUTE).isoformat())
    assert "paused" not in why(run, "--at", (minute - 10 * MINUTE).isoformat())


@pytest.mark.parametrize(("overlap", "advice"), [("skip", "--overlap queue` has one wait"), ("queue", "waits already")])
def test_an_overlap_has_advice(run: Run, db: DictConnection, now: datetime, overlap: str, advice: str) -> None:
    """Nobody is told to do what he has done."""
    job_id, due = add(run, db, "--cron", hourly(now), "--overlap", overlap), last_due(now)
    execution(db, job_id, due, "skipped", reason="the execution before it was still running")
    assert advice in why(run)

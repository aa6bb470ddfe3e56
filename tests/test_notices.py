"""Whom notices are for: a job's notify, its owner's, or nobody; of failures, missed occurrences and timers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.health_rows import DUE, WEBHOOK, clean, details, events, outcomes
from tests.test_store import add_job, one

__all__ = ["clean"]

pytestmark = pytest.mark.usefixtures("clean")

OWNERS = {"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/owner"}}


def set_owner(db: DictConnection, owner: str = "ann", **notify: Any) -> None:
    db.execute("insert into owner_notify (owner, notify) values (%s, %s)", (owner, json.dumps({**OWNERS, **notify})))


def add(db: DictConnection, name: str, notify: dict[str, Any] | None = None, **columns: Any) -> int:
    return add_job(db, name, owner="ann", notify=None if notify is None else json.dumps(notify), **columns)


def channels(db: DictConnection) -> dict[str, Any]:
    rows = db.execute("select name, channel from notice order by id").fetchall()
    return {str(row["name"]): row["channel"] for row in rows}


async def test_a_job_is_told_of_by_its_own_notify_or_its_owners(database_url: str, db: DictConnection) -> None:
    """A row that says nothing is told of as its owner wishes; one that says something, as it says; or not at all."""
    set_owner(db)
    quiet = {"on": []}
    ids = [add(db, "owner's"), add(db, "own", WEBHOOK), add(db, "nobody's", quiet), add_job(db, "stranger's")]
    async with outcomes(database_url) as ledger:
        await ledger.write(*ids, says="failed")
    assert channels(db) == {"owner's": OWNERS, "own": WEBHOOK}
    row = one(db, "select table_name, row_id, owner, event, detail, count from notice where name = 'own'")
    assert row == {
        "table_name": "job",
        "row_id": ids[1],
        "owner": "ann",
        "event": "failure",
        "detail": "POST example.com 500",
        "count": 1,
    }


async def test_on_says_of_what(database_url: str, db: DictConnection) -> None:
    """Only the events in `on` are told."""
    recovery, both = (
        add(db, str(on), {**WEBHOOK, "on": on}, disable_after=2) for on in (["recovery"], ["warning", "disabled"])
    )
    async with outcomes(database_url) as ledger:
        await ledger.write(recovery, both, says="failed")
        await ledger.write(recovery, says="success")
        await ledger.write(both, says="failed")
    assert (events(db, recovery), events(db, both)) == (["recovery"], ["warning", "disabled"])


async def test_the_owners_after_counts_too(database_url: str, db: DictConnection) -> None:
    """Failures of jobs that say nothing are told after as many as their owner says."""
    set_owner(db, after=2)
    job_id = add(db, "a")
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="failed")
        assert events(db) == []
        await ledger.write(job_id, says="failed")
    assert events(db) == ["failure"]


async def test_missed_occurrences_are_counted_and_told_only_on_request(database_url: str, db: DictConnection) -> None:
    """`missed` has to be asked for; however many are written by one statement, it is one notice with their number."""
    default, asked = add(db, "default", WEBHOOK), add(db, "asked", {**WEBHOOK, "on": ["missed"]})
    dues = [DUE + timedelta(minutes=number) for number in range(30)]
    async with outcomes(database_url) as ledger:
        for job_id in (default, asked):
            await ledger.ledger.miss(job_id, dues, run_id="run", reason="nobody was on duty in time")
        await ledger.ledger.miss(asked, dues, run_id="run", reason="again")
    row = one(db, "select row_id, event, count from notice")
    assert row == {"row_id": asked, "event": "missed", "count": 30}
    [detail] = details(db)
    day = DUE.date()
    assert detail == f"{day} 00:00:00 to {day} 00:29:00 UTC: nobody was on duty in time"


async def test_one_missed_occurrence_is_named(database_url: str, db: DictConnection) -> None:
    """Where there is one, the notice says which."""
    job_id = add(db, "a", {**WEBHOOK, "on": ["missed"]})
    async with outcomes(database_url) as ledger:
        await ledger.ledger.miss(job_id, [DUE], run_id="run", reason="late")
    assert details(db) == [f"{DUE.date()} 00:00:00 UTC: late"]


async def test_a_timer_that_fails_is_told_to_its_owner(db: DictConnection) -> None:
    """Its failure is told once, if its owner wants to know of failures; that it fired is not."""
    set_owner(db)
    set_owner(db, "quiet", on=["recovery"])
    insert = "insert into timer (owner, url, seconds) values (%s, 'http://127.0.0.1:9/', 1) returning id"
    failed, *_ = (one(db, insert, owner)["id"] for owner in ("ann", "quiet", "nobody"))
    fired = one(db, insert, "ann")["id"]
    db.execute("update timer set status = 'fired', finished_at = now() where id = %s", (fired,))
    db.execute(
        "update timer set status = 'failed', finished_at = now(), error = 'POST example.com 500' where id <> %s",
        (fired,),
    )
    db.execute("update timer set status = 'failed', discarded_at = now() where status = 'failed'")
    row = one(db, "select table_name, row_id, name, owner, event, detail from notice")
    assert row == {
        "table_name": "timer",
        "row_id": failed,
        "name": f"timer {failed}",
        "owner": "ann",
        "event": "failure",
        "detail": "POST example.com 500",
    }


async def test_a_notice_is_written_with_what_it_tells_of_or_not_at_all(database_url: str, db: DictConnection) -> None:
    """If the statement that writes an outcome is rolled back, nobody is told of it."""
    job_id = add(db, "a", WEBHOOK)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="success")
    with db.transaction(force_rollback=True):
        db.execute("update execution set status = 'failed'")
        assert events(db) == ["failure"]
    assert events(db) == []
    assert one(db, "select count(*) as rows from job_health") == {"rows": 0}

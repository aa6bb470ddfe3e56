"""Runs that come late are judged by the misfire rule."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.shifts.bell import utcnow
from include.shifts.window import shift_end
from include.store.db import DictConnection
from tests.shift_stage import add, executions, known_since, stage, stand

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("latest", ["missed", "missed", "missed", "success"]),
        ("all", ["missed", "success", "success", "success"]),
        ("skip", ["missed", "missed", "missed", "missed"]),
    ],
)
async def test_misfire_decides_after_downtime(
    database_url: str, db: DictConnection, misfire: str, expected: list[str]
) -> None:
    """Four occurrences were missed, ten minutes apart, the first too late for `max_lateness`: each has its row."""
    async with stage(database_url) as (post, server):
        newest = utcnow() - 5 * timedelta(minutes=1)
        job_id = add(db, server, every="10 minutes", starts_at=newest - timedelta(minutes=30), misfire=misfire,
                     max_lateness="30 minutes", created_at=newest - timedelta(minutes=31))  # fmt: skip
        db.execute("alter table job disable trigger user")
        db.execute("update job set schedule_changed_at = created_at")
        db.execute("alter table job enable trigger user")
        await stand(post, job_id, newest)
        assert len(server.received) == expected.count("success")
    assert [row["status"] for row in executions(db)] == expected
    assert all(row["reason"] for row in executions(db) if row["status"] == "missed")


async def test_a_late_run_leaves_a_newer_occurrence_to_its_own_run(database_url: str, db: DictConnection) -> None:
    """Two runs waited while the triggerer was down: the older is missed, the newer fires; none fires twice."""
    async with stage(database_url) as (post, server):
        newest = utcnow() - SECOND
        job_id = add(db, server, every="10 minutes", starts_at=newest - timedelta(minutes=10))
        older = await stand(post, job_id, newest - timedelta(minutes=10), "older")
        newer = await stand(post, job_id, newest, "newer")
        assert len(server.received) == 1
    assert (older.state, newer.state) == ("skipped", "success")


@pytest.mark.parametrize("last", [True, False])
async def test_a_shift_that_begins_after_its_end_leaves_to_the_next_one_only_what_that_comes_to(
    database_url: str, db: DictConnection, last: bool
) -> None:
    """Nobody was on duty for the last seconds of a schedule until the shift was over: with no shift after it that can
    have begun, this one accounts for them; else that one does."""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server):
        due = utcnow().replace(microsecond=0) - 10 * SECOND
        ended = (i for i in range(1000, 9999) if 5 * SECOND < shift_end(i, due, length) - due < 8 * SECOND)
        ends_at = due + 4 * SECOND if last else None
        job_id = add(db, server, id=next(ended), every="1 second", starts_at=due, ends_at=ends_at)
        known_since(db, job_id, due - SECOND, accounted=due)
        ending = await stand(post, job_id, due)
    expected = ["success", "missed", "missed", "success"] if last else ["success"]
    assert [row["status"] for row in executions(db)] == expected
    assert ending.state == "success"


async def test_a_run_whose_schedule_was_changed_after_its_instant_is_missed(
    database_url: str, db: DictConnection
) -> None:
    """It came late, and by then the row was another; what had fallen due has a row, what had not has none."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        job_id = add(db, server, run_at=now - 3 * SECOND)
        db.execute("update job set run_at = null, cron = '0 0 1 1 *'")
        ending = await stand(post, job_id, now - 3 * SECOND)
        await stand(post, job_id, now + 3 * SECOND)
    assert (ending.state, server.received) == ("skipped", [])
    [row] = executions(db)
    assert (row["scheduled_for"], row["status"]) == (now - 3 * SECOND, "missed")
    assert row["reason"] == "the schedule was changed before it was executed"


@pytest.mark.parametrize("newer", [False, True])
async def test_a_run_that_is_tried_again_accounts_for_what_was_missed_before_it(
    database_url: str, db: DictConnection, newer: bool
) -> None:
    """Its first try was killed before it came to that; a newer occurrence, executed meanwhile, changes nothing."""
    async with stage(database_url) as (post, server):
        due = utcnow().replace(microsecond=0) - SECOND
        job_id = add(db, server, every="2 minutes", starts_at=due - timedelta(minutes=8))
        known_since(db, job_id, due - timedelta(minutes=9), accounted=due - timedelta(minutes=8))
        if newer:
            known_since(db, job_id, due - timedelta(minutes=9), accounted=due + timedelta(minutes=2))
        await stand(post, job_id, due, try_number=2)
    statuses = [row["status"] for row in executions(db)]
    assert statuses == ["success", "missed", "missed", "missed", "success", *["success"] * newer]


async def test_what_a_killed_try_did_not_come_to_is_made_up_for(database_url: str, db: DictConnection) -> None:
    """Where all are made up for, the try after one that was killed goes on from there: what is too late is named, the
    others are executed, oldest first."""
    async with stage(database_url) as (post, server):
        due = utcnow().replace(microsecond=0) - SECOND
        dues = [due - number * timedelta(minutes=10) for number in range(5, -1, -1)]
        job_id = add(db, server, every="10 minutes", starts_at=dues[0], misfire="all", max_lateness="35 minutes")
        known_since(db, job_id, dues[0] - SECOND, accounted=dues[0])
        assert (await stand(post, job_id, due, try_number=2)).state == "success"
        sent = [request.headers["webhook-id"] for request in server.received]
    assert [(row["scheduled_for"], row["status"]) for row in executions(db)] == [
        *[(dues[0], "success"), (dues[1], "missed")],
        *[(one, "success") for one in dues[2:]],
    ]
    assert sent == [f"job_{job_id}_{int(one.timestamp())}000000" for one in dues[2:]]


@pytest.mark.parametrize("on_worker", [False, True])
async def test_a_late_run_executes_its_occurrence_though_the_row_was_edited(
    database_url: str, db: DictConnection, on_worker: bool
) -> None:
    """Due before the edit, and by the new schedule as well: it is made up for, and not missed for the edit."""
    async with stage(database_url) as (post, server):
        due = utcnow().replace(microsecond=0) - 20 * SECOND
        job_id = add(db, server, every="1 hour", starts_at=due - timedelta(hours=3))
        known_since(db, job_id, due - timedelta(hours=4), accounted=due - timedelta(hours=2))
        db.execute("update job set ends_at = %s", (due + timedelta(days=3),))
        post.is_on_worker = on_worker
        await stand(post, job_id, due)
        assert len(server.received) == 1
    rows = [(row["scheduled_for"], row["status"]) for row in executions(db)]
    assert rows[1:] == [(due - timedelta(hours=1), "missed"), (due, "success")]


async def test_after_an_edit_and_a_long_outage_nothing_is_left_out(database_url: str, db: DictConnection) -> None:
    """The first seconds of a new schedule are not owed, hours of it are."""
    async with stage(database_url) as (post, server):
        now = utcnow().replace(microsecond=0)
        changed_at = now - timedelta(minutes=3)
        job_id = add(db, server, every="10 seconds", starts_at=changed_at - timedelta(minutes=1), ends_at=now + SECOND)
        known_since(db, job_id, changed_at, accounted=changed_at - 10 * SECOND)
        await stand(post, job_id, utcnow())
    rows = executions(db)
    assert len(rows) >= 18
    assert [row["status"] for row in rows][-1] == "success"

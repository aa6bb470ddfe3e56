"""Upkeep: what is old goes, what is needed stays, one at a time, and no chore stops another."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from include.store.db import DictConnection, connect
from include.store.executions import settings_at
from tests.log_rows import add_connector, add_workflow
from tests.test_store import add_job, one
from tests.timer_rows import add_timer
from tests.upkeep_rounds import DAY, NOW, changed, count, impatient, round_of

__all__ = ["impatient"]


async def test_a_round_notes_what_became_of_each_chore(database_url: str, db: DictConnection) -> None:
    """The table says of each chore when it was last done, how much it changed, and that nothing was wrong."""
    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
    done = await round_of(database_url, "leases", "trials")
    assert done is not None
    assert [(chore.chore, chore.changed, chore.error) for chore in done.values()] == [
        ("trials", 0, None),
        ("leases", 1, None),
    ]
    noted = db.execute("select chore, begun_at, ok_at, changed, error from upkeep order by chore").fetchall()
    assert noted == [
        {"chore": "leases", "begun_at": NOW, "ok_at": NOW, "changed": 1, "error": None},
        {"chore": "trials", "begun_at": NOW, "ok_at": NOW, "changed": 0, "error": None},
    ]


async def test_chores_are_done_once_an_hour_whoever_does_them(database_url: str, db: DictConnection) -> None:
    """Within the hour nobody does them again; after it somebody does, also one that had failed."""

    async def due_at(now: datetime) -> list[str]:
        return [*(await round_of(database_url, "leases", "trials", now=now, only_due=True) or {})]

    assert await due_at(NOW) == ["trials", "leases"]
    assert await due_at(NOW + timedelta(minutes=59)) == []
    assert await due_at(NOW + timedelta(minutes=61)) == ["trials", "leases"]


async def test_only_one_is_at_work(database_url: str, db: DictConnection) -> None:
    """Of rounds that begin at once, here or elsewhere, one is done, and the others say so; then the next may begin."""
    with connect(database_url) as other:
        other.execute("select pg_advisory_lock(hashtext('millrace.upkeep'))")
        assert await round_of(database_url) is None
    at_once = await asyncio.gather(*(round_of(database_url, "leases", "audit", "timers") for _ in range(4)))
    assert sum(done is not None for done in at_once) >= 1
    assert await round_of(database_url, "leases") is not None


@pytest.mark.usefixtures("impatient")
async def test_a_chore_that_fails_stops_no_other(database_url: str, db: DictConnection) -> None:
    """A table that somebody has locked makes one chore fail: it is noted, the others are done, and the next time it is
    done as well."""
    add_timer(db, "http://localhost/", due_at=NOW - 200 * DAY)
    db.execute("update timer set status = 'fired', finished_at = due_at")
    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
    with psycopg.connect(database_url) as locking:
        locking.execute("lock table millrace.timer in access exclusive mode")
        done = await round_of(database_url, "timers", "leases")
    assert done is not None
    assert "lock timeout" in str(done["timers"].error)
    assert (done["leases"].changed, done["leases"].error) == (1, None)
    noted = one(db, "select error, ok_at, ended_at is null as open from upkeep where chore = 'timers'")
    assert noted == {"error": done["timers"].error, "ok_at": None, "open": False}
    assert await changed(database_url, "timers") == [1]
    assert one(db, "select error from upkeep where chore = 'timers'") == {"error": None}


async def test_a_dry_run_changes_nothing_and_says_the_same(database_url: str, db: DictConnection) -> None:
    """What a dry run counts is what a round then removes; it leaves no trace, not even in the table of chores."""
    for number in range(3):
        add_timer(db, "http://localhost/", due_at=NOW - (100 + number) * DAY)
    db.execute("update timer set status = 'fired', finished_at = due_at")
    assert await changed(database_url, "timers", dry_run=True) == [3]
    assert (count(db, "timer"), count(db, "upkeep")) == (3, 0)
    assert await changed(database_url, "timers") == [3]
    assert count(db, "timer") == 0


async def test_timers_that_wait_or_are_under_way_stay(database_url: str, db: DictConnection) -> None:
    """Of timers only those go that have ended, and that long ago; a cancelled one need not have been due."""
    old, new = NOW - 91 * DAY, NOW - 89 * DAY
    states = [("pending", old, None), ("firing", old, None), ("fired", old, old), ("failed", old, old)]
    states += [("fired", old, new), ("fired", new, new), ("cancelled", NOW + 900 * DAY, old)]
    for status, due, finished in states:
        timer_id = add_timer(db, "http://localhost/", due_at=due)
        db.execute("update timer set status = %s, finished_at = %s where id = %s", (status, finished, timer_id))
    assert await changed(database_url, "timers") == [3]
    assert [row["id"] for row in db.execute("select id from timer order by id")] == [1, 2, 5, 6]


async def test_the_audit_keeps_what_an_execution_was_made_by(database_url: str, db: DictConnection) -> None:
    """A job's settings of two years ago stay as long as they are its settings, or were when what is kept was
    executed."""
    job_id = add_job(db, payload=json.dumps({"url": "http://localhost/1"}))
    revisions = [one(db, "select revision from job")["revision"]]
    for number in (2, 3):
        db.execute("update job set payload = %s", (json.dumps({"url": f"http://localhost/{number}"}),))
        revisions.append(one(db, "select revision from job")["revision"])
    gone = add_job(db, "gone")
    db.execute("delete from job where id = %s", (gone,))
    ages = [700, 400, 20, 500, 400]  # days ago: three settings, and two entries of the job that is gone
    for number, days in enumerate(ages, 1):
        db.execute("update audit set at = %s where id = %s", (NOW - days * DAY, number))
    assert await changed(database_url, "audit") == [3]
    known = [settings_at(db, job_id, revision, None) for revision in revisions]
    assert [found and found["payload"]["url"][-1] for found in known] == [None, "2", "3"]


async def test_what_wears_off_by_itself_goes(database_url: str, db: DictConnection) -> None:
    """Answers, trials, ids of deliveries, notices, resolved dead letters and turns of rows that are gone go when nobody
    can ask for them any more, and no earlier."""
    connector = add_connector(db)
    flow = add_workflow(db, connector, "http://localhost/")
    for age in (29, 31):
        at = NOW - age * DAY
        db.execute("insert into delivery values (%s, %s, '{1}', %s)", (connector, f"d{age}", at))
        db.execute(
            "insert into dead_letter (workflow_id, connector_id, position, status, error, created_at, resolved_at)"
            " values (%s, %s, %s, 'redriven', '', %s, %s), (%s, %s, %s, 'dead', '', %s, null)",
            (flow, connector, age, at, at, flow, connector, age + 100, at),
        )
        db.execute(
            "insert into notice (at, table_name, name, owner, event, detail, channel, sent_at)"
            " values (%s, 'timer', '', '', 'failure', '', '{}', %s)",
            (at, at),
        )
    for hours in (0.9, 1.1, 23, 25):
        at = NOW - timedelta(hours=hours)
        db.execute(
            "insert into idempotency_key (caller, key, request, status, created_at) values ('a', %s, '', 200, %s)",
            (str(hours), at),
        )
        db.execute(
            "insert into trial (owner, kind, payload, timeout, created_at) values ('a', 'ping', '{}', '1 second', %s)",
            (at,),
        )
    for table, row_id in (("workflow", flow), ("workflow", 99), ("connector", 98), ("timer", 1)):
        db.execute(
            "insert into turn (table_name, row_id, owner, claim, taken_at) values (%s, %s, gen_random_uuid(), 1, %s)",
            (table, row_id, NOW - 2 * DAY),
        )
    names = ("dead_letters", "deliveries", "notices", "answers", "trials", "turns")
    done = await round_of(database_url, *names)
    assert done is not None
    assert {name: (chore.changed, chore.error) for name, chore in done.items()} == {
        **dict.fromkeys(names, (1, None)),
        "trials": (3, None),
        "turns": (2, None),
    }
    assert count(db, "dead_letter", "status = 'dead'") == 2


async def test_a_round_without_a_database_says_so(database_url: str) -> None:
    """A database that cannot be reached is an error that says to try again."""
    from include.errors import RetryableError

    with pytest.raises(RetryableError, match="the database was lost"):
        await round_of("postgresql://nobody@127.0.0.1:1/none", "leases")


async def test_a_connection_that_is_cut_off_ends_no_round(database_url: str, db: DictConnection) -> None:
    """Cut off in the middle of a chore, the round goes on with the next one, on another connection."""

    async def cut() -> None:
        while not db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'millrace-upkeep' and wait_event_type = 'Lock'"
        ).fetchall():
            await asyncio.sleep(0.01)

    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
    with psycopg.connect(database_url) as locking:
        locking.execute("lock table millrace.timer in access exclusive mode")
        cutting = asyncio.create_task(cut())
        done = await round_of(database_url, "timers", "leases")
        await cutting
    assert done is not None
    assert done["timers"].error is not None
    assert (done["leases"].changed, done["leases"].error) == (1, None)


async def test_rounds_follow_upon_each_other_without_a_pause(database_url: str, tmp_path: Path) -> None:
    """The next round may begin as soon as one has ended, not only when PostgreSQL has seen its connection go."""
    for _ in range(50):
        assert await round_of(database_url, "log_files", log_folder=tmp_path) is not None


async def test_whoever_was_cut_off_and_replaced_does_nothing_more(database_url: str, db: DictConnection) -> None:
    """If somebody else has begun by the time that a lost connection is made anew, the chores are left to him."""
    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")

    def take_its_place(other: DictConnection) -> None:
        other.execute("select pg_advisory_lock(hashtext('millrace.upkeep'))")

    with psycopg.connect(database_url) as locking, connect(database_url) as other:
        locking.execute("lock table millrace.timer in access exclusive mode")
        round_ = asyncio.create_task(round_of(database_url, "timers", "leases"))
        while not count(db, "upkeep", "chore = 'timers'"):
            await asyncio.sleep(0.01)
        taking = asyncio.create_task(asyncio.to_thread(take_its_place, other))
        while not count(db, "pg_locks", "locktype = 'advisory' and not granted"):
            await asyncio.sleep(0.01)
        db.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace-upkeep'")
        await taking
        done = await round_
    assert done is not None
    assert [*done] == ["timers"]
    assert count(db, "lease") == 1

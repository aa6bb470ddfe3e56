"""Days of the ledger come and go, and nothing that is needed goes with them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from include.store.db import DictConnection, connect
from tests.test_ledger import ledger, wish
from tests.test_store import add_job, one
from tests.upkeep_rounds import DAY, NOW, changed, count, execution, round_of

pytestmark = pytest.mark.fresh_database

TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


def days(db: DictConnection) -> list[datetime]:
    """The days that have a partition."""
    rows = db.execute(
        "select relname from pg_inherits join pg_class c on c.oid = inhrelid"
        " where inhparent = 'execution'::regclass and relname <> 'execution_other' order by 1"
    )
    return [datetime.strptime(str(row["relname"])[-8:], "%Y%m%d").replace(tzinfo=timezone.utc) for row in rows]


def make_days(db: DictConnection, first: datetime, last: datetime) -> None:
    db.execute("select make_execution_partitions(%s::date, %s::date)", (first, last))


async def test_days_are_made_ahead_and_dropped_by_age(database_url: str, db: DictConnection) -> None:
    """There is always a week ahead; a day goes once all of it is older than is kept, with what is in it, and the tally
    of it stays."""
    job_id = add_job(db)
    make_days(db, TODAY - 95 * DAY, TODAY - 88 * DAY)
    for age in (95, 92, 91, 90, 89):
        execution(db, job_id, TODAY - age * DAY + timedelta(hours=1))
    tallied = one(db, "select sum(executions) as sum from tally")
    db.execute("drop table execution_" + f"{TODAY + 7 * DAY:%Y%m%d}")
    assert await changed(database_url, "days_ahead", "old_days", dry_run=True) == [1, 5]
    assert await changed(database_url, "days_ahead", "old_days") == [1, 5]
    assert days(db)[:3] == [TODAY - 90 * DAY, TODAY - 89 * DAY, TODAY - 88 * DAY]
    assert days(db)[-1] == TODAY + 7 * DAY
    kept = [row["scheduled_for"] for row in db.execute("select scheduled_for from execution order by 1")]
    assert kept == [TODAY - age * DAY + timedelta(hours=1) for age in (90, 89)]
    assert one(db, "select sum(executions) as sum from tally") == tallied
    assert await changed(database_url, "days_ahead", "old_days") == [0, 0]


async def test_nothing_is_dropped_by_which_the_ledger_knows_what_is_owed(database_url: str, db: DictConnection) -> None:
    """Whoever keeps executions for a day, and looks back thirty, has them for thirty-one."""
    make_days(db, TODAY - 33 * DAY, TODAY - 2 * DAY)
    assert await changed(database_url, "old_days", keep_executions_days=1, ledger_days=30) == [2]
    assert days(db)[0] == TODAY - 31 * DAY


async def test_what_is_needed_of_an_old_day_stays(database_url: str, db: DictConnection) -> None:
    """What is not finished, what is to be sent again, and the newest scheduled execution of each job stay as they are,
    and are found; nothing is counted or told a second time. They go when nothing needs them any more."""
    job_id, rare, gone = add_job(db), add_job(db, "rare"), add_job(db, "gone")
    old = TODAY - 100 * DAY
    make_days(db, old, old)
    execution(db, job_id, old, "running", attempt=1, claimed_by="00000000-0000-0000-0000-000000000000", claim=7)
    execution(db, job_id, old + timedelta(hours=1), "retrying", attempt=2)
    execution(db, job_id, old + timedelta(hours=2), "failed", redrive_at=NOW)
    for hour in (3, 4):
        for owner in (job_id, rare, gone):
            execution(db, owner, old + timedelta(hours=hour))
    execution(db, rare, old + timedelta(hours=5), origin="manual")
    execution(db, job_id, TODAY)
    db.execute("delete from job where id = %s", (gone,))
    tallied = one(db, "select sum(executions) as sum, sum(ended) as ended from tally")
    needed = [(job_id, 0), (job_id, 1), (job_id, 2), (rare, 4)]

    def found() -> list[tuple[Any, int]]:
        rows = db.execute("select * from execution where scheduled_for < %s order by job_id, scheduled_for", (TODAY,))
        return [(row["job_id"], row["scheduled_for"].hour) for row in rows]

    before = db.execute("select * from execution where scheduled_for < %s", (old + timedelta(hours=3),)).fetchall()
    assert await changed(database_url, "old_days", "old_executions") == [1, 0]
    assert found() == needed
    after = db.execute("select * from execution where scheduled_for < %s", (old + timedelta(hours=3),)).fetchall()
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert one(db, "select sum(executions) as sum, sum(ended) as ended from tally") == tallied
    assert await changed(database_url, "days_ahead", "old_executions") == [0, 0]
    db.execute(
        "update execution set status = 'success', finished_at = now(), redrive_at = null where job_id = %s", (job_id,)
    )
    execution(db, rare, TODAY)
    assert await changed(database_url, "old_executions") == [4]
    assert found() == []


async def test_what_had_no_day_gets_one(database_url: str, db: DictConnection) -> None:
    """What lies in the default partition is moved into one of its day, unless that is older than is kept, or far
    ahead."""
    job_id = add_job(db)
    ages = (200, 50, -5, -300)
    db.execute("drop table execution_" + f"{TODAY + 5 * DAY:%Y%m%d}")
    for age in ages:
        execution(db, job_id, TODAY - age * DAY)
    assert count(db, "execution_other") == 4
    assert await changed(database_url, "days_ahead") == [2]
    assert count(db, "execution_other") == 2
    assert count(db, "execution") == 4
    assert TODAY - 50 * DAY in days(db)


async def test_claims_and_outcomes_go_on_while_days_are_dropped(database_url: str, db: DictConnection) -> None:
    """A ledger that claims and finishes all the time loses nothing while days come and go beside it."""
    job_id = add_job(db, overlap="allow")
    for age in range(100, 130):
        make_days(db, TODAY - age * DAY, TODAY - age * DAY)
        execution(db, job_id, TODAY - age * DAY)
    written = 0
    async with ledger(database_url) as claiming:

        async def work(lane: int) -> None:
            nonlocal written
            while not dropped.done():
                asked = await wish(claiming, job_id, due=NOW + timedelta(microseconds=written * 7 + lane))
                written += 1
                claim = await claiming.claim(asked)
                assert claim.verdict == "mine"

        dropped = asyncio.create_task(changed(database_url, "old_days"))
        await asyncio.gather(*(work(lane) for lane in range(4)))
    assert await dropped == [30]
    assert count(db, "execution", "status = 'running'") == written > 0


async def test_a_reader_of_the_ledger_is_waited_for_but_holds_nobody_up(database_url: str, db: DictConnection) -> None:
    """While somebody reads the ledger in a transaction that stays open, no day is dropped; whoever writes meanwhile
    waits a moment at most, and the day goes when the reader has."""
    job_id = add_job(db)
    make_days(db, TODAY - 100 * DAY, TODAY - 100 * DAY)
    with psycopg.connect(database_url) as reading:
        reading.execute("select count(*) from execution")
        dropping = asyncio.create_task(round_of(database_url, "old_days"))
        with connect(database_url) as writing:
            writing.execute("set statement_timeout = '3s'")
            for number in range(5):
                await asyncio.sleep(0.2)
                await asyncio.to_thread(execution, writing, job_id, TODAY + timedelta(seconds=number))
        assert not dropping.done()
    done = await dropping
    assert done is not None
    assert (done["old_days"].changed, done["old_days"].error) == (1, None)

"""Shifts of upkeep: the chores once an hour over all machines, the watchdog beside them, and what they leave undone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from include.shifts import upkeep
from include.shifts.bell import utcnow
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection
from tests.shift_stage import opened_post, until
from tests.upkeep_rounds import count, impatient

__all__ = ["impatient"]


def shift(*, by_hand: bool = False) -> Shift:
    return Shift(1, utcnow(), "run", 1, table="upkeep", by_hand=by_hand)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shifts do not wait with the chores."""
    monkeypatch.setattr(upkeep, "_FIRST_AFTER", timedelta(0))


@pytest.mark.usefixtures("at_once")
async def test_two_shifts_on_two_machines_do_the_chores_once(database_url: str, db: DictConnection) -> None:
    """Whoever is on duty, each chore is begun once within the hour; a shift that is relieved ends, and leaves no
    lock."""
    async with (
        opened_post(database_url, watchdog_seconds=5) as one,
        opened_post(database_url, watchdog_seconds=5) as other,
    ):
        shifts = [asyncio.create_task(upkeep.stand(shift(), post, None)) for post in (one, other)]
        done = (
            "select chore, begun_at from upkeep where ok_at is not null and chore in ('leases', 'log_files') order by 1"
        )
        await until(lambda: len(db.execute(done).fetchall()) == 2)
        begun = db.execute(done).fetchall()
        await asyncio.sleep(6)  # for the next look, which does nothing more
        assert db.execute(done).fetchall() == begun
        for task in shifts:
            task.cancel()
        await asyncio.gather(*shifts, return_exceptions=True)
    assert (
        count(
            db, "pg_locks", "locktype = 'advisory' and objid::bigint = hashtext('millrace.upkeep')::bigint & 4294967295"
        )
        == 0
    )


@pytest.mark.usefixtures("impatient")
async def test_a_run_by_hand_does_all_chores_and_says_what(database_url: str, db: DictConnection) -> None:
    """It does not ask when they were done last; while somebody else is at it, it has nothing to do; a chore that fails
    makes it fail, and is named."""
    db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
    async with opened_post(database_url) as post:
        db.execute("insert into lease (owner, until) values (gen_random_uuid(), now() - interval '2 days')")
        ending = await upkeep.stand(shift(by_hand=True), post, None)
        assert (ending.state, "leases of the dead removed" in ending.line) == ("success", True)
        assert (await upkeep.stand(shift(by_hand=True), post, None)).state == "success"
        with psycopg.connect(database_url) as elsewhere:
            elsewhere.execute("select pg_advisory_lock(hashtext('millrace.upkeep'))")
            said = "the chores are being done already, here or elsewhere"
            assert await upkeep.stand(shift(by_hand=True), post, None) == Ending("skipped", said)
        with psycopg.connect(database_url) as locking:
            locking.execute("lock table millrace.trial in access exclusive mode")
            failed = await upkeep.stand(shift(by_hand=True), post, None)
    assert (failed.state, "trials: canceling statement due to lock timeout" in failed.line) == ("failed", True)


@pytest.mark.usefixtures("at_once")
async def test_a_shift_that_is_cancelled_leaves_the_rest_to_the_next(database_url: str, db: DictConnection) -> None:
    """Cancelled in the middle of a chore, a shift ends at once, and the next one does what is left."""
    async with opened_post(database_url, watchdog_seconds=5) as post:
        with psycopg.connect(database_url) as locking:
            locking.execute("lock table millrace.timer in access exclusive mode")
            task = asyncio.create_task(upkeep.stand(shift(), post, None))
            await until(lambda: count(db, "upkeep", "chore = 'timers'") == 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert count(db, "upkeep", "chore in ('leases', 'turns')") == 0
        task = asyncio.create_task(upkeep.stand(shift(), post, None))
        await until(lambda: count(db, "upkeep", "chore in ('leases', 'turns') and ok_at is not null") == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("minutes", "begun"), [(1, 0), (3, 1)])
async def test_a_process_that_has_just_started_lets_the_chores_wait_and_a_new_shift_does_not(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch, minutes: int, begun: int
) -> None:
    """The chores wait until the process has run for two minutes, however short its shifts are."""
    monkeypatch.setattr(upkeep, "_STARTED_AT", utcnow() - timedelta(minutes=minutes))
    async with opened_post(database_url, shift_seconds=60) as post:
        keeping = upkeep.Keeping(shift(), post, None)
        await keeping.round()
        await asyncio.sleep(0.5)
        await until(lambda: count(db, "upkeep", "chore = 'days_ahead'") == begun)
        await keeping.close()
        await keeping.rounds.end_turn()

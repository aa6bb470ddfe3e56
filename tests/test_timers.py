"""Timers in the database: what may be inserted, when it is due, who gets it, and what a cancel can still stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg import sql

from include.errors import ConfigError
from include.store import timers
from include.store.db import DictConnection, connect
from include.store.edits import changing
from include.store.timers import DueTimers, Outcome
from tests.test_ledger import ledger
from tests.test_store import one
from tests.timer_rows import add_timer, timer

URL = "http://127.0.0.1:9/hook"
LONG_AGO = datetime(2020, 1, 1, tzinfo=timezone.utc)
FAR = datetime(2100, 1, 1, tzinfo=timezone.utc)


@asynccontextmanager
async def pump_of(database_url: str, claim: int = 1, **more: Any) -> AsyncIterator[DueTimers]:
    """What a pump has of the database, under a lease of its own."""
    async with ledger(database_url, **more) as process:
        due = DueTimers(database_url, process.owner, claim)
        try:
            yield due
        finally:
            await due.close()


def outcome(timer_id: int, attempt: int = 1, status: str = "fired", **more: Any) -> Outcome:
    more = {"entry": {"attempt": attempt}, **more}
    return Outcome(timer_id, attempt, status, LONG_AGO, LONG_AGO, **more)  # type: ignore[arg-type]


# -- inserting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "seconds"),
    [
        ({"seconds": 1}, 1),
        ({"minutes": 90}, 5400),
        ({"hours": 1, "minutes": 2, "seconds": 3}, 3723),
        ({"hours": 100_000}, 360_000_000),
    ],
)
def test_hours_minutes_and_seconds_count_from_the_insert(
    db: DictConnection, columns: dict[str, Any], seconds: int
) -> None:
    """Each of them, and their sum, from the moment of the insert on."""
    before = one(db, "select clock_timestamp() as now")["now"]
    row = timer(db, add_timer(db, URL, **columns))
    after = one(db, "select clock_timestamp() as now")["now"]
    assert before <= row["due_at"] - timedelta(seconds=seconds) <= after
    assert (row["next_at"], row["status"], row["method"], row["owner"]) == (row["due_at"], "pending", "POST", "admin")


def test_an_instant_is_taken_as_it_is(db: DictConnection) -> None:
    """A timer may be given its instant, also one that is over: that is due at once."""
    assert timer(db, add_timer(db, URL, due_at=FAR))["due_at"] == FAR
    assert timer(db, add_timer(db, URL, due_at=LONG_AGO))["next_at"] == LONG_AGO


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({}, "a timer needs a time to come"),
        ({"hours": 0, "minutes": 0, "seconds": 0}, "a timer needs a time to come"),
        ({"seconds": 5, "due_at": FAR}, "a timer needs a time to come"),
        ({"seconds": -5}, "a timer needs a time to come"),
        ({"hours": 1, "minutes": -5}, "timer_minutes_check"),
        ({"hours": None, "seconds": 5}, '"hours"'),
        ({"hours": 2_147_483_647}, "timer_due_at_check"),
        ({"due_at": "infinity"}, "timer_due_at_check"),
        ({"due_at": "0044-03-15 BC"}, "timer_due_at_check"),
        ({"seconds": 5, "url": "ftp://example.com/"}, "timer_url_check"),
        ({"seconds": 5, "method": "BREW"}, "timer_method_check"),
        ({"seconds": 5, "body": "17"}, "timer_body_check"),
        ({"seconds": 5, "body": "null"}, "timer_body_check"),
        ({"seconds": 5, "headers": "[]"}, "timer_headers_check"),
        ({"seconds": 5, "retries": -1}, "timer_retries_check"),
        ({"seconds": 5, "no_retry_on": [1]}, "timer_no_retry_on_check"),
        ({"seconds": 5, "status": "fired"}, "final_timers_are_finished"),
    ],
)
def test_a_bad_row_is_refused_by_the_database(db: DictConnection, columns: dict[str, Any], says: str) -> None:
    """What has no time, two times, or makes no sense otherwise never gets into the table."""
    with pytest.raises(psycopg.IntegrityError, match=says):
        add_timer(db, **{"url": URL, **columns})


def test_the_refusal_says_what_to_write(db: DictConnection) -> None:
    """Somebody who forgot the time reads how to give one."""
    says = "Write hours, minutes and seconds, of which one is more than 0; or due_at"
    with pytest.raises(ConfigError, match=says), changing(db):
        timers.insert(db, {"url": URL})


def test_a_timer_can_be_moved_until_it_is_sent(db: DictConnection) -> None:
    """A new `due_at` counts while nothing was sent, and is refused afterwards."""
    timer_id = add_timer(db, URL, seconds=5)
    db.execute("update timer set due_at = %s where id = %s", (FAR, timer_id))
    assert timer(db, timer_id)["next_at"] == FAR
    db.execute("update timer set status = 'fired', finished_at = now() where id = %s", (timer_id,))
    with pytest.raises(psycopg.IntegrityError, match="cannot be moved"):
        db.execute("update timer set due_at = now() where id = %s", (timer_id,))


def test_pumps_hear_of_what_comes_earlier_and_of_nothing_else(database_url: str, db: DictConnection) -> None:
    """One notification for each transaction that inserts, moves ahead or gives back timers; none for other changes."""
    with connect(database_url) as ear, closing(ear.notifies()) as told:
        ear.execute("listen millrace")

        def heard_of(statement: sql.Composable) -> int:
            db.execute(statement)
            db.execute("notify millrace, 'that was all'")
            return sum(1 for _ in iter(lambda: next(told).payload, "that was all"))

        heard = [
            heard_of(statement)
            for statement in (
                sql.SQL("insert into timer (url, seconds) select {}, 9 from generate_series(1, 3)").format(URL),
                sql.SQL("update timer set due_at = due_at - interval '1 second' where id = 1"),
                sql.SQL("update timer set due_at = due_at + interval '9 seconds' where id = 1"),
                sql.SQL("update timer set status = 'firing'"),
                sql.SQL("update timer set status = 'pending', next_at = next_at + interval '1 second' where id = 1"),
                sql.SQL("update timer set status = 'fired', finished_at = now() where id = 2"),
            )
        ]
    assert heard == [1, 1, 0, 0, 1, 0]


# -- claiming ---------------------------------------------------------------------------------------------------------


async def test_no_clock_alone_makes_a_timer_due(database_url: str, db: DictConnection) -> None:
    """What is due by one clock only, be it PostgreSQL's or the pump's, is left."""
    overdue, future = add_timer(db, URL, due_at=datetime.now(timezone.utc)), add_timer(db, URL, seconds=60)
    async with pump_of(database_url) as pump:
        assert await pump.take(10, LONG_AGO) == []
        assert [taken.id for taken in await pump.take(10, FAR)] == [overdue]
        assert await pump.next_at() == timer(db, future)["due_at"]


async def test_the_oldest_are_claimed_first_and_each_once(database_url: str, db: DictConnection) -> None:
    """Two pumps that ask at the same time share what is due; what one has, the other does not get."""
    ids = [add_timer(db, URL, due_at=LONG_AGO - timedelta(seconds=age)) for age in range(40)]
    async with pump_of(database_url) as one_pump, pump_of(database_url) as other:
        assert [taken.id for taken in await one_pump.take(2, FAR)] == [ids[-1], ids[-2]]
        parts = await asyncio.gather(*(pump.take(7, FAR) for pump in (one_pump, other) * 3))
    claimed = [taken.id for part in parts for taken in part]
    assert len(claimed) == 38
    assert sorted(claimed) == sorted(ids[:-2])


async def test_only_the_claim_that_made_an_attempt_writes_its_outcome(database_url: str, db: DictConnection) -> None:
    """Once: what comes again, late, or from another pump, changes nothing."""
    timer_id = add_timer(db, URL, due_at=LONG_AGO)
    async with pump_of(database_url, claim=1) as mine, pump_of(database_url, claim=2) as other:
        await mine.take(1, FAR)
        assert not await other.finish(outcome(timer_id, error="not mine"))
        assert not await mine.finish(outcome(timer_id, attempt=2))
        assert await mine.finish(outcome(timer_id))
        assert not await mine.finish(outcome(timer_id, status="failed"))
    row = timer(db, timer_id)
    assert (row["status"], row["attempts"], row["error"], row["claimed_by"]) == ("fired", [{"attempt": 1}], None, None)


async def test_what_was_claimed_and_never_heard_of_is_claimed_again(database_url: str, db: DictConnection) -> None:
    """The connection cut before the answer came, a pump finds its own claims again, as the attempt that they are."""
    heard, unheard = add_timer(db, URL, due_at=LONG_AGO), add_timer(db, URL, due_at=LONG_AGO)
    async with pump_of(database_url) as pump:
        await pump.take(2, FAR)
        assert [(t.id, t.attempt) for t in await pump.take_over(10, {heard}, [1])] == [(unheard, 1)]
        assert await pump.take_over(10, {heard, unheard}, [1]) == []


async def test_claims_of_the_living_are_theirs(database_url: str, db: DictConnection) -> None:
    """Only when its owner's lease is gone is a claim taken over; the attempt that may have been made is noted."""
    timer_id = add_timer(db, URL, due_at=LONG_AGO)
    async with pump_of(database_url) as other:
        async with pump_of(database_url) as dying:
            await dying.take(1, FAR)
            assert await other.take_over(10, (), [1]) == []
        [taken] = await other.take_over(10, (), [1])
    assert (taken.id, taken.attempt) == (timer_id, 2)
    [entry] = timer(db, timer_id)["attempts"]
    assert (entry["attempt"], entry["error"]) == (1, "the process that was sending it died")
    assert datetime.fromisoformat(entry["at"]) == timer(db, timer_id)["fired_at"]


async def test_what_a_pump_hands_back_is_free_at_once(database_url: str, db: DictConnection) -> None:
    """What it had not begun to send is pending as if it had never been claimed; the rest is for whoever takes over."""
    begun, unsent = add_timer(db, URL, due_at=LONG_AGO), add_timer(db, URL, due_at=LONG_AGO)
    async with pump_of(database_url, claim=1) as mine, pump_of(database_url, claim=2) as other:
        await mine.take(2, FAR)
        await mine.hand_back({begun})
        row = timer(db, unsent)
        assert (row["status"], row["attempt"], row["fired_at"]) == ("pending", 0, None)
        assert [(t.id, t.attempt) for t in await other.take_over(10, (), [1])] == [(begun, 2)]
        assert [(t.id, t.attempt) for t in await other.take(10, FAR)] == [(unsent, 1)]


# -- cancelling -------------------------------------------------------------------------------------------------------


async def test_a_cancel_stops_what_is_pending_and_nothing_else(database_url: str, db: DictConnection) -> None:
    """Also one that waits for its retry; one that is being sent, or was, is too late to cancel."""
    waiting, firing, fired, retrying = (add_timer(db, URL, due_at=FAR) for _ in range(4))
    db.execute("update timer set due_at = %s where id > %s", (LONG_AGO, waiting))
    async with pump_of(database_url) as pump:
        await pump.take(10, FAR)
        await pump.finish(outcome(fired))
        await pump.finish(outcome(retrying, status="pending", next_at=FAR, error="503"))
        with changing(db):
            assert timers.cancel(db, [waiting, firing, fired, retrying]) == {waiting, retrying}
        assert await pump.take(10, FAR) == []
    statuses = [row["status"] for row in timers.find(db, [waiting, firing, fired, retrying])]
    assert statuses == ["cancelled", "firing", "fired", "cancelled"]
    assert timers.counts(db) == {"cancelled": 2, "fired": 1, "firing": 1}


async def test_of_a_cancel_and_a_claim_the_first_wins(database_url: str, db: DictConnection) -> None:
    """A pump passes over what is being cancelled at this moment; a cancel waits for a claim, and comes too late."""
    first, second = add_timer(db, URL, due_at=LONG_AGO), add_timer(db, URL, due_at=LONG_AGO)
    async with pump_of(database_url) as pump:
        with connect(database_url) as person, person.transaction():
            assert timers.cancel(person, [first]) == {first}
            assert [taken.id for taken in await pump.take(10, FAR)] == [second]
        with connect(database_url) as claiming, connect(database_url) as person:
            db.execute("update timer set status = 'pending', claimed_by = null where id = %s", (second,))
            with claiming.transaction():
                claiming.execute("update timer set status = 'firing' where id = %s", (second,))
                cancelling = asyncio.get_running_loop().run_in_executor(None, timers.cancel, person, [second])
                while not one(db, "select count(*) as locked from pg_locks where not granted")["locked"]:
                    await asyncio.sleep(0.01)
            assert await cancelling == set()
    assert [row["status"] for row in timers.find(db, [first, second])] == ["cancelled", "firing"]

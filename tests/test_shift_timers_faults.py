"""Pumps that die, freeze, are cancelled or lose the database: no timer is lost, none is sent twice without need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.shifts.pump import Pump, Work
from include.shifts.timers import Timers, stand
from include.store.db import DictConnection
from tests.fake_http import Handler
from tests.test_shifts import opened_post, stage, until
from tests.timer_rows import add_timer, has_status, ids_received, pumping, shift_of_pump, timer

ONCE: dict[str, Any] = {"delivery": "at_most_once"}


def holding(held: asyncio.Event, calls: int = 1) -> Handler:
    """Keep the first calls waiting, and answer the others."""
    numbers = count()

    async def handle(_request: web.Request) -> web.StreamResponse:
        if next(numbers) < calls:
            await held.wait()
        return web.Response()

    return handle


async def test_the_timer_of_the_dead_is_sent_again_with_the_same_id(database_url: str, db: DictConnection) -> None:
    """Its owner's lease gone in the middle of a call, another pump sends it; what the first one learns is void."""
    held = asyncio.Event()
    async with (
        stage(database_url, holding(held), lease_seconds=60) as (dying, server),
        opened_post(database_url) as other,
        pumping(dying),
    ):
        timer_id = add_timer(db, server.url(), due_at=utcnow())
        await until(lambda: server.received)
        db.execute("delete from lease where owner = %s", (dying.ledger.owner,))
        async with pumping(other):
            await until(lambda: has_status(db, "fired"))
            held.set()
            await asyncio.sleep(0.1)
    row = timer(db, timer_id)
    assert ids_received(server) == [f"timer_{timer_id}"] * 2
    assert [entry.get("error") for entry in row["attempts"]] == ["the process that was sending it died", None]
    assert row["attempt"] == 2


async def test_at_most_once_is_not_sent_again(database_url: str, db: DictConnection) -> None:
    """Nobody knows whether the dead had sent it: it is failed, and says so."""
    held = asyncio.Event()
    async with (
        stage(database_url, holding(held), lease_seconds=60) as (dying, server),
        opened_post(database_url) as other,
        pumping(dying),
    ):
        timer_id = add_timer(db, server.url(), due_at=utcnow(), **ONCE)
        await until(lambda: server.received)
        db.execute("delete from lease where owner = %s", (dying.ledger.owner,))
        async with pumping(other):
            await until(lambda: has_status(db, "failed"))
            held.set()
            await asyncio.sleep(0.1)
    row = timer(db, timer_id)
    assert (row["reason"], row["error"]) == ("unknown outcome", "the process that was sending it died")
    assert (len(server.received), len(row["attempts"])) == (1, 1)


async def test_a_pump_that_is_told_to_stop_leaves_its_work_to_others(database_url: str, db: DictConnection) -> None:
    """At once, while its process lives on: the call under way is sent again with the same id, or not, as the row says;
    a call that was over is not."""
    held = asyncio.Event()
    async with stage(database_url, holding(held, 2)) as (leaving, server), opened_post(database_url) as other:
        async with pumping(leaving):
            again, once = (
                add_timer(db, server.url(), due_at=utcnow()),
                add_timer(db, server.url(), due_at=utcnow(), **ONCE),
            )
            await until(lambda: len(server.received) == 2)
            over = add_timer(db, server.url(), due_at=utcnow())
            await until(lambda: len(server.received) == 3)
            await asyncio.sleep(0.005)  # answered, and perhaps not yet written down
        async with pumping(other):
            await until(lambda: has_status(db, "fired", "failed"))
    assert [timer(db, number)["status"] for number in (again, once, over)] == ["fired", "failed", "fired"]
    assert timer(db, once)["reason"] == "unknown outcome"
    assert sorted(ids_received(server)) == sorted(f"timer_{number}" for number in (again, again, once, over))


async def test_what_a_pump_could_not_hand_back_is_taken_over(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while the table was locked, it leaves claims of a process that lives on; its other pumps take them."""
    monkeypatch.setattr("include.shifts.timers._HAND_BACK_SECONDS", 0.1)
    held = asyncio.Event()
    async with stage(database_url, holding(held)) as (post, server):
        async with pumping(post) as [pump]:
            timer_id = add_timer(db, server.url(), due_at=utcnow())
            await until(lambda: server.received)
            with db.transaction():
                db.execute("lock table timer in access exclusive mode")
                pump.cancel()
                await asyncio.wait([pump])
                # Nor shall it be handed back once the table is free again.
                db.execute(
                    "select pg_terminate_backend(pid) from pg_locks join pg_stat_activity using (pid)"
                    " where not granted and datname = current_database()"
                )
        row = timer(db, timer_id)
        assert (row["status"], row["claimed_by"]) == ("firing", post.ledger.owner)
        async with pumping(post):
            await until(lambda: has_status(db, "fired"))
    assert ids_received(server) == [f"timer_{timer_id}"] * 2


async def test_a_pump_that_ends_leaves_no_claim(database_url: str, db: DictConnection) -> None:
    """An outcome that the database refused is nobody's when the pump goes off duty; the next one sends it again."""
    db.execute(
        "create function refuse() returns trigger language plpgsql as $$begin raise exception 'not now'; end$$;"
        "create trigger refuse before update on timer for each row"
        " when (new.status = 'fired') execute function refuse()"
    )
    async with stage(database_url) as (post, server):
        timer_id = add_timer(db, server.url(), due_at=utcnow())
        await stand(shift_of_pump(by_hand=True), post)
        row = timer(db, timer_id)
        assert (row["status"], row["claimed_by"]) == ("firing", UUID(int=0))
        db.execute("drop trigger refuse on timer")
        await stand(shift_of_pump(by_hand=True), post)
    assert timer(db, timer_id)["status"] == "fired"
    assert ids_received(server) == [f"timer_{timer_id}"] * 2


async def test_killed_connections_lose_nothing(database_url: str, db: DictConnection) -> None:
    """PostgreSQL cuts every connection again and again while timers fall due: each is sent, none twice, none early."""
    async with stage(database_url) as (post, server), pumping(post):
        start = utcnow()
        db.execute(
            "insert into timer (url, due_at)"
            " select %s, %s::timestamptz + i * interval '5 ms' from generate_series(1, 300) i",
            (server.url(), start),
        )
        for _ in range(5):
            await asyncio.sleep(0.25)
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await until(lambda: has_status(db, "fired"))
    assert sorted(ids_received(server)) == sorted(f"timer_{number}" for number in range(1, 301))
    assert not db.execute("select from timer where fired_at < due_at or attempt <> 1").fetchall()


async def test_a_pump_without_a_lease_sends_nothing(database_url: str, db: DictConnection) -> None:
    """Frozen for longer than its lease, a process claims nothing until it has renewed it, and then goes on."""
    async with stage(database_url, lease_seconds=60) as (post, server), pumping(post):
        await until(lambda: post.ledger.holds_lease(post.ledger.lease))
        post.ledger._renewed_at = float("-inf")  # as after a freeze
        timer_id = add_timer(db, server.url(), due_at=utcnow())
        await asyncio.sleep(0.2)
        assert (timer(db, timer_id)["status"], server.received) == ("pending", [])
        queue = Timers(shift_of_pump(), post)
        assert (await queue.next_at(), await queue.take(1)) == (None, [])  # there is nothing to ask about so long
        await queue.close()
        await post.ledger._renew()
        await until(lambda: has_status(db, "fired"))
    assert timer(db, timer_id)["attempt"] == 1


async def test_what_was_claimed_before_a_freeze_is_given_back_unsent(database_url: str, db: DictConnection) -> None:
    """Waiting for a free slot when the lease ran out, a timer is pending again, as if nobody had claimed it."""
    async with stage(database_url, concurrency=1, lease_seconds=60) as (post, server), pumping(post):
        await post.slots.acquire()
        timer_id = add_timer(db, server.url(), due_at=utcnow())
        await until(lambda: timer(db, timer_id)["status"] == "firing")
        post.ledger._renewed_at = float("-inf")
        post.slots.release()
        await until(lambda: timer(db, timer_id)["status"] == "pending")
        row = timer(db, timer_id)
        assert (row["attempt"], row["fired_at"], row["attempts"], server.received) == (0, None, [], [])
        await post.ledger._renew()
        await until(lambda: has_status(db, "fired"))
    assert ids_received(server) == [f"timer_{timer_id}"]


async def test_a_cancel_in_the_middle_of_retries_is_the_end(database_url: str, db: DictConnection) -> None:
    """Waiting to be sent again, a timer that is cancelled is not; the attempts that were made are kept."""

    async def busy(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with stage(database_url, busy) as (post, server), pumping(post):
        timer_id = add_timer(db, server.url(), due_at=utcnow(), retry_delay="4 seconds")
        await until(lambda: timer(db, timer_id)["attempts"])
        db.execute("update timer set status = 'cancelled', finished_at = now() where id = %s", (timer_id,))
        await asyncio.sleep(4.5)
    row = timer(db, timer_id)
    assert (row["status"], len(row["attempts"]), len(server.received)) == ("cancelled", 1, 1)


class Broken:
    """A queue that always has something due: it fails to say what, then gives work that breaks, then nothing."""

    room = 2

    def __init__(self) -> None:
        self.takes = 0

    def wind_up(self) -> None: ...

    async def take(self, most: int) -> Sequence[Work]:
        self.takes += 1
        if self.takes == 1:
            raise ValueError("this row cannot be read")
        return [self._work] if self.takes == 2 else []

    async def next_at(self) -> datetime | None:
        return utcnow()

    async def _work(self) -> None:
        raise ValueError("this work cannot be done")


async def test_a_broken_queue_stops_nobody_and_is_not_asked_without_a_pause(
    database_url: str, db: DictConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong is logged; other queues go on; one that says that it has more, and has not, cannot spin."""
    async with stage(database_url) as (post, server):
        shift, broken = shift_of_pump(), Broken()
        queue = Timers(shift, post)
        begun = time.monotonic()
        working = asyncio.create_task(Pump(shift, post, [broken, queue]).work())
        for _ in range(4):
            add_timer(db, server.url(), due_at=utcnow())
        await until(lambda: broken.takes > 10 and has_status(db, "fired"))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert broken.takes <= (time.monotonic() - begun) / 0.05 + 6  # after some shorter pauses
        await queue.close()
    logged = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert logged == ["this row cannot be read", "this work cannot be done"]

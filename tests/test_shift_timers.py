"""Pumps at work: timers are sent when they are due, once, and what became of it is in the row."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from include.shifts import timers
from include.shifts.bell import utcnow
from include.shifts.window import shift_end
from include.store.db import DictConnection
from include.store.timers import counts
from tests.fake_http import Handler
from tests.test_shifts import _Noting, answering, opened_post, stage, until
from tests.timer_rows import add_timer, has_status, ids_received, pumping, shift_of_pump, timer

HOUR = timedelta(hours=1)


async def test_timers_fire_on_their_instant_and_never_before(database_url: str, db: DictConnection) -> None:
    """Inserted in any order, a second ahead or a few milliseconds, each arrives after it is due, and once."""
    async with stage(database_url) as (post, server), pumping(post):
        arrivals: list[datetime] = []
        server.received = _Noting(arrivals)
        start = utcnow()
        for number in range(100):
            delay = timedelta(milliseconds=(number * 37) % 100 * 12)
            add_timer(db, server.url(f"/{number}"), due_at=start + delay)
        await until(lambda: has_status(db, "fired"))
    due = {f"timer_{row['id']}": row["due_at"] for row in db.execute("select id, due_at from timer")}
    assert sorted(ids_received(server)) == sorted(due)
    assert all(at >= due[key] for key, at in zip(ids_received(server), arrivals, strict=True))
    assert all(row["fired_at"] >= row["due_at"] for row in db.execute("select fired_at, due_at from timer"))


async def test_pumps_share_the_load_and_each_timer_is_sent_once(database_url: str, db: DictConnection) -> None:
    """Three pumps in three processes' posts, hundreds of timers overdue since they were down: each sent once."""
    async with stage(database_url) as (first, server):
        db.execute(
            "insert into timer (url, due_at) select %s, now() - i * interval '1 minute' from generate_series(1, 600) i",
            (server.url(),),
        )
        async with opened_post(database_url) as second, opened_post(database_url) as third:
            async with pumping(first, second, third):
                await until(lambda: has_status(db, "fired"))
            owners = db.execute("select count(distinct claim) as pumps from timer").fetchone()
    assert sorted(ids_received(server)) == sorted(f"timer_{number}" for number in range(1, 601))
    assert owners is not None
    assert owners["pumps"] > 1


async def test_a_sleeping_pump_is_woken_by_an_insert(database_url: str, db: DictConnection) -> None:
    """Asleep because nothing is due for an hour, it sends what is inserted to be due sooner."""
    async with stage(database_url) as (post, server), pumping(post):
        add_timer(db, server.url(), hours=1)
        await asyncio.sleep(0.3)
        soon = add_timer(db, server.url(), due_at=utcnow() + timedelta(seconds=0.2))
        await until(lambda: server.received)
        await until(lambda: timer(db, soon)["status"] == "fired")
    assert ids_received(server) == [f"timer_{soon}"]


async def test_what_is_sent_is_what_the_row_says(database_url: str, db: DictConnection) -> None:
    """Method, headers and body as written; without a body an empty object; the outcome is in the row."""
    body = {"order": 17, "note": "später"}
    async with stage(database_url) as (post, server), pumping(post):
        full = add_timer(
            db, server.url("/a"), seconds=1, method="PUT", headers='{"x-tenant": "ann"}', body=json.dumps(body)
        )
        text = add_timer(db, server.url("/b"), seconds=1, body='"as it is"')
        bare = add_timer(db, server.url("/c"), seconds=1)
        await until(lambda: has_status(db, "fired"))
    by_path = {request.path: request for request in server.received}
    assert (by_path["/a"].method, by_path["/a"].headers["x-tenant"]) == ("PUT", "ann")
    assert json.loads(by_path["/a"].body) == body
    assert (by_path["/b"].body, by_path["/c"].body) == (b"as it is", b"{}")
    assert {by_path[path].headers["webhook-id"] for path in ["/a", "/b", "/c"]} == {
        f"timer_{number}" for number in (full, text, bare)
    }
    row = timer(db, full)
    assert (row["attempt"], row["error"], row["claimed_by"]) == (1, None, None)
    assert row["finished_at"] >= row["fired_at"] >= row["due_at"]
    assert (row["output"]["code"], row["output"]["excerpt"]) == (200, "hello")
    assert [entry["code"] for entry in row["attempts"]] == [200]


async def test_a_failed_attempt_is_made_again(database_url: str, db: DictConnection) -> None:
    """After a 503 the timer waits as its row says, and is sent with the same webhook-id, until it succeeds."""
    async with stage(database_url, answering(503, 500, 200)) as (post, server), pumping(post):
        timer_id = add_timer(db, server.url(), due_at=utcnow(), retry_delay="0.1 seconds")
        await until(lambda: has_status(db, "fired"))
    row = timer(db, timer_id)
    assert ids_received(server) == [f"timer_{timer_id}"] * 3
    assert [entry["code"] for entry in row["attempts"]] == [503, 500, 200]
    assert [entry["attempt"] for entry in row["attempts"]] == [1, 2, 3]
    first, second, third = (datetime.fromisoformat(entry["at"]) for entry in row["attempts"])
    assert second - first >= timedelta(seconds=0.1)
    assert third - second >= timedelta(seconds=0.2)
    assert row["fired_at"] == first
    assert (row["attempt"], row["error"]) == (3, None)


@pytest.mark.parametrize(
    ("statuses", "columns", "sent"),
    [
        ((404,), {}, 1),
        ((503,), {"retries": 2, "retry_delay": "0"}, 3),
        ((503,), {"retries": 0}, 1),
        ((503,), {"no_retry_on": [503]}, 1),
    ],
)
async def test_timers_that_cannot_be_sent_are_dead(
    database_url: str, db: DictConnection, statuses: tuple[int, ...], columns: dict[str, Any], sent: int
) -> None:
    """Refused for good, or with its retries used up, a timer is failed, and says why."""
    async with stage(database_url, answering(*statuses)) as (post, server), pumping(post):
        timer_id = add_timer(db, server.url(), due_at=utcnow(), **columns)
        await until(lambda: has_status(db, "failed"))
    row = timer(db, timer_id)
    assert (len(server.received), row["attempt"], len(row["attempts"])) == (sent, sent, sent)
    assert str(statuses[0]) in row["error"]
    assert row["finished_at"] is not None


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"url": "http://user:secret@127.0.0.1/"}, "without user and password"),
        ({"headers": '{"host": "other"}'}, "leave out host"),
        ({"headers": '{"n": 5}'}, "headers.n"),
        ({"url": "http://10.0.0.1/"}, "MILLRACE_EGRESS_ALLOW"),
        ({"conn_id": "no such"}, "no such"),
    ],
)
async def test_a_row_that_makes_no_sense_fails_alone(
    database_url: str, db: DictConnection, columns: dict[str, Any], says: str
) -> None:
    """It is failed at its instant with a reason that says how to mend it; its neighbour is sent."""
    async with stage(database_url) as (post, server), pumping(post):
        now = utcnow()
        bad = add_timer(db, **{"url": server.url(), "due_at": now, **columns})
        good = add_timer(db, server.url(), due_at=now)
        await until(lambda: has_status(db, "fired", "failed"))
    assert (timer(db, bad)["status"], timer(db, good)["status"]) == ("failed", "fired")
    assert says in timer(db, bad)["error"]
    assert "secret" not in timer(db, bad)["error"]


async def test_retry_after_is_honoured(database_url: str, db: DictConnection) -> None:
    """A server that says when to come back is not asked before, whoever is on duty then."""
    async with stage(database_url, answering(429, headers={"Retry-After": "120"})) as (post, server), pumping(post):
        timer_id = add_timer(db, server.url(), due_at=utcnow())
        await until(lambda: timer(db, timer_id)["attempts"])
    row = timer(db, timer_id)
    assert (row["status"], row["attempt"], len(server.received)) == ("pending", 1, 1)
    assert row["next_at"] - row["fired_at"] >= timedelta(seconds=120)
    assert "429" in row["error"]


async def test_an_unknown_outcome_is_not_tried_again_at_most_once(database_url: str, db: DictConnection) -> None:
    """A call that timed out may have been heard: `at_most_once` fails it; a 503 was an answer, and is retried."""
    async with stage(database_url, _silent_or_busy()) as (post, server), pumping(post):
        once: dict[str, Any] = {"delivery": "at_most_once", "retry_delay": "0", "retries": 1}
        silent = add_timer(db, server.url("/silent"), due_at=utcnow(), timeout="3 seconds", **once)
        busy = add_timer(db, server.url("/busy"), due_at=utcnow(), **once)
        await until(lambda: has_status(db, "failed"))
    assert (timer(db, silent)["reason"], timer(db, silent)["attempt"]) == ("unknown outcome", 1)
    assert (timer(db, busy)["reason"], timer(db, busy)["attempt"]) == (None, 2)
    assert sorted(request.path for request in server.received) == ["/busy", "/busy", "/silent"]


def _silent_or_busy() -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/silent":
            await asyncio.sleep(60)
        return web.Response(status=503)

    return handle


async def test_no_more_is_claimed_than_there_is_room_for(database_url: str, db: DictConnection) -> None:
    """With two calls under way and room for two, the rest stay pending, for other pumps to take."""
    hold = asyncio.Event()

    async def waits(_request: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.Response()

    async with stage(database_url, waits, concurrency=2) as (post, server), pumping(post):
        for _ in range(5):
            add_timer(db, server.url(), due_at=utcnow())
        await until(lambda: len(server.received) == 2)
        await asyncio.sleep(0.1)
        assert counts(db) == {"firing": 2, "pending": 3}
        hold.set()
        await until(lambda: has_status(db, "fired"))


async def test_a_shift_is_relieved_by_the_next_of_its_number(database_url: str, db: DictConnection) -> None:
    """The next run begins before its instant and takes over at it; the one before finishes what is under way."""
    async with stage(database_url, _slow) as (post, server):
        now = utcnow()
        shifts = [shift_of_pump(1, now - HOUR), shift_of_pump(1, now + timedelta(seconds=0.5)), shift_of_pump(2)]
        async with pumping(post, shifts=shifts[:1]) as [before]:
            add_timer(db, server.url(), due_at=now + timedelta(seconds=0.4))
            await until(lambda: server.received)
            async with pumping(post, post, shifts=shifts[1:]) as [after, other]:
                assert (await before).line == "1 sent"
                assert not after.done()
                assert not other.done()
    assert has_status(db, "fired")


async def test_a_shift_past_its_border_ends_when_another_process_has_taken_over(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overtime lasts until a shift of the same number has signed on, wherever it is."""
    monkeypatch.setattr("include.shifts.pump._SIGN_EVERY", timedelta(seconds=0.1))
    over = shift_end(1, utcnow() - HOUR, HOUR)  # within the last hour
    old, new = shift_of_pump(1, over - HOUR / 2), shift_of_pump(1, utcnow() + timedelta(seconds=0.1))
    async with (
        opened_post(database_url) as here,
        opened_post(database_url) as there,
        pumping(here, shifts=[old]) as [before],
    ):
        await asyncio.sleep(0.4)
        assert not before.done()
        async with pumping(there, shifts=[new]) as [after]:
            assert (await before).state == "success"
            assert not after.done()


async def test_a_run_by_hand_sends_what_is_due_and_ends(database_url: str, db: DictConnection) -> None:
    """It relieves nobody, and waits for nothing that is due later."""
    async with stage(database_url) as (post, server):
        add_timer(db, server.url(), hours=1)
        add_timer(db, server.url(), due_at=utcnow())
        ending = await timers.stand(shift_of_pump(by_hand=True), post)
    assert (ending.state, ending.line) == ("success", "1 sent")
    assert counts(db) == {"fired": 1, "pending": 1}


async def _slow(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.4)
    return web.Response()

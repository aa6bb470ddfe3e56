"""A connector's shift on a real database and a real source: pages and cursor, limits, waiting."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from include.model import Connection
from include.shifts import pull
from include.shifts.bell import utcnow
from include.shifts.pace import Pace
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.store.db import DictConnection, connect
from include.store.rows import connector_from_row
from tests.fake_http import Handler, Server
from tests.log_rows import add_connector
from tests.shift_stage import opened_post, stage, until

PAGE = 3


def listing(count: int, *, fails_at: dict[int, web.Response] | None = None) -> Handler:
    """A list of items, paged by `after`; the n-th request may be answered with something else, once."""
    answers = dict(fails_at or {})
    asked = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked in answers:
            return answers.pop(asked)
        after = int(request.query.get("after", 0))
        ids = list(range(after + 1, min(after + PAGE, count) + 1))
        more = ids and ids[-1] < count
        return web.json_response({"items": [{"id": n} for n in ids], "next": ids[-1] if more else None})

    return handle


def add_rest(db: DictConnection, server: Server, *, config: dict[str, Any] | None = None, **columns: Any) -> int:
    """A connector that pulls the listing, once a second where nothing else is said."""
    paginator = {"type": "cursor", "cursor_path": "next", "cursor_param": "after"}
    base = {"base_url": server.url(), "data_selector": "items", "primary_key": "id", "paginator": paginator}
    return add_connector(db, kind="rest", config={**base, **(config or {})}, **{"every": "1 second", **columns})


def shift_for(connector: int, **facts: Any) -> Shift:
    return Shift(connector, facts.pop("due", utcnow()), "run", 1, table="connector", **facts)


async def pull_once(post: Post, connector: int) -> Ending:
    return await pull.stand(shift_for(connector, by_hand=True), post)


def row(db: DictConnection, connector: int) -> dict[str, Any]:
    found = db.execute("select * from connector where id = %s", (connector,)).fetchone()
    assert found is not None
    return found


def keys(db: DictConnection) -> list[int]:
    return [int(str(record["key"])) for record in db.execute("select key from record order by connector_id, position")]


async def test_pages_are_stored_with_their_cursor_and_the_next_pull_adds_nothing(
    database_url: str, db: DictConnection
) -> None:
    """Everything is pulled once, in order; pulling again finds it stored already."""
    async with stage(database_url, listing(8)) as (post, server):
        connector = add_rest(db, server)
        assert (await pull_once(post, connector)).line == "1 pulls, 8 new records"
        assert (await pull_once(post, connector)).line == "1 pulls, 0 new records"
    assert keys(db) == list(range(1, 9))
    assert row(db, connector)["head"] == 8
    assert row(db, connector)["pulled_at"] is not None


async def test_the_next_page_is_fetched_while_the_last_is_stored(database_url: str, db: DictConnection) -> None:
    """A page that cannot be stored yet, for somebody holds the row, does not keep the next from being asked for."""
    async with stage(database_url, listing(8)) as (post, server):
        connector = add_rest(db, server)
        with connect(database_url) as other, other.transaction():
            other.execute("select from connector where id = %s for update", (connector,))
            pulling = asyncio.create_task(pull_once(post, connector))
            await until(lambda: len(server.received) == 2)
            assert keys(db) == []
        await pulling
    assert keys(db) == list(range(1, 9))


async def test_a_pull_that_is_cut_off_goes_on_from_there(database_url: str, db: DictConnection) -> None:
    """At most so many pages in one pull; what was stored stays, and the next pull asks for the page after it."""
    async with stage(database_url, listing(8), pull_pages=1) as (post, server):
        connector = add_rest(db, server)
        for stored in (3, 6, 8):
            assert (await pull_once(post, connector)).state == "success"
            assert row(db, connector)["head"] == stored
    assert row(db, connector)["failures"] == 0


async def test_a_source_that_hangs_is_left_after_a_while(database_url: str, db: DictConnection) -> None:
    """A pull ends after `pull_seconds`, whatever the source does; the pages that came before stay."""

    async def hangs(request: web.Request) -> web.StreamResponse:
        if "after" in request.query:
            await asyncio.sleep(60)
        return await listing(8)(request)

    async with stage(database_url, hangs, pull_seconds=4) as (post, server):
        connector = add_rest(db, server)
        assert (await pull_once(post, connector)).state == "success"
    assert keys(db) == [1, 2, 3]


async def test_a_source_that_goes_in_circles_is_left(database_url: str, db: DictConnection) -> None:
    """The same cursor twice in one pull ends it with an error that says so; what came is kept."""

    async def circle(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": [{"id": 1}], "next": 5})

    async with stage(database_url, circle) as (post, server):
        connector = add_rest(db, server)
        ending = await pull_once(post, connector)
        assert len(server.received) < 5
    assert ending.state == "failed"
    assert "in circles" in ending.line
    assert keys(db) == [1]


async def test_being_told_to_wait_is_no_failure(database_url: str, db: DictConnection) -> None:
    """A 429 in the middle keeps what came; the shift waits as told, goes on from there, and nothing has failed."""
    told = web.Response(status=429, headers={"Retry-After": "3"})
    async with stage(database_url, listing(8, fails_at={2: told})) as (post, server):
        connector = add_rest(db, server, alert_after=1)
        duty = asyncio.create_task(pull.stand(shift_for(connector), post))
        await until(lambda: row(db, connector)["not_before"] is not None)
        assert keys(db) == [1, 2, 3]
        waited = row(db, connector)["not_before"]
        await until(lambda: row(db, connector)["head"] == 8)
        assert utcnow() >= waited
        assert row(db, connector)["failures"] == 0
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)
    assert keys(db) == list(range(1, 9))
    assert [received.query for received in server.received[:4]] == ["", "after=3", "after=3", "after=6"]


async def test_a_cursor_that_somebody_moved_is_not_moved_back(database_url: str, db: DictConnection) -> None:
    """A pull that was overtaken stores nothing more, and has not failed: whoever moved the cursor goes on from it."""

    async def overtaken(request: web.Request) -> web.StreamResponse:
        if "after" in request.query:
            await until(lambda: row(db, 1)["head"] == PAGE)
            db.execute("update connector set cursor = '{\"elsewhere\": 1}'")
        return await listing(8)(request)

    async with stage(database_url, overtaken) as (post, server):
        connector = add_rest(db, server)
        assert (await pull_once(post, connector)).state == "success"
    assert row(db, connector)["cursor"] == {"elsewhere": 1}
    assert keys(db) == [1, 2, 3]


async def test_a_paused_connector_is_not_pulled(database_url: str, db: DictConnection) -> None:
    """Pausing takes effect at once, and so does resuming."""
    async with stage(database_url, listing(2)) as (post, server):
        connector = add_rest(db, server, is_active=False)
        duty = asyncio.create_task(pull.stand(shift_for(connector), post))
        await asyncio.sleep(1.2)
        assert server.received == []
        db.execute("update connector set is_active = true")
        await until(lambda: server.received)
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)


async def test_the_next_shift_relieves_this_one(database_url: str, db: DictConnection) -> None:
    """Two shifts of one connector hand over: the first ends where the second begins, and no page comes twice."""
    async with stage(database_url, listing(2)) as (post, server):
        connector = add_rest(db, server)
        first = asyncio.create_task(pull.stand(shift_for(connector), post))
        await until(lambda: server.received)
        second = asyncio.create_task(pull.stand(shift_for(connector, due=utcnow() + timedelta(seconds=0.5)), post))
        assert (await first).state == "success"
        before = len(server.received)
        await until(lambda: len(server.received) > before)
        db.execute("delete from connector")
        assert (await second).state == "skipped"


async def test_two_processes_pull_once_for_each_occurrence(database_url: str, db: DictConnection) -> None:
    """Shifts of one connector in two processes, as at a hand-over between machines, pull once between them."""
    async with stage(database_url, listing(2)) as (post, server), opened_post(database_url) as other:
        connector = add_rest(db, server)
        due = utcnow()
        duties = [asyncio.create_task(pull.stand(shift_for(connector, due=due), one)) for one in (post, other)]
        await asyncio.sleep(4.5)
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
        schedule = connector_from_row(row(db, connector)).schedule
        occurrences = len(list(schedule.between(due, utcnow())))
    assert len(server.received) <= occurrences + 1


async def test_what_is_pushed_is_not_pulled(database_url: str, db: DictConnection) -> None:
    """A run by hand of a push connector says so, and does nothing."""
    connector = add_connector(db, kind="webhook")
    async with opened_post(database_url) as post:
        assert (await pull_once(post, connector)).state == "skipped"


async def test_no_secret_is_in_what_is_said(database_url: str, db: DictConnection) -> None:
    """A source that echoes the token in its error is quoted without it: on the row, and in the run."""

    async def echoes(request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text=f"bad token {request.headers['Authorization']}")

    async def find(conn_id: str) -> Connection:
        return Connection(conn_id, password="tok-12345")

    async with stage(database_url, echoes) as (post, server):
        post.connections = find
        connector = add_rest(db, server, config={"conn_id": "api", "auth": {"type": "bearer"}})
        ending = await pull_once(post, connector)
    assert server.received[0].headers["authorization"] == "Bearer tok-12345"
    assert "tok-12345" not in ending.line
    assert "tok-12345" not in str(row(db, connector))


@pytest.mark.parametrize(("limit", "gap"), [("10/second", 0.1), ("60/minute", 1.0), ("3600/hour", 1.0)])
def test_a_pace_is_kept(limit: str, gap: float) -> None:
    """However fast requests come, in the long run they leave at the rate that the row allows."""
    pace = Pace(limit)
    now = 100.0
    waits = [pace.take(now, math.inf) for _ in range(100)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(99 * gap - 1.0)
    assert Pace(limit).take(now, 0) == 0


def test_a_wait_that_is_too_long_takes_nothing() -> None:
    """However often a pull asks that cannot wait so long, the next request is due when it was."""
    pace = Pace("1/hour")
    assert pace.take(0, 300) == 0
    assert [pace.take(now, 300) for now in (0, 1000, 3000)] == [3599, 2599, 599]
    assert pace.take(3599, 300) == 0


async def test_a_wait_that_is_too_long_takes_nothing_out_of_a_budget(database_url: str, db: DictConnection) -> None:
    """Whoever cannot wait leaves the budget to the others."""
    db.execute("insert into budget (name, rate_limit) values ('api', '1/hour')")
    async with opened_post(database_url) as post:
        assert await post.log.take_token("api", 300) == 0
        waits = [await post.log.take_token("api", 300) for _ in range(5)]
    assert waits == sorted(waits, reverse=True)
    assert 3500 < waits[-1] < 3600


async def test_a_budget_is_shared_by_all(database_url: str, db: DictConnection) -> None:
    """Connectors that name one budget, here and in another process, take their requests from it together."""
    db.execute("insert into budget (name, rate_limit) values ('api', '1/second')")
    async with opened_post(database_url) as one, opened_post(database_url) as other:
        waits = [await post.log.take_token("api", 60) for _ in range(30) for post in (one, other)]
    assert max(waits) > 30  # sixty requests at one a second, less the time that asking took
    assert waits[0] == 0


async def test_requests_keep_to_the_rows_limit(database_url: str, db: DictConnection) -> None:
    """A limit that allows no further request in this pull ends it; that is no failure."""
    async with stage(database_url, listing(8), pull_seconds=5) as (post, server):
        connector = add_rest(db, server, rate_limit="1/hour")
        ending = await pull_once(post, connector)
        assert len(server.received) == 1
    assert ending.state == "success"
    assert row(db, connector)["failures"] == 0
    assert keys(db) == [1, 2, 3]

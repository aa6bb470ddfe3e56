"""Shifts at work on a real database and a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from include.model import Job
from include.settings import Settings
from include.shifts import job as job_shift
from include.shifts.bell import Bell, utcnow
from include.shifts.execution import webhook_id
from include.shifts.owed import first_to_execute, missed
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.shifts.window import shift_end
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.fake_http import Handler, Server, ok, serving
from tests.test_store import add_job, one

UTC = timezone.utc
SECOND = timedelta(seconds=1)


@asynccontextmanager
async def opened_post(database_url: str, **settings: Any) -> AsyncIterator[Post]:
    post = Post(Settings(database_url=database_url, egress_allow="127.0.0.0/8", **settings))  # type: ignore[arg-type]
    await post.open()
    try:
        yield post
    finally:
        await post.close()


@asynccontextmanager
async def stage(database_url: str, handler: Handler = ok, **settings: Any) -> AsyncIterator[tuple[Post, Server]]:
    """A post, and a server that the jobs call."""
    async with serving(handler) as server, opened_post(database_url, **settings) as post:
        yield post, server


def add(db: DictConnection, server: Server, name: str = "a", kind: str = "webhook", **columns: Any) -> int:
    return add_job(db, name, kind=kind, payload=f'{{"url": "{server.url("/" + name)}"}}', **columns)


def executions(db: DictConnection) -> list[dict[str, Any]]:
    return db.execute("select * from execution order by job_id, scheduled_for").fetchall()


def answering(*statuses: int, headers: dict[str, str] | None = None) -> Handler:
    """Answer with one status after another, then with the last for ever."""
    left = list(statuses)

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers)

    return handle


async def stand(post: Post, job_id: int, due: datetime, run_id: str = "run", **more: Any) -> Ending:
    return await job_shift.stand(Shift(job_id, due, run_id, more.pop("try_number", 1), **more), post)


async def until(condition: Any) -> None:
    """Wait until the condition holds; the test's own time-out is pytest's."""
    while not condition():
        await asyncio.sleep(0.02)


# -- one occurrence ---------------------------------------------------------------------------------------------------


async def test_a_run_fires_on_its_instant_and_never_before(database_url: str, db: DictConnection) -> None:
    """Armed ahead, the call goes out at the instant, with the key of the occurrence, and the ledger has it."""
    async with stage(database_url) as (post, server):
        due = (utcnow() + 1.5 * SECOND).replace(microsecond=0)
        job_id = add(db, server, run_at=due)
        arrivals: list[datetime] = []
        server.received = _Noting(arrivals)
        assert (await stand(post, job_id, due)).state == "success"
    [row] = executions(db)
    assert arrivals[0] >= due
    assert (row["status"], row["scheduled_for"], row["attempt"], row["origin"]) == ("success", due, 1, "schedule")
    assert row["started_at"] >= due
    assert row["attempts"][0]["code"] == 200
    assert row["output"]["excerpt"] == "hello"


class _Noting(list[Any]):
    """A list that notes when something is appended."""

    def __init__(self, times: list[datetime]) -> None:
        super().__init__()
        self.times = times

    def append(self, item: Any) -> None:
        self.times.append(utcnow())
        super().append(item)


async def test_airflow_retries_with_the_same_key(database_url: str, db: DictConnection) -> None:
    """A 503 ends the try; the next try makes attempt 2 in the same row, with the same webhook-id."""
    async with stage(database_url, answering(503, 200), lead_seconds=0) as (post, server):
        due = utcnow()
        job_id = add(db, server, run_at=due, retry_delay="7 seconds", retry_jitter=0)
        first = await stand(post, job_id, due)
        second = await stand(post, job_id, due, try_number=2)
        ids = [request.headers["webhook-id"] for request in server.received]
    assert (first.state, first.after_seconds, second.state) == ("retry", 7, "success")
    assert ids == [webhook_id(job_id, due)] * 2
    [row] = executions(db)
    assert [attempt.get("code") for attempt in row["attempts"]] == [503, 200]


async def test_retry_after_is_honoured(database_url: str, db: DictConnection) -> None:
    """A server that says when to come back is not asked before."""
    async with stage(database_url, answering(429, headers={"Retry-After": "120"})) as (post, server):
        due = utcnow()
        ending = await stand(post, add(db, server, run_at=due), due)
    assert (ending.state, ending.after_seconds) == ("retry", 120)


async def test_permanent_failures_and_used_up_retries_end_the_run(database_url: str, db: DictConnection) -> None:
    """A 404 is not tried again, nor is a 503 when no retries are left."""
    async with stage(database_url, answering(404, 503)) as (post, server):
        due = utcnow()
        gone = await stand(post, add(db, server, "gone", run_at=due), due)
        spent = await stand(post, add(db, server, "spent", run_at=due, retries=0), due)
    assert (gone.state, spent.state) == ("failed", "failed")
    assert [row["status"] for row in executions(db)] == ["failed", "failed"]


async def test_at_most_once_does_not_repeat_what_may_have_arrived(database_url: str, db: DictConnection) -> None:
    """A time-out leaves the outcome unknown; at-most-once then fails instead of sending again."""
    async with stage(database_url, _never) as (post, server):
        due = utcnow()
        job_id = add(db, server, run_at=due, delivery="at_most_once", timeout="0.3 seconds")
        assert (await stand(post, job_id, due)).state == "failed"
    assert one(db, "select status, reason from execution") == {"status": "failed", "reason": "unknown outcome"}


async def _never(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    raise AssertionError


async def test_an_edit_while_armed_takes_effect(database_url: str, db: DictConnection) -> None:
    """Between arming and the instant the payload may change, and so may the schedule: the row as it stands counts."""
    async with stage(database_url) as (post, server):
        due = utcnow() + SECOND
        payload, schedule = add(db, server, "payload", run_at=due), add(db, server, "schedule", run_at=due)
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in (payload, schedule)]
        await asyncio.sleep(0.3)
        db.execute("update job set payload = %s where id = %s", (f'{{"url": "{server.url("/new")}"}}', payload))
        db.execute("update job set run_at = run_at + interval '1 hour' where id = %s", (schedule,))
        endings = await asyncio.gather(*shifts)
    assert [ending.state for ending in endings] == ["success", "skipped"]
    assert [request.path for request in server.received] == ["/new"]


async def test_pause_and_delete_stop_an_armed_run(database_url: str, db: DictConnection) -> None:
    """A paused occurrence is skipped with the reason; a deleted job fires no more."""
    async with stage(database_url) as (post, server):
        due = utcnow() + SECOND
        paused, deleted = add(db, server, "paused", run_at=due), add(db, server, "deleted", run_at=due)
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in (paused, deleted)]
        await asyncio.sleep(0.3)
        db.execute("update job set is_active = false where id = %s", (paused,))
        db.execute("delete from job where id = %s", (deleted,))
        endings = await asyncio.gather(*shifts)
        assert not server.received
    assert [ending.state for ending in endings] == ["skipped", "skipped"]
    assert [(row["status"], row["reason"]) for row in executions(db)] == [("skipped", "paused")]


async def test_a_run_by_hand_fires_at_once_with_its_conf(database_url: str, db: DictConnection) -> None:
    """Triggered by hand, a job runs now, paused or not; its conf overrides payload fields and is validated."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, is_active=False)
        good = await stand(post, job_id, utcnow(), "manual__1", by_hand=True, conf={"url": server.url("/other")})
        bad = await stand(post, job_id, utcnow(), "manual__2", by_hand=True, conf={"uri": "x"})
        assert [request.path for request in server.received] == ["/other"]
    assert (good.state, bad.state) == ("success", "failed")
    assert "uri" in bad.line
    assert [row["origin"] for row in executions(db)] == ["manual", "manual"]


async def test_a_kind_that_breaks_fails_its_own_execution(database_url: str, db: DictConnection) -> None:
    """An unknown kind is an error with a remedy in the ledger, and no exception."""
    async with stage(database_url) as (post, server):
        due = utcnow()
        ending = await stand(post, add(db, server, kind="webhok", run_at=due), due)
    assert ending.state == "failed"
    assert "did you mean 'webhook'" in str(executions(db)[0]["error"])


# -- coming late ------------------------------------------------------------------------------------------------------


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


# -- many occurrences -------------------------------------------------------------------------------------------------


async def test_a_fast_schedule_fires_every_occurrence_of_its_shift(database_url: str, db: DictConnection) -> None:
    """Every second, on the second; when the schedule ends, so does the shift."""
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0) + 2 * SECOND
        job_id = add(db, server, every="1 second", starts_at=start, ends_at=start + 4 * SECOND)
        ending = await stand(post, job_id, start)
    assert ending == Ending("success", "4 success")
    rows = executions(db)
    assert [row["scheduled_for"] for row in rows] == [start + number * SECOND for number in range(4)]
    assert all(row["started_at"] >= row["scheduled_for"] for row in rows)


async def test_a_fast_shift_follows_its_row(database_url: str, db: DictConnection) -> None:
    """Edited, paused, resumed and deleted, the shift on duty does what the row says, and needs no new run."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 second")
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: server.received)
        db.execute("update job set payload = %s", (f'{{"url": "{server.url("/new")}"}}',))
        await until(lambda: server.received[-1].path == "/new")
        db.execute("update job set is_active = false")
        await asyncio.sleep(0.2)
        count = len(server.received)
        await asyncio.sleep(2.2)
        assert len(server.received) == count
        db.execute("update job set is_active = true")
        await until(lambda: len(server.received) > count)
        db.execute("delete from job")
        assert (await shift).state == "success"
    statuses = {row["status"] for row in executions(db)}
    assert statuses == {"success", "missed"}


async def test_a_faster_schedule_takes_effect_on_duty(database_url: str, db: DictConnection) -> None:
    """From every 50 s to every second, by SQL: the next call comes within seconds, in the same shift."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="50 seconds", starts_at=utcnow() + SECOND)
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: len(server.received) == 1)
        db.execute("update job set every = '1 second'")
        await until(lambda: len(server.received) >= 3)
        db.execute("update job set every = '2 minutes'")
        assert (await shift).state == "success"


async def test_retries_within_a_shift_keep_to_the_policy(database_url: str, db: DictConnection) -> None:
    """Where a run holds many occurrences, the shift retries itself: same key, same row, then failed and red."""
    async with stage(database_url, answering(503)) as (post, server):
        start = utcnow().replace(microsecond=0) + 2 * SECOND
        job_id = add(db, server, every="30 seconds", starts_at=start, ends_at=start + SECOND,
                     retries=2, retry_delay="0.1 seconds")  # fmt: skip
        ending = await stand(post, job_id, start)
        assert [r.headers["webhook-id"] for r in server.received] == [webhook_id(job_id, start)] * 3
    assert ending == Ending("failed", "1 failed")
    [row] = executions(db)
    assert [attempt["code"] for attempt in row["attempts"]] == [503, 503, 503]


@pytest.mark.parametrize(("overlap", "most"), [("skip", 1), ("queue", 1), ("allow", 9)])
async def test_overlap_within_a_shift(database_url: str, db: DictConnection, overlap: str, most: int) -> None:
    """Calls that take longer than the interval: skipped with a reason, queued one deep, or let run side by side."""
    under_way, peak = 0, 0

    async def slow(_request: web.Request) -> web.StreamResponse:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(1.5)
        under_way -= 1
        return web.Response()

    async with stage(database_url, slow) as (post, server):
        job_id = add(db, server, every="1 second", overlap=overlap)
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: sum(row["status"] == "success" for row in executions(db)) >= 2)
        db.execute("delete from job")
        await shift
    rows = executions(db)
    assert (peak == 1) if most == 1 else (peak > 1)
    skipped = [row for row in rows if row["status"] == "skipped"]
    assert all("still running" in str(row["reason"]) for row in skipped)
    assert bool(skipped) == (overlap == "skip") or overlap == "queue"


async def test_two_processes_on_one_shift_send_each_occurrence_once(database_url: str, db: DictConnection) -> None:
    """Split brain: both are on duty, and the ledger sees to it that each occurrence is sent once."""
    async with stage(database_url) as (first, server), opened_post(database_url) as second:
        job_id = add(db, server, every="1 second")
        shifts = [asyncio.create_task(stand(post, job_id, utcnow())) for post in (first, second)]
        await until(lambda: len(server.received) >= 4)
        db.execute("delete from job")
        await asyncio.gather(*shifts)
        ids = [request.headers["webhook-id"] for request in server.received]
    assert len(ids) == len(set(ids))


async def test_a_cancelled_shift_lets_go(database_url: str, db: DictConnection) -> None:
    """Moved to another process while a call is under way, the execution is taken over at once, with the same key."""
    async with stage(database_url, _never) as (first, server), opened_post(database_url) as second:
        due = utcnow()
        job_id = add(db, server, run_at=due)
        shift = asyncio.create_task(stand(first, job_id, due))
        await until(lambda: server.received)
        shift.cancel()
        await asyncio.gather(shift, return_exceptions=True)
        other = asyncio.create_task(stand(second, job_id, due))
        await until(lambda: len(server.received) == 2)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert len({request.headers["webhook-id"] for request in server.received}) == 1


async def test_a_run_that_a_person_ends_is_cancelled(database_url: str, db: DictConnection) -> None:
    """Marked failed in Airflow while it is sending: the row says cancelled, and who did it."""
    async with stage(database_url, _never) as (post, server):
        due = utcnow()
        shift = Shift(add(db, server, run_at=due), due, "run", 1)
        task = asyncio.create_task(job_shift.stand(shift, post))
        await until(lambda: server.received)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await job_shift.end(shift, post)
    expected = {"status": "cancelled", "reason": "the run was ended in Airflow"}
    assert one(db, "select status, reason from execution") == expected


async def test_a_new_shift_relieves_the_old_one(database_url: str, db: DictConnection) -> None:
    """At a change of shifts nothing is lost and nothing doubled; the old one ends."""
    async with stage(database_url) as (post, server):
        job_id = add(db, server, every="1 second", starts_at=utcnow() - SECOND)
        old = asyncio.create_task(stand(post, job_id, utcnow(), "old"))
        await until(lambda: len(server.received) >= 2)
        newest = max(row["scheduled_for"] for row in executions(db))
        new = asyncio.create_task(stand(post, job_id, newest + 2 * SECOND, "new"))
        assert (await old).state == "success"
        await until(lambda: any(row["dag_run_id"] == "new" for row in executions(db)))
        db.execute("delete from job")
        await new
    rows = [row for row in executions(db) if row["reason"] != "the job was deleted"]
    assert all(later - earlier == SECOND for earlier, later in pairwise(row["scheduled_for"] for row in rows))
    assert {row["status"] for row in rows} == {"success"}


async def test_a_shift_works_overtime_until_it_is_relieved(database_url: str, db: DictConnection) -> None:
    """With no successor at the border (the scheduler is down) the shift goes on; relieved from elsewhere, it ends."""
    length = timedelta(seconds=60)
    async with stage(database_url, shift_seconds=60) as (post, server), opened_post(database_url) as elsewhere:
        now = utcnow()
        soon = (i for i in range(1000, 9999) if SECOND < shift_end(i, now, length) - now < 2 * SECOND)
        job_id = add(db, server, id=next(soon), every="1 second")
        border = shift_end(job_id, now, length)
        old = asyncio.create_task(stand(post, job_id, now, "old"))
        await until(lambda: sum(row["scheduled_for"] >= border for row in executions(db)) >= 2)
        new = asyncio.create_task(stand(elsewhere, job_id, utcnow(), "new"))
        assert (await old).state == "success"
        await until(lambda: executions(db)[-1]["dag_run_id"] == "new")
        db.execute("delete from job")
        await new
        ids = [request.headers["webhook-id"] for request in server.received]
    assert len(ids) == len(set(ids))


# -- arithmetic -------------------------------------------------------------------------------------------------------

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(st.integers(1, 10**12), instants, st.integers(60, 86_400))
def test_shifts_tile_the_time_line(row_id: int, instant: datetime, seconds: int) -> None:
    """Every instant lies in exactly one shift, and shifts are equally long."""
    length = timedelta(seconds=seconds)
    end = shift_end(row_id, instant, length)
    assert instant < end <= instant + length
    assert shift_end(row_id, end - timedelta(microseconds=1), length) == end
    assert shift_end(row_id, end, length) == end + length


@pytest.fixture
def template(db: DictConnection) -> Job:
    add_job(db, every="1 minute", created_at="2025-12-31")
    return job_from_row(one(db, "select * from job"))


@pytest.mark.parametrize("misfire", ["skip", "latest", "all"])
def test_what_is_owed_is_missed_or_executed(template: Job, misfire: str) -> None:
    """Missed and to be executed together are exactly what is owed, in order, and nothing too late is executed."""
    import dataclasses

    now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    @given(st.integers(0, 600), st.integers(0, 20_000))
    def check(minutes: int, max_late_seconds: int) -> None:
        late = timedelta(seconds=max_late_seconds)
        job = dataclasses.replace(template, misfire=misfire, max_lateness=late)  # type: ignore[arg-type]
        since = now - timedelta(minutes=minutes)
        owed = list(job.schedule.between(since, now))
        first = first_to_execute(job, since, now)
        left = [] if first is None else [due for due in owed if due >= first]
        assert list(missed(job, since, now)) + left == owed
        assert all(now - due <= late for due in left)
        assert misfire == "all" or len(left) <= 1

    check()


async def test_a_bell_never_rings_early_and_rings_when_rung() -> None:
    """Sleeping ends at the instant and not before; ringing ends it at once, also before it began."""
    bell = Bell()
    instant = utcnow() + timedelta(milliseconds=50)
    assert not await bell.sleep_until(instant)
    assert utcnow() >= instant
    asyncio.get_running_loop().call_later(0.01, bell.ring)
    assert await bell.sleep_until(utcnow() + timedelta(hours=1))
    bell.ring()
    assert await bell.sleep_until(utcnow() + timedelta(hours=1))

"""From when until when a row is due: `starts_at`, `ends_at`, `paused_until`, and the grid of a fixed rate."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.shift_stage import add, assert_each_once, executions, known_since, of, stage, stand, until

SECOND, MINUTE, TICK = timedelta(seconds=1), timedelta(minutes=1), timedelta(microseconds=1)


def outcomes(db: DictConnection) -> list[tuple[str, str | None]]:
    return [(row["status"], row["reason"]) for row in executions(db)]


@pytest.mark.parametrize(
    ("window", "state"),
    [
        ({"starts_at": 0}, "success"),
        ({"starts_at": 1}, "skipped"),
        ({"ends_at": 0}, "skipped"),
        ({"ends_at": 1}, "success"),
        ({"starts_at": 0, "ends_at": 1}, "success"),
    ],
)
async def test_the_window_is_half_open_to_the_microsecond(
    database_url: str, db: DictConnection, window: dict[str, int], state: str
) -> None:
    """An occurrence at `starts_at` is one, an occurrence at `ends_at` is none and leaves no row."""
    async with stage(database_url) as (post, server):
        now = utcnow()
        due = now.replace(minute=now.minute // 2 * 2, second=0, microsecond=0)
        job_id = add(
            db,
            server,
            cron="*/2 * * * *",
            misfire="all",
            **{name: due + ticks * TICK for name, ticks in window.items()},
        )
        known_since(db, job_id, due - SECOND)
        assert (await stand(post, job_id, due)).state == state
        assert len(server.received) == len(executions(db)) == (state == "success")


@pytest.mark.parametrize(
    "edit", ["ends_at = starts_at + interval '1 microsecond'", "starts_at = starts_at + interval '1 hour'"]
)
async def test_a_window_that_is_moved_takes_an_armed_run_with_it(
    database_url: str, db: DictConnection, edit: str
) -> None:
    """A window that is closed before the instant, or opened after it, leaves nothing to fire."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 4 * SECOND
        job_id = add(db, server, every="2 minutes", starts_at=due - 2 * MINUTE)
        shift = asyncio.create_task(stand(post, job_id, due))
        await asyncio.sleep(0.3)
        db.execute(f"update job set {edit}")
        assert (await shift).state == "skipped"
        assert not server.received
    assert not executions(db)


async def test_a_fast_shift_keeps_to_its_window(database_url: str, db: DictConnection) -> None:
    """On duty before `starts_at` it waits for it; `ends_at` brought forward, it ends with what was due before."""
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0) + 4 * SECOND
        job_id = add(db, server, every="3 seconds", starts_at=start)
        shift = asyncio.create_task(stand(post, job_id, start - SECOND))
        await until(lambda: len(server.received) == 2)
        db.execute("update job set ends_at = %s", (start + 6 * SECOND,))
        assert await shift
        assert_each_once(executions(db), 3 * SECOND, server)
    assert [row["scheduled_for"] for row in executions(db)] == [start, start + 3 * SECOND]


async def test_a_slow_schedule_resumes_by_itself(database_url: str, db: DictConnection) -> None:
    """What is due before `paused_until` is skipped with the reason; what is due at it, and later, is executed."""
    async with stage(database_url) as (post, server):
        due = utcnow() + SECOND
        jobs = {
            ticks: add(db, server, f"job{ticks}", run_at=due, paused_until=due + ticks * TICK) for ticks in (-1, 0, 1)
        }
        endings = await asyncio.gather(*(stand(post, job_id, due) for job_id in jobs.values()))
        assert {request.path for request in server.received} == {"/job-1", "/job0"}
    assert [ending.state for ending in endings] == ["success", "success", "skipped"]
    assert outcomes(db) == [("success", None), ("success", None), ("skipped", "paused")]


async def test_a_pause_until_may_be_lifted_or_moved_while_a_run_is_armed(database_url: str, db: DictConnection) -> None:
    """The row as it stands at the instant decides, however often it was changed before."""
    async with stage(database_url) as (post, server):
        due = utcnow() + 4 * SECOND
        lifted, moved = (add(db, server, name, run_at=due, paused_until=due + MINUTE) for name in ("lifted", "moved"))
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in (lifted, moved)]
        for paused_until in (None, due + 2 * MINUTE):
            await asyncio.sleep(0.2)
            db.execute("update job set paused_until = %s where id = %s", (paused_until, moved))
        db.execute("update job set paused_until = null where id = %s", (lifted,))
        await asyncio.gather(*shifts)
        assert [request.path for request in server.received] == ["/lifted"]
    assert outcomes(db) == [("success", None), ("skipped", "paused")]


@pytest.mark.e2e
async def test_a_fast_schedule_resumes_by_itself(database_url: str, db: DictConnection) -> None:
    """On duty through the pause, the shift executes what is due at `paused_until`, and nothing that was due before."""
    async with stage(database_url) as (post, server):
        start = utcnow().replace(microsecond=0) + 3 * SECOND
        resumes, ends = start + 3 * SECOND, start + 6 * SECOND
        window = {"starts_at": start, "paused_until": resumes, "ends_at": ends}
        schedule = {"every": "1 second", "overlap": "allow", **window}
        ids = [add(db, server, rule, misfire=rule, **schedule) for rule in ("latest", "all", "skip")]
        await asyncio.gather(*(stand(post, job_id, start) for job_id in ids))
        for job_id in ids:
            rows = of(db, job_id)
            assert_each_once(rows, SECOND, server)
            assert [row["status"] == "success" for row in rows] == [False] * 3 + [True] * 3
            assert {row["reason"] for row in rows[:3]} <= {"paused", "the job was paused"}


async def test_a_fixed_rate_does_not_drift(database_url: str, db: DictConnection) -> None:
    """Slow answers, failures and retries, edits and pauses: occurrence n is due n times the rate after the first."""
    answers = iter([200, 503, 200, 404])

    async def slowly(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(status=next(answers, 200))

    async with stage(database_url, slowly) as (post, server):
        start = utcnow() + 3 * SECOND
        job_id = add(db, server, every="1.3 seconds", starts_at=start, retry_delay="0.1 seconds", overlap="allow")
        shift = asyncio.create_task(stand(post, job_id, start))
        await until(lambda: len(server.received) >= 2)
        db.execute("update job set timeout = '20 seconds', retries = 2")
        await until(lambda: len(server.received) >= 5)
        db.execute("delete from job")
        await shift
    rows = executions(db)
    assert [row["scheduled_for"] for row in rows] == [start + number * 1.3 * SECOND for number in range(len(rows))]
    assert all(row["started_at"] >= row["scheduled_for"] for row in rows if row["attempts"])
    assert {"success", "failed"} <= {row["status"] for row in rows}

"""Between the redrives of a job its own occurrences have their turn."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone

import pytest
from aiohttp import web

from include.schedule import Schedule
from include.shifts import timers
from include.shifts.bell import utcnow
from include.shifts.precedence import Precedence, own_instant
from include.store.db import DictConnection
from tests.shift_stage import add, executions, stage, stand, until
from tests.test_redrive import fail
from tests.timer_rows import shift_of_pump

NOW = datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


def test_a_redrive_that_fits_in_begins_at_once() -> None:
    """Nothing of the job's own due, or not before the redrive will have ended, it need not wait."""
    precedence = Precedence()
    precedence.made(NOW - 2 * SECOND, NOW)
    assert precedence.wait_seconds(None, NOW) == 0
    assert precedence.wait_seconds(NOW + 4 * SECOND, NOW) == 0


def test_a_redrive_that_does_not_fit_in_comes_after_the_occurrence() -> None:
    """It waits until that will have ended; a few times, and then it is made all the same."""
    precedence = Precedence()
    precedence.made(NOW - 2 * SECOND, NOW)
    waits = [precedence.wait_seconds(NOW + SECOND, NOW) for _ in range(5)]
    assert waits == [pytest.approx(3.05)] * 3 + [0, 0]
    precedence.made(NOW, NOW + 2 * SECOND)
    assert precedence.wait_seconds(NOW + SECOND, NOW) > 0


def test_an_occurrence_that_came_during_a_redrive_has_its_turn() -> None:
    """What waits for the redrive to end, and asks now and then, is not overtaken by the next redrive."""
    precedence = Precedence()
    assert precedence.counts_from(NOW) == NOW
    precedence.made(NOW - 2 * SECOND, NOW)
    since = precedence.counts_from(NOW)
    assert since == NOW - 2 * SECOND
    assert (
        precedence.wait_seconds(own_instant(Schedule(NOW, 1, every=SECOND, starts_at=NOW - SECOND), since), NOW) > 0.5
    )
    assert precedence.counts_from(NOW) == NOW


def test_an_own_instant_has_its_delay() -> None:
    """One that is put off counts when it comes, also if it fell due before."""
    schedule = Schedule(NOW, 7, every=60 * SECOND, starts_at=NOW, jitter=60 * SECOND)
    instants = [due + schedule.delay(due) for due in (NOW + n * 60 * SECOND for n in range(5))]
    assert [own_instant(schedule, after) for after in [NOW - SECOND, *instants[:-1]]] == instants
    assert own_instant(Schedule(NOW, 7), NOW) is None


@pytest.mark.e2e
async def test_many_redrives_keep_no_occurrence_from_being_made(database_url: str, db: DictConnection) -> None:
    """While one dead letter after another is sent, the job goes on every two seconds and skips none."""

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.15)
        return web.Response()

    async with stage(database_url, slow) as (post, server):
        job_id = add(db, server, every="2 seconds", starts_at=utcnow() + SECOND)
        for minutes_ago in range(1, 40):
            fail(db, job_id, minutes_ago)
        duties = [
            asyncio.create_task(stand(post, job_id, utcnow())),
            asyncio.create_task(timers.stand(shift_of_pump(), post)),
        ]
        await until(lambda: sum(row["attempt"] == 1 and row["status"] == "success" for row in executions(db)) >= 4)
        rows = executions(db)
        for duty in duties:
            duty.cancel()
        await asyncio.gather(*duties, return_exceptions=True)
    redriven = [row for row in rows if row["status"] == "success" and row["attempt"] == 2]
    assert redriven
    # One that took long, as on a machine that stood still, may be what an occurrence has met.
    began = {row["scheduled_for"]: datetime.fromisoformat(row["attempts"][-1]["at"]) for row in redriven}
    spans = [(began[row["scheduled_for"]], row["finished_at"]) for row in redriven]
    long = [(first - SECOND / 5, last + SECOND / 5) for first, last in spans if last - first > SECOND / 2]
    skipped = [row["scheduled_for"] for row in rows if row["status"] == "skipped"]
    assert not [due for due in skipped if not any(first <= due <= last for first, last in long)]

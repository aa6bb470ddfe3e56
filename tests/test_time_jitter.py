"""Jitter: a delay of its own for each occurrence, the same wherever and whenever it is computed, and never early."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from include.model import Job
from include.schedule import Schedule
from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.shifts.owed import first_to_execute, latest_start, missed
from include.store.db import DictConnection
from include.store.rows import job_from_row
from tests.shift_stage import add, assert_each_once, executions, opened_post, stage, stand
from tests.test_store import add_job, one

UTC = timezone.utc
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class Arrivals:
    """A server's handler that notes when each occurrence came; one that comes twice is an error."""

    def __init__(self) -> None:
        self._at: dict[str, datetime] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        now = utcnow()
        key = request.headers["webhook-id"]
        assert key not in self._at
        self._at[key] = now
        return web.Response()

    def of(self, job_id: int, due: datetime) -> datetime:
        return self._at[webhook_id(job_id, due)]


def job_of(db: DictConnection, job_id: int) -> Job:
    return job_from_row(one(db, "select * from job where id = %s", job_id))


async def test_a_run_waits_for_its_jitter(database_url: str, db: DictConnection) -> None:
    """Rows that are due at one instant call one after another, each as much later as its jitter says, none before."""
    arrivals = Arrivals()
    async with stage(database_url, arrivals.handle) as (post, server):
        due = utcnow() + SECOND
        ids = [add(db, server, f"job-{number}", run_at=due, jitter="1.5 seconds") for number in range(20)]
        await asyncio.gather(*(stand(post, job_id, due) for job_id in ids))
    delays = {job_id: job_of(db, job_id).schedule.delay(due) for job_id in ids}
    assert len(set(delays.values())) == len(ids)
    for row in executions(db):
        assert (row["status"], row["scheduled_for"]) == ("success", due)
        assert arrivals.of(row["job_id"], due) >= row["started_at"] >= due + delays[row["job_id"]]


async def test_a_fast_shift_waits_for_each_jitter(database_url: str, db: DictConnection) -> None:
    """Within a shift each occurrence has its own delay; the occurrences themselves stay on the grid of their rate."""
    arrivals = Arrivals()
    async with stage(database_url, arrivals.handle) as (post, server):
        start = utcnow().replace(microsecond=0) + 4 * SECOND
        window = {"starts_at": start, "ends_at": start + 4 * SECOND}
        job_id = add(db, server, every="1 second", jitter="900 ms", overlap="allow", **window)
        schedule = job_of(db, job_id).schedule
        assert (await stand(post, job_id, start)).line == "4 success"
        assert_each_once(executions(db), SECOND, server)
    dues = [start + number * SECOND for number in range(4)]
    assert [row["scheduled_for"] for row in executions(db)] == dues
    assert all(arrivals.of(job_id, due) >= due + schedule.delay(due) for due in dues)


async def test_who_takes_over_keeps_the_jitter(database_url: str, db: DictConnection) -> None:
    """Armed on one machine, restarted there, and moved to another, a run waits for the very same instant."""
    arrivals = Arrivals()
    async with stage(database_url, arrivals.handle) as (post, server), opened_post(database_url) as other:
        due = utcnow()
        id = next(i for i in range(1000, 9999) if Schedule(due, i, jitter=10 * SECOND).delay(due) // SECOND == 6)
        job_id = add(db, server, id=id, run_at=due, jitter="10 seconds")
        for _ in range(2):
            shift = asyncio.create_task(stand(post, job_id, due))
            await asyncio.sleep(0.3)
            shift.cancel()
            await asyncio.gather(shift, return_exceptions=True)
        assert not executions(db)
        assert (await stand(other, job_id, due)).state == "success"
    assert arrivals.of(job_id, due) >= due + job_of(db, job_id).schedule.delay(due)
    assert [row["status"] for row in executions(db)] == ["success"]


async def test_an_edit_of_the_jitter_moves_what_is_armed_and_repeats_nothing(
    database_url: str, db: DictConnection
) -> None:
    """Longer, shorter and none: the run fires once, when the row as it stands says, and is not late for that."""
    arrivals = Arrivals()
    async with stage(database_url, arrivals.handle) as (post, server):
        due = utcnow() + SECOND
        ids = [add(db, server, f"job-{number}", run_at=due, jitter="1 day", max_lateness="0") for number in range(3)]
        shifts = [asyncio.create_task(stand(post, job_id, due)) for job_id in ids]
        await asyncio.sleep(0.2)
        for job_id, jitter in zip(ids, ("0", "1 second", "2 seconds"), strict=True):
            db.execute("update job set jitter = '1 hour' where id = %s", (job_id,))
            db.execute("update job set jitter = %s where id = %s", (jitter, job_id))
        assert [ending.state for ending in await asyncio.gather(*shifts)] == ["success"] * 3
        db.execute("update job set jitter = '1 second', payload = payload")
        for job_id in ids:
            await stand(post, job_id, due, "again")
    assert [row["status"] for row in executions(db)] == ["success"] * 3
    assert arrivals.of(ids[0], due) >= due


def test_another_machine_computes_the_same() -> None:
    """Another process, hash seed, zone and language: the delays of a hundred occurrences are the same."""
    script = (
        "from datetime import datetime, timedelta, timezone\n"
        "from include.schedule import Schedule\n"
        "t, h = datetime(2026, 1, 1, tzinfo=timezone.utc), timedelta(hours=1)\n"
        "print([Schedule(t, n, jitter=h).delay(t + n * h) // timedelta(microseconds=1) for n in range(100)])"
    )
    here = [Schedule(NEW_YEAR, n, jitter=HOUR).delay(NEW_YEAR + n * HOUR) for n in range(100)]
    for place in ({"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu"}, {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8"}):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": str(Path(__file__).parents[1]), **place},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == str([delay // timedelta(microseconds=1) for delay in here])


@given(salt=st.integers(1, 10**9), seconds=st.integers(1, 86_400))
def test_a_jitter_up_to_the_rate_keeps_the_order(salt: int, seconds: int) -> None:
    """No occurrence overtakes the one before it, as long as the jitter is no longer than the rate."""
    every = seconds * SECOND
    schedule = Schedule(NEW_YEAR, salt, every=every, jitter=every)
    fires = [due + schedule.delay(due) for due in (NEW_YEAR + number * every for number in range(20))]
    assert all(earlier < later for earlier, later in pairwise(fires))


@pytest.mark.parametrize("misfire", ["skip", "latest", "all"])
def test_what_waits_for_its_jitter_is_not_missed(db: DictConnection, misfire: Any) -> None:
    """Lateness counts from the jittered instant: until that has passed, the newest occurrence is not missed."""
    template = job_of(db, add_job(db, every="10 minutes", created_at="2025-12-31"))
    now = NEW_YEAR + 12 * HOUR

    @given(st.integers(0, 6000), st.integers(0, 1200), st.integers(0, 600), st.integers(1, 10**6))
    def check(owed_seconds: int, late_seconds: int, jitter_seconds: int, salt: int) -> None:
        schedule = dataclasses.replace(template.schedule, jitter=jitter_seconds * SECOND, salt=salt)
        late = late_seconds * SECOND
        job = dataclasses.replace(template, schedule=schedule, misfire=misfire, max_lateness=late)
        since = now - owed_seconds * SECOND
        owed = [due for due in schedule.between(since, now) if due + schedule.delay(due) <= now]
        first = first_to_execute(job, since, now)
        left = [due for due in owed if first is not None and due >= first]
        assert list(missed(job, since, now)) + left == owed
        assert first is None or now <= latest_start(job, first)
        assert misfire == "all" or left in ([], owed[-1:])
        assert misfire != "all" or not any(now <= latest_start(job, due) for due in missed(job, since, now))

    check()


@pytest.mark.e2e
async def test_waiting_for_jitter_is_not_falling_behind(database_url: str, db: DictConnection) -> None:
    """However long the jitter and however short max_lateness, a shift that waits for an instant does not miss it."""
    async with stage(database_url) as (post, server):
        start, every = utcnow().replace(microsecond=0) + SECOND, 7 * SECOND
        longest = (i for i in range(1000, 99_999) if Schedule(start, i, jitter=every).delay(start) > 6 * SECOND)
        window = {"every": every, "starts_at": start, "ends_at": start + SECOND}
        ids = [
            add(db, server, rule, id=next(longest), jitter=every, misfire=rule, max_lateness="0", **window)
            for rule in ("latest", "all", "skip")
        ]
        endings = await asyncio.gather(*(stand(post, job_id, start) for job_id in ids))
        assert len(server.received) == len(ids)
    assert [ending.line for ending in endings] == ["1 success"] * len(ids)

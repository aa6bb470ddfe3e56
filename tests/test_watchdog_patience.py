"""The watchdog does not cry wolf: not at a start, not when a clock is set; and it does not sleep for ever either."""

from __future__ import annotations

import asyncio
import shutil
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.schedule import Schedule
from include.shifts import watchdog as watchdogs
from include.shifts.problems import two_intervals
from include.shifts.unfired import UnfiredWatch
from include.shifts.watchdog import Watchdog
from include.store.db import DictConnection
from include.store.health import Watched
from tests.unfired_jobs import old_job
from tests.watched import COMPONENTS, MINUTE, beat, now, open_warnings, sleepy_post, watching

HOUR = timedelta(hours=1)
FRIDAY = datetime(2026, 11, 20, tzinfo=timezone.utc)


@pytest.mark.fresh_database
async def test_a_start_of_the_whole_system_is_no_silence(database_url: str, db: DictConnection) -> None:
    """The triggerer is there before the scheduler is, which has been down for as long; that is told if it stays so."""
    db.execute(COMPONENTS.encode())
    beat(db, SchedulerJob=60)
    watchdog = Watchdog(sleepy_post(database_url))
    assert await watchdog.look(now()) == 0
    assert await watchdog.look(now() + MINUTE) == 0
    assert await watchdog.look(now() + 2 * MINUTE) == 1
    assert open_warnings(db) == [("component", "scheduler", None)]


@pytest.mark.parametrize("seconds", [60, 300, 3600])
async def test_however_seldom_it_looks_it_settles(database_url: str, db: DictConnection, seconds: int) -> None:
    """Also if more than five minutes lie between two looks."""
    old_job(db, every="1 minute")
    watchdog = Watchdog(sleepy_post(database_url, watchdog_seconds=seconds))
    looks = range(0, max(301, seconds * 3 + 1), seconds)
    found = [await watchdog.look(now() + timedelta(seconds=at)) for at in looks]
    assert (found[0], found[-1]) == (0, 1)


async def test_a_clock_that_was_set_is_given_time_and_no_more(database_url: str, db: DictConnection) -> None:
    """Whichever way it was set: five minutes later all is as before."""
    async with watching(database_url) as watchdog:
        for jump in (10 * HOUR, -10 * HOUR):
            old_job(db, every="1 minute")
            before = len(open_warnings(db))
            at = now() + max(jump, timedelta(0))
            assert await watchdog.look(at) == before
            assert await watchdog.look(at + 3 * MINUTE) == before
            assert await watchdog.look(at + 6 * MINUTE) == before + 1


@pytest.mark.parametrize(
    ("cron", "due", "patience"),
    [
        ("0 9-17 * * 1-5", FRIDAY + 12 * HOUR, 2 * HOUR),
        ("0 9-17 * * 1-5", FRIDAY + 16 * HOUR, 2 * HOUR),
        ("0 9-17 * * 1-5", FRIDAY + 17 * HOUR, 65 * HOUR),  # Monday at ten, and not next Wednesday
        ("0,1 0 * * *", FRIDAY, 2 * MINUTE),
        ("*/30 * * * * *", FRIDAY, 2 * MINUTE),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=timezone.utc), timedelta(days=2 * 1461)),
    ],
)
def test_a_cron_s_intervals_are_those_that_follow(cron: str, due: datetime, patience: timedelta) -> None:
    """A gap makes it wait for what comes after the gap, and not for twice as long as the gap is."""
    assert two_intervals(_watched(cron=cron), due) == patience


def _watched(**columns: Any) -> Watched:
    schedule = Schedule(anchor=FRIDAY, salt=1, timezone="UTC", **columns)
    return Watched(1, schedule, FRIDAY, FRIDAY, 1, FRIDAY, None, None)


async def test_all_jobs_are_looked_at_each_time(database_url: str, db: DictConnection) -> None:
    """Also if there are more than fit into one look: none recovers only because others come first."""
    ids = [old_job(db, every="1 minute") for _ in range(5)]
    watch = UnfiredWatch(30, at_once=2)
    for _ in range(3):
        assert [found.job_id for found in watch.all(db, now())] == ids


async def test_a_disk_that_does_not_answer_is_asked_once(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever shift looks, one thread hangs on it. All else is looked at, and the disk when it answers."""
    answers, asked = threading.Event(), []
    real = shutil.disk_usage

    def hanging(path: str) -> Any:
        asked.append(path)
        answers.wait()
        return real(path)

    monkeypatch.setattr(shutil, "disk_usage", hanging)
    monkeypatch.setattr(watchdogs, "_DISK_SECONDS", 0.05)
    post = sleepy_post(database_url, disk_free_gib=1_000_000)
    try:
        for _ in range(3):
            assert await Watchdog(post).look(now()) == 0
        assert len(asked) == 1
    finally:
        answers.set()
    while not await Watchdog(post).look(now()):
        await asyncio.sleep(0.05)

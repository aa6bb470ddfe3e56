"""What fell due and did not begin on time: made up for by the misfire rule, or named in the ledger as missed.

Everything that falls due has a row. So whoever goes past an instant names what he leaves behind, oldest first, and
before he claims anything newer: then the newest row says how far the ledger is complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice

from include.errors import ConfigError
from include.model import Job
from include.shifts.bell import utcnow
from include.shifts.duty import CHANGED, Duty
from include.shifts.owed import first_to_execute, missed, owed_until

log = logging.getLogger(__name__)

NOBODY = "nobody was on duty in time"
PAUSED = "the job was paused"
BEHIND = "the shift had fallen behind"

_TICK = timedelta(microseconds=1)
_MISSED_AT_ONCE = 500
# Within it, a schedule that was changed has a DAG, a run, and a trigger that is on duty.
_FIRST_SHIFT = timedelta(minutes=1)


def is_rescheduled(duty: Duty, job: Job) -> bool:
    """Whether the schedule has changed since the row was `job`: what is under way reads it again, too."""
    return duty.job.schedule_revision != job.schedule_revision


async def settle(duty: Duty, since: datetime, reason: str) -> datetime:
    """Account for what is owed since `since`; return the position after which the next occurrence is to be started.

    It ends as soon as the job has another schedule.
    """
    job = duty.job
    while not is_rescheduled(duty, job):
        job, now = duty.job, utcnow()
        await write_missed(duty, missed(job, within_ledger(duty, since, now), now), reason)
        first = first_to_execute(job, since, now)
        if first is None:
            return max(since, owed_until(job, now))
        if job.misfire == "all":
            await duty.idle()  # one after another: they are many, and all late
        if is_rescheduled(duty, job):
            break
        await duty.start(first)
        since = first
    return since


async def name_former(duty: Duty, since: datetime, before: datetime | None = None) -> None:
    """Name what fell due after `since` by schedules that are gone, and had not begun when they were changed.

    With `before`, only what is older: what is not has a run of its own.
    """
    for was, until in await duty.post.ledger.former(duty.job.id, since=since):
        await asyncio.sleep(0)
        if not was.is_active or was.schedule.fixed_delay:
            continue
        resumed = since if was.paused_until is None else was.paused_until - _TICK
        after = within_ledger(duty, max(since, was.schedule_changed_at, resumed), until)
        last = until if before is None else min(until, before - _TICK)
        with suppress(ConfigError, OverflowError):  # a schedule that cannot be: nothing fell due by it
            await write_missed(duty, was.schedule.between(after, last), CHANGED)


async def write_missed(duty: Duty, owed: Iterator[datetime], reason: str) -> None:
    """Name what is missed, oldest first and before anything newer is claimed, so that a crash leaves no hole."""
    written = 0
    while part := list(islice(owed, _MISSED_AT_ONCE)):
        await duty.post.ledger.miss(duty.job.id, part, run_id=duty.shift.run_id, reason=reason)
        written += len(part)
        await asyncio.sleep(0)
    if written:
        log.warning("%s missed: %s", written, reason)


def within_ledger(duty: Duty, since: datetime, now: datetime) -> datetime:
    """`since`, or as far back as missed occurrences are written after a downtime."""
    return max(since, now - timedelta(days=duty.post.settings.ledger_days))


def owed_since(duty: Duty, accounted: datetime | None) -> datetime:
    """The instant after which occurrences are owed: all before are in the ledger, or belong to another schedule."""
    changed_at = duty.job.schedule_changed_at
    return changed_at if accounted is None else max(accounted, changed_at)


def start_after(duty: Duty, accounted: datetime | None) -> datetime:
    """Where a fast schedule goes on. A new one begins with the newest occurrence: its first seconds, in which its first
    shift was still on the way, are not owed."""
    since, changed_at = owed_since(duty, accounted), duty.job.schedule_changed_at
    if accounted is not None and (accounted > changed_at or utcnow() - changed_at > _FIRST_SHIFT):
        return since
    newest = duty.job.schedule.latest_until(utcnow(), since)
    return since if newest is None else newest - _TICK

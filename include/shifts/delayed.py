"""A fixed delay: each occurrence is due `every` after the end of the one before, as the ledger has it.

There is always one that is owed and never more. One that is later than the misfire rule allows is missed, and the delay
is counted from then.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from include.shifts.bell import utcnow
from include.shifts.duty import Duty
from include.shifts.owed import latest_start
from include.store.ledger import Board

_ASK_AGAIN_SECONDS = 0.5
_CLAIM_AHEAD = timedelta(milliseconds=100)


async def fire_delayed(duty: Duty) -> None:
    """Execute one occurrence after another, until the shift ends, the job is deleted or has another schedule."""
    ledger, shift = duty.post.ledger, duty.shift
    while True:
        await duty.idle()
        board = await ledger.board(shift.row_id, shift.run_id)
        if board is None or not board.job.schedule.fixed_delay:
            return
        duty.job = board.job
        if board.accounted is not None and board.ended_at is None:  # another shift is at it, or was when it died
            if utcnow() >= duty.until:
                return
            if board.accounted in board.unfinished:
                await duty.execute(board.accounted)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
            continue
        due = _due(board)
        if due is None or due >= duty.until:
            return
        was_active = duty.active
        rung = await duty.rung_before(due + duty.job.schedule.delay(due) - _CLAIM_AHEAD)
        if not was_active and utcnow() >= duty.border:
            return
        if was_active and not rung:
            await _execute(duty, due)


async def _execute(duty: Duty, due: datetime) -> None:
    if utcnow() > latest_start(duty.job, due):
        reason = "nobody was on duty in time, or the job was paused"
        await duty.post.ledger.miss(duty.job.id, [due], run_id=duty.shift.run_id, reason=reason)
        return
    duty.spawn(duty.execute(due), due)


def _due(board: Board) -> datetime | None:
    """When the job is due next; None: never again."""
    job = board.job
    schedule = job.schedule
    if board.accounted is None or board.ended_at is None or board.accounted <= job.schedule_changed_at:
        return schedule.next_after(job.schedule_changed_at)
    assert schedule.every is not None  # noqa: S101 - a fixed delay has one
    due = board.ended_at + schedule.every
    due = due if schedule.starts_at is None else max(due, schedule.starts_at)
    return None if schedule.ends_at is not None and due >= schedule.ends_at else due

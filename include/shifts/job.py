"""A shift for a job: every occurrence that falls into it is claimed, executed and recorded.

A schedule slower than once a minute gives a shift one occurrence, and Airflow retries it, so that people see its tries.
Any other gives it all of some hours, and the shift retries within itself, by the same policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from include import registry
from include.deadline import within
from include.shifts.accounts import (
    BEHIND,
    NOBODY,
    PAUSED,
    is_rescheduled,
    name_former,
    owed_since,
    settle,
    start_after,
    within_ledger,
    write_missed,
)
from include.shifts.bell import utcnow
from include.shifts.delayed import fire_delayed
from include.shifts.duty import CHANGED, Duty
from include.shifts.execution import Attempt
from include.shifts.owed import GRACE, first_to_execute, latest_start, missed
from include.shifts.post import Post
from include.shifts.shift import Ending, Shift
from include.shifts.window import shift_end
from include.store.ledger import Board

# Claimed this much before the instant, so that nothing but the sending is left to do at the instant.
_CLAIM_AHEAD = timedelta(milliseconds=100)
# A shift that falls behind by more than this treats what it has not reached as missed, by the row's misfire rule.
_SLIP = timedelta(seconds=5)
# How long an occurrence waits for the one before it to end, before it is skipped for overlapping.
_ALMOST_DONE_SECONDS = 0.5
_HAND_OVER_SECONDS = 2.0
_TICK = timedelta(microseconds=1)

_DELETED = Ending("skipped", "the job was deleted")
_FOR_WORKER = Ending("worker", "this kind runs on a worker")
_RESCHEDULED = Ending("skipped", "the schedule was changed; this is no longer one of its instants")


async def stand(shift: Shift, post: Post) -> Ending:
    """Be on duty for `shift` and say how it ended. Cancelled, it leaves what is under way to whoever takes over."""
    board = await post.ledger.board(shift.row_id, shift.run_id, shift.due)
    if board is None:
        return _DELETED
    duty = Duty(shift, post, board.job)
    post.expect(board.job.payload.get("conn_id"))
    with post.on_duty(duty):
        try:
            return await _stand(duty, board)
        except asyncio.CancelledError:
            await asyncio.shield(duty.abandon())
            raise


async def _stand(duty: Duty, board: Board) -> Ending:
    shift = duty.shift
    if duty.is_for_worker:
        return _FOR_WORKER
    if not shift.by_hand and board.accounted is not None and board.accounted < board.job.schedule_changed_at:
        await name_former(duty, board.accounted, None if registry.holds_many(board.job) else shift.due)
    if registry.holds_many(board.job) and not shift.by_hand:
        return await _many(duty)
    for due in board.unfinished:  # of a run that is over, so that nobody else comes back to it
        if due != shift.due:
            duty.spawn(duty.execute(due), due)
    ending = await _one(duty, board)
    await duty.idle()
    if duty.post.is_on_worker:  # the pumps, which redrive everything else, are not
        await _redrive(duty, board)
    return ending


async def _one(duty: Duty, board: Board) -> Ending:
    """The run's own occurrence; Airflow retries it, as long as it gives the run another try."""
    shift = duty.shift
    release = not shift.is_last_try
    if not shift.by_hand and shift.try_number == 1 and shift.due not in board.unfinished:
        return await _single(duty, board.before, release)
    if not shift.by_hand:
        await _left_before(duty, board.before)
    return _ending(await duty.execute(shift.due, release=release))


async def _left_before(duty: Duty, before: datetime | None) -> None:
    """Account for what is older than the run's occurrence, where the try before, killed perhaps, did not come to it."""
    job, until = duty.job, duty.shift.due - _TICK
    since = within_ledger(duty, owed_since(duty, before), utcnow())
    first = None
    if job.misfire == "all":
        owed = job.schedule.between(since, until)
        first = next((due for due in owed if utcnow() <= latest_start(job, due, _grace(duty))), None)
    await write_missed(duty, job.schedule.between(since, first - _TICK if first else until), NOBODY)
    if first is not None:
        for due in job.schedule.between(first - _TICK, until):
            await duty.execute(due, patient=True)


async def _redrive(duty: Duty, board: Board) -> None:
    """An attempt at each execution that a person wants sent again; what fails again is for the job's next run."""
    own = Duty(replace(duty.shift, by_hand=True, conf={}), duty.post, duty.job)
    for due in board.redrives:
        made = await own.execute(due, redrive=True, release=True, wait=False)
        if made is not None and made.status == "retrying":
            await duty.post.ledger.put_off(duty.job.id, due, made.after_seconds)


async def end(shift: Shift, post: Post) -> bool:
    """Record that a person ended the run in Airflow: what the shift had under way is cancelled.

    Whether the run was to last, so that nobody is on duty for what comes next.
    """
    await post.ledger.cancel(shift.row_id, claim=shift.token, reason="the run was ended in Airflow")
    board = None if shift.by_hand else await post.ledger.board(shift.row_id, shift.run_id)
    return board is not None and registry.has_shifts(board.job)


async def _single(duty: Duty, before: datetime | None, release: bool) -> Ending:
    """One occurrence, on its instant; a run that comes late is judged by the misfire rule."""
    due = duty.shift.due
    if not duty.job.schedule.is_occurrence(due):
        return await _rescheduled(duty)
    if due + duty.job.schedule.delay(due) < utcnow():
        return await _late(duty, before, release)
    while await duty.bell.sleep_until(due + duty.job.schedule.delay(due) - _CLAIM_AHEAD):
        if not await duty.reload():
            return _DELETED
        if duty.is_for_worker:
            return _FOR_WORKER
        if not duty.job.schedule.is_occurrence(due):
            return await _rescheduled(duty)
    return _ending(await duty.execute(due, release=release))


async def _rescheduled(duty: Duty) -> Ending:
    """The run's instant is none of the schedule any more; it had come, and is missed, if the change came after it."""
    due = duty.shift.due
    if due <= duty.job.schedule_changed_at and duty.active:
        await duty.post.ledger.miss(duty.job.id, [due], run_id=duty.shift.run_id, reason=CHANGED)
    return _RESCHEDULED


async def _late(duty: Duty, before: datetime | None, release: bool) -> Ending:
    """Account for everything up to the run's own occurrence, from the one in the ledger `before` it on. A newer one
    that is owed too has a run of its own.
    """
    due, now, grace = duty.shift.due, utcnow(), _grace(duty)
    since = min(owed_since(duty, before), due - _TICK)
    await write_missed(duty, missed(duty.job, within_ledger(duty, since, now), now, grace), NOBODY)
    first = first_to_execute(duty.job, since, now, grace)
    if first is None or first > due:
        return Ending("skipped", "missed: nobody was on duty in time")
    made: Attempt | None = None
    # Where all are made up for, one after another, none is skipped because of another.
    patient = duty.job.misfire == "all"
    for occurrence in duty.job.schedule.between(first - _TICK, due):
        made = await duty.execute(occurrence, release=release and occurrence == due, patient=patient)
    return _ending(made)


def _grace(duty: Duty) -> timedelta:
    """A worker takes a moment to start, which is nobody's lateness."""
    return GRACE if duty.post.is_on_worker else timedelta(0)


async def _many(duty: Duty) -> Ending:
    """Every occurrence from the shift's first until the next shift begins, each on its instant."""
    shift, post = duty.shift, duty.post
    while await duty.bell.sleep_until(shift.due - _CLAIM_AHEAD * 5):  # until then the shift before is on duty
        if not await duty.reload():
            return _DELETED
    board = await post.ledger.board(shift.row_id, shift.run_id)
    if board is None:
        return _DELETED
    duty.job = board.job
    length = timedelta(seconds=post.settings.shift_seconds)
    duty.border = shift_end(shift.row_id, shift.due, length)
    duty.until = duty.border + length  # overtime: until relieved, for the scheduler may be down
    for occurrence in board.unfinished:
        duty.spawn(duty.execute(occurrence), occurrence)
    if utcnow() < duty.border or _is_last(duty):
        earlier = [other for other in post.relieve_others(duty) if isinstance(other, Duty)]
        if duty.job.schedule.fixed_delay:
            await fire_delayed(duty)
        else:
            await _go_on(duty, earlier)
    await duty.idle()
    return Ending("failed" if duty.tally.failed else "success", str(duty.tally))


def _is_last(duty: Duty) -> bool:
    """Whether no shift after this one can have begun; what is owed is this one's then, after its end, too.

    With a fixed delay, the next one begins with its window, whenever it is due.
    """
    following = duty.job.schedule.next_after(duty.border - _TICK)
    return following is None or (not duty.job.schedule.fixed_delay and following > utcnow())


async def _go_on(duty: Duty, earlier: Sequence[Duty]) -> None:
    """Fire from where the ledger ends, once those who are relieved have left off: what they owe comes first.

    One that hangs goes on beside this one; the ledger keeps them apart.
    """
    with suppress(asyncio.TimeoutError):
        await within(_HAND_OVER_SECONDS, asyncio.gather(*(other.rests.wait() for other in earlier)))
    board = await duty.post.ledger.board(duty.shift.row_id, duty.shift.run_id)
    if board is None:
        return
    duty.job = board.job
    duty.rests.clear()
    try:
        if board.accounted is not None and board.accounted < duty.job.schedule_changed_at:
            await name_former(duty, board.accounted)
        await _fire(duty, start_after(duty, board.accounted))
    finally:
        duty.rests.set()


async def _fire(duty: Duty, position: datetime) -> None:
    """Start occurrence after occurrence, until the shift ends, the job is deleted, or each has a run of its own."""
    owing: str | None = NOBODY
    job = duty.job
    while True:
        if is_rescheduled(duty, job):
            await name_former(duty, position)
        job = duty.job  # as the rest of this round knows it
        if not registry.holds_many(job) or job.schedule.fixed_delay:
            return
        position = max(position, job.schedule_changed_at)
        if owing and duty.active:
            position = await settle(duty, position, owing)
            if is_rescheduled(duty, job):
                continue
        due = job.schedule.next_after(position)
        if due is None or due >= duty.until:
            return
        was_active = duty.active
        instant = due + job.schedule.delay(due)
        # What is still under way might end in time: the overlap is judged at the instant and not before.
        if (
            await duty.rung_before(instant - _CLAIM_AHEAD)
            or (duty.active and duty.tasks and await duty.bell.sleep_until(instant))
            or is_rescheduled(duty, job)
        ):
            if not await duty.reload():
                return
        elif not duty.active and utcnow() >= duty.border:
            return
        elif was_active and utcnow() - instant <= _SLIP:
            await _let_finish(duty)
            if not await duty.start(due) and due >= duty.border:
                return  # another process is on duty
            position = due
        late = utcnow() - instant > _SLIP
        owing = PAUSED if duty.active and not was_active else BEHIND if duty.active and late else None


async def _let_finish(duty: Duty) -> None:
    """Give an execution that is about to end a moment to do so: being late together is not an overlap."""
    if duty.tasks and duty.job.overlap == "skip":
        await asyncio.wait(set(duty.tasks), timeout=_ALMOST_DONE_SECONDS)


def _ending(made: Attempt | None) -> Ending:
    if made is None:
        return Ending("skipped", "the job was deleted, or its schedule changed")
    if made.status == "retrying":
        return Ending("retry", made.line, made.after_seconds)
    if made.status in ("success", "failed"):
        return Ending("success" if made.status == "success" else "failed", made.line)
    return Ending("skipped", made.line)

"""One shift at work: its row as last read, its claims, and the executions it has under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include import registry
from include.model import Job
from include.shifts.bell import Bell, sleep_until, utcnow
from include.shifts.execution import Attempt, attempt, withdraw
from include.shifts.perform import LeaseLost
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.shifts.tally import Tally
from include.store.ledger import Claim, Wish

log = logging.getLogger(__name__)

CHANGED = "the schedule was changed before it was executed"

_ASK_AGAIN_SECONDS = 0.5
_FAR = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be executed, and how; `schedule_revision` is the one of the schedule that `due` was worked out by."""

    due: datetime
    schedule_revision: int
    release: bool = False
    redrive: bool = False
    patient: bool = False
    wait: bool = True


class Duty:
    """What the loops in `shifts/job.py` work with. `border`: the next shift's begin; `until`: this one's end."""

    def __init__(self, shift: Shift, post: Post, job: Job) -> None:
        self.shift = shift
        self.post = post
        self.job = job
        self.bell = Bell()
        self.tally = Tally()
        self.border: datetime = shift.due + _FAR
        self.until: datetime = self.border
        self.tasks: set[asyncio.Task[None]] = set()
        self.rests = asyncio.Event()  # cleared while it goes from occurrence to occurrence
        self.rests.set()

    @property
    def active(self) -> bool:
        """False while the row is paused."""
        paused_until = self.job.paused_until
        return self.job.is_active and (paused_until is None or paused_until <= utcnow())

    async def reload(self) -> bool:
        """Read the row again; False if it was deleted."""
        job = await self.post.ledger.job(self.shift.row_id)
        if job is not None:
            self.job = job
        return job is not None

    def relieve(self, at: datetime) -> None:
        """End at `at` at the latest, because another shift takes over from then on."""
        if at < self.until:
            self.until = at
            self.bell.ring()

    @property
    def is_for_worker(self) -> bool:
        """Whether the row is of a kind that runs on a worker, where this shift is not."""
        kind = self.job.kind
        on_worker = kind in registry.action_kinds() and registry.action(kind).runs_on == "worker"
        return on_worker and not self.post.is_on_worker

    async def execute(
        self, due: datetime, *, release: bool = False, redrive: bool = False, patient: bool = False, wait: bool = True
    ) -> Attempt | None:
        """Claim an occurrence and see it through; None if there is nothing (any more) to execute.

        `release` leaves retries to Airflow, or to whoever comes next: a failed attempt that may be retried is returned
        as such. `redrive`: a failed execution, which somebody wants sent again. `patient`: it waits for what is under
        way, whatever the overlap rule. Without `wait`, what would have to wait is returned as an attempt to come.
        """
        order = _Order(due, self.job.schedule_revision, release, redrive, patient, wait)
        rings = self.bell.rings
        claim = await self._claim(order)
        while claim is not None and claim.verdict in ("busy", "held"):
            if not wait:
                return Attempt("retrying", claim.reason or "waits", _ASK_AGAIN_SECONDS)
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
            claim = await self._claim(order)
        return None if claim is None else await self._carry_out(order, claim, rings)

    async def start(self, due: datetime) -> bool:
        """Claim an occurrence now and execute it in the background; by the overlap rule if one is under way.

        False: there was nothing to do here, for another shift has done it or is at it.
        """
        order = _Order(due, self.job.schedule_revision)
        rings = self.bell.rings
        claim = await self._claim(order)
        if claim is None:
            return False
        if claim.verdict == "mine":
            self.spawn(self._carry_out(order, claim, rings), due)
        elif claim.verdict == "busy":
            self.spawn(self.execute(due), due)
        elif claim.verdict == "skipped":
            self.tally.count("skipped")
        return claim.verdict in ("mine", "busy", "skipped")

    async def rung_before(self, instant: datetime) -> bool:
        """Sleep until `instant`, or, while the row is paused, until that or the shift ends.

        True, early, if the row changed.
        """
        if not self.active:
            resumes_at = self.job.paused_until if self.job.is_active else None
            return await self.bell.sleep_until(min(resumes_at or self.border, self.border))
        return await self.bell.sleep_until(instant)

    def spawn(self, work: Coroutine[Any, Any, Attempt | None], due: datetime) -> None:
        """Have an execution under way in the background; its outcome is counted, and its failure logged."""
        task = asyncio.create_task(self._counted(work, due))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self.tasks:
            await asyncio.wait(set(self.tasks))

    async def abandon(self) -> None:
        """Drop everything, for this shift was cancelled; let others take over what is under way."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.post.ledger.abandon(self.job.id, claim=self.shift.token)

    async def _counted(self, work: Coroutine[Any, Any, Attempt | None], due: datetime) -> None:
        try:
            made = await work
        except Exception:  # a defect of ours must not end the shift; the lease hands the row to the next owner
            log.exception("%s: the execution broke off", due.isoformat())
            return
        if made is not None:
            self.tally.count(made.status)
            if made.status == "failed":
                self.tally.complain("%s failed: %s", due.isoformat(), made.line)

    async def _carry_out(self, order: _Order, claim: Claim, rings: int) -> Attempt | None:
        """Attempt a claimed occurrence on its instant, and again as the retry policy says.

        `rings`: how often the bell had been rung when it was claimed; what was rung since may be an edit.
        """
        due = order.due
        while claim.verdict in ("mine", "busy"):
            wait_seconds = _ASK_AGAIN_SECONDS
            if claim.verdict == "mine":
                if claim.attempt == 1 and not self.shift.by_hand:
                    await sleep_until(due + self.job.schedule.delay(due))
                    if self.bell.rings != rings and (withdrawn := await self._withdrawn(order, claim)) is not None:
                        return withdrawn
                if claim.revision != self.job.revision:
                    await self.reload()
                with suppress(LeaseLost):  # then nothing was sent; ask whose it is now
                    made = await attempt(self.post, self.job, due, claim, self.shift, release=order.release)
                    if made.status != "retrying" or order.release:
                        return made
                    self.tally.complain("%s: attempt %s failed: %s", due.isoformat(), claim.attempt, made.line)
                    wait_seconds = made.after_seconds
            await asyncio.sleep(wait_seconds)
            again = await self._claim(order)
            if again is None:
                return None
            claim = again
        if claim.verdict == "lost":
            return Attempt("failed", "unknown outcome: the process that was sending it died")
        if claim.verdict == "skipped":
            return Attempt("skipped", f"skipped: {claim.reason}")
        return Attempt(claim.status or "skipped", f"{claim.status} already")

    async def _withdrawn(self, order: _Order, claim: Claim) -> Attempt | None:
        """The end of a claim whose row was paused, rescheduled or deleted before the instant came; None: go on."""
        reason = None
        if not await self.reload():
            reason = "the job was deleted"
        elif not self._is_due(order):
            reason = "the schedule was changed"
        elif not self.job.is_active or (self.job.paused_until is not None and self.job.paused_until > order.due):
            reason = "paused"
        if reason is None:
            return None
        await withdraw(self.post, order.due, claim, self.shift, reason)
        return Attempt("skipped", f"skipped: {reason}")

    def _is_due(self, order: _Order) -> bool:
        """Whether the row, as last read, is due then; with a fixed delay, by the schedule that the instant is of."""
        if self.job.schedule.fixed_delay:
            return self.job.schedule_revision == order.schedule_revision
        return self.job.schedule.is_occurrence(order.due)

    async def _drop(self, due: datetime) -> None:
        """An occurrence of a schedule that was changed: no longer waited for, and missed if it fell due before that."""
        await self.post.ledger.drop(self.job.id, due, claim=self.shift.token, reason="the schedule was changed")
        if due <= self.job.schedule_changed_at and not self.shift.by_hand:
            await self.post.ledger.miss(self.job.id, [due], run_id=self.shift.run_id, reason=CHANGED)

    async def _claim(self, order: _Order) -> Claim | None:
        """Ask until there is a verdict to act on. None: the job is gone, or this is not its instant any more."""
        while True:
            claim = await self.post.ledger.claim(
                Wish(
                    job_id=self.job.id,
                    due=order.due,
                    schedule_revision=self.job.schedule_revision,
                    run_id=self.shift.run_id,
                    try_number=self.shift.try_number,
                    manual=self.shift.by_hand,
                    claim=self.shift.token,
                    patient=order.patient,
                    redrive=order.redrive,
                )
            )
            if claim.verdict in ("deleted", "rescheduled"):
                if not await self.reload():
                    await self.post.ledger.cancel(self.job.id, claim=self.shift.token, reason="the job was deleted")
                    return None
                if not self._is_due(order):
                    await self._drop(order.due)
                    return None
            elif claim.verdict == "held" and order.wait:
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
            else:
                return claim

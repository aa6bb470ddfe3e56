"""One shift at work: its row as last read, its claims, and the executions it has under way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from include.model import Job
from include.shifts.bell import Bell, sleep_until, utcnow
from include.shifts.execution import Attempt, attempt
from include.shifts.perform import LeaseLost
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.shifts.tally import Tally
from include.store.ledger import Claim, Wish

log = logging.getLogger(__name__)

_ASK_AGAIN_SECONDS = 0.5
_FAR = timedelta(days=36_500)


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
        self._one_waits = False

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

    async def execute(self, due: datetime, *, release: bool = False) -> Attempt | None:
        """Claim an occurrence and see it through; None if there is nothing (any more) to execute.

        `release` leaves retries to Airflow: a failed attempt that may be retried is returned as such.
        """
        claim = await self._claim(due)
        return None if claim is None else await self._carry_out(due, claim, release)

    async def start(self, due: datetime) -> bool:
        """Claim an occurrence now and execute it in the background; by the overlap rule if one is under way.

        False: there was nothing to do here, for another shift has done it or is at it.
        """
        if self.tasks and self.job.overlap == "queue" and not self._one_waits:
            self._one_waits = True
            self.spawn(self._after(list(self.tasks), due), due)
            return True
        claim = await self._claim(due, busy=bool(self.tasks), full=self._one_waits)
        if claim is not None and claim.verdict == "mine":
            self.spawn(self._carry_out(due, claim, release=False), due)
        elif claim is not None and claim.verdict == "skipped":
            self.tally.count("skipped")
        return claim is not None and claim.verdict in ("mine", "skipped")

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
                log.warning("%s failed: %s", due.isoformat(), made.line)

    async def _after(self, earlier: list[asyncio.Task[None]], due: datetime) -> Attempt | None:
        await asyncio.wait(earlier)
        self._one_waits = False
        return await self.execute(due)

    async def _carry_out(self, due: datetime, claim: Claim, release: bool) -> Attempt | None:
        """Attempt a claimed occurrence on its instant, and again as the retry policy says."""
        while claim.verdict == "mine":
            if claim.attempt == 1 and not self.shift.by_hand:
                await sleep_until(due + self.job.schedule.delay(due))
            if claim.revision != self.job.revision:
                await self.reload()
            wait_seconds = _ASK_AGAIN_SECONDS
            with suppress(LeaseLost):  # then nothing was sent; ask whose it is now
                made = await attempt(self.post, self.job, due, claim, self.shift, release=release)
                if made.status != "retrying" or release:
                    return made
                log.warning("%s: attempt %s failed: %s", due.isoformat(), claim.attempt, made.line)
                wait_seconds = made.after_seconds
            await asyncio.sleep(wait_seconds)
            again = await self._claim(due)
            if again is None:
                return None
            claim = again
        if claim.verdict == "lost":
            return Attempt("failed", "unknown outcome: the process that was sending it died")
        if claim.verdict == "skipped":
            return Attempt("skipped", f"skipped: {claim.reason}")
        return Attempt(claim.status or "skipped", f"{claim.status} already")

    async def _claim(self, due: datetime, *, busy: bool = False, full: bool = False) -> Claim | None:
        """Ask until there is a verdict to act on. None: the job is gone, or this is not its instant any more."""
        while True:
            claim = await self.post.ledger.claim(
                Wish(
                    job_id=self.job.id,
                    due=due,
                    schedule_revision=self.job.schedule_revision,
                    run_id=self.shift.run_id,
                    try_number=self.shift.try_number,
                    manual=self.shift.by_hand,
                    busy=busy,
                    full=full,
                    claim=self.shift.token,
                )
            )
            if claim.verdict in ("deleted", "rescheduled"):
                if not await self.reload():
                    await self.post.ledger.cancel(self.job.id, claim=self.shift.token, reason="the job was deleted")
                    return None
                if not self.job.schedule.is_occurrence(due):
                    return None
            elif claim.verdict in ("held", "busy"):
                await asyncio.sleep(_ASK_AGAIN_SECONDS)
                busy = busy and bool(self.tasks)
            else:
                return claim

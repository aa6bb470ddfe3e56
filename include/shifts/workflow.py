"""A shift for a workflow: at each occurrence, read the records past the watermark and act on them, one after another.

The watermark moves only over records that are finished, and is stored before the next record is sent; so a crash sends
at most the call in hand again, with the same key. Workflows never wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from include import registry
from include.errors import MillraceError
from include.model import Workflow
from include.schedule import Schedule
from include.shifts.bell import utcnow
from include.shifts.perform import LeaseLost
from include.shifts.post import Post
from include.shifts.rounds import ASK_AGAIN, Rounds
from include.shifts.send import Outcome, Sender
from include.shifts.shift import Ending, Shift
from include.store.progress import Ahead, Look, Step, Stored

log = logging.getLogger(__name__)

_DELETED = Ending("skipped", "the workflow was deleted")


async def stand(shift: Shift, post: Post) -> Ending:
    """Be on duty for `shift` and say how it ended. Cancelled, it leaves the record in hand to whoever takes over."""
    look = await post.progress.look(shift.row_id)
    if look is None:
        return _DELETED
    processing = Processing(shift, post, look)
    if processing.is_for_worker and not post.is_on_worker:
        return Ending("worker", "this kind runs on a worker")
    try:
        if shift.by_hand or post.is_on_worker:
            return await processing.once()
        with post.on_duty(processing.rounds):
            await processing.rounds.go(processing)
    except asyncio.CancelledError:
        await asyncio.shield(processing.rounds.end_turn())
        raise
    return processing.ending or processing.conclusion()


async def end(shift: Shift, post: Post) -> bool:
    """A person ended the run in Airflow: the watermark is where the last finished record left it.

    Whether the run was to last, so that nobody is on duty for what comes next.
    """
    return not shift.by_hand


class Processing:
    """One workflow at work."""

    def __init__(self, shift: Shift, post: Post, look: Look) -> None:
        self.workflow: Workflow = look.workflow
        self.ending: Ending | None = None
        self.is_called = look.has_work
        self.rounds = Rounds(shift, post)
        self._shift = shift
        self._post = post
        self._sender: Sender | None = None
        self._stopped_by = look.stopped_by
        self._processed = 0
        self._failed = 0

    @property
    def schedule(self) -> Schedule:
        return self.workflow.schedule

    @property
    def is_active(self) -> bool:
        return self.workflow.is_active

    @property
    def paused_until(self) -> datetime | None:
        return self.workflow.paused_until

    def conclusion(self) -> Ending:
        """How the shift went, as Airflow shows it."""
        line = f"{self._processed} records processed, {self._failed} failed"
        if self._stopped_by is not None:
            return Ending("failed", f"{line}; stopped: {self._stopped_by}")
        return Ending("success", line)

    async def reload(self) -> bool:
        look = await self._post.progress.look(self.workflow.id)
        if look is None:
            self.ending = _DELETED
            return False
        self.workflow, self.is_called, self._stopped_by = look.workflow, look.has_work, look.stopped_by
        return True

    @property
    def is_for_worker(self) -> bool:
        """Whether its calls are made on a worker, one run after another."""
        kind = self.workflow.kind
        return kind in registry.action_kinds() and registry.action(kind).runs_on == "worker"

    async def once(self) -> Ending:
        """Process what there is, now, after whoever is at it."""
        await self.rounds.await_turn()
        if not await self.reload():
            return _DELETED
        paused = not self.is_active or (self.paused_until is not None and self.paused_until > utcnow())
        if paused and not self._shift.by_hand:
            await self.rounds.end_turn()
            return Ending("skipped", "paused")
        await self._process()
        await self.rounds.end_turn()
        await self.reload()
        return self.conclusion()

    async def round(self) -> datetime | None:
        """Process what there is."""
        if not await self.reload() or not self.is_called:
            return None
        if not await self.rounds.take_turn():
            return None if self.rounds.was_done else utcnow() + ASK_AGAIN
        await self._process()
        await self.rounds.end_turn()
        return None

    async def _process(self) -> None:
        """Dead letters that a person wants sent again first, then everything past the watermark."""
        try:
            await self._redrive()
            while not self.rounds.over and (ahead := await self._post.progress.ahead(self.workflow)) is not None:
                if not ahead.records or not await self._work_off(ahead):
                    return
                if self.rounds.bell.rung:  # the row may have been edited
                    self.rounds.bell.hush()
                    if not await self.reload() or not self.is_active:
                        return
        except LeaseLost:
            log.warning("this process was frozen, or the database away; somebody else may have gone on")
        except MillraceError as error:  # the row makes no sense; whoever vets rows says so on it
            log.warning("cannot process: %s", error)

    async def _redrive(self) -> None:
        for redrive in await self._post.progress.redriving(self.workflow.id):
            if self.rounds.over:
                return
            if redrive.record is None:
                await self._post.progress.redriven(redrive, error="the record is no longer kept", attempts=[])
                continue
            outcome = await self._send([redrive.record], attempts_before=redrive.attempts)
            await self._post.progress.redriven(redrive, error=outcome.error, attempts=outcome.attempts)
            self._processed += outcome.error is None

    async def _work_off(self, ahead: Ahead) -> bool:
        """Act on the records one call after another; False: stop here, for now."""
        position = ahead.position
        for batch in _batches(ahead, self.workflow.batch_size):
            if self.rounds.over:
                return False
            if self.rounds.bell.rung:
                return True
            wanted = [record for record in batch if record.wanted]
            step = Step(self.workflow.id, self._shift.token, position, batch[-1].position, processed=len(wanted))
            if wanted and self.workflow.batch_size > 1 and not await self._hold(step):
                return await self.rounds.take_turn()
            outcome = await self._send(wanted) if wanted else Outcome(None, [])
            moved = await self._conclude(step, wanted, outcome)
            if moved is None:
                return False
            if not moved:  # a person has moved the watermark, or the turn is somebody else's
                return await self.rounds.take_turn()
            position = step.position
        return True

    async def _hold(self, step: Step) -> bool:
        return await self._post.progress.hold(step.workflow_id, after=step.after, in_hand=step.position)

    async def _send(self, batch: list[Stored], *, attempts_before: int = 0) -> Outcome:
        if self._sender is None or self._sender.revision != self.workflow.revision:
            self._sender = Sender(self._post, self.workflow)
        return await self._sender.send(batch, lease=self.rounds.lease, attempts_before=attempts_before)

    async def _conclude(self, step: Step, batch: list[Stored], outcome: Outcome) -> bool | None:
        """Move the watermark over a call that is finished, whatever became of it. None: the workflow stops here."""
        progress, workflow = self._post.progress, self.workflow
        if outcome.error is None:
            self._processed += len(batch)
            return await progress.advance(step)
        self._failed += len(batch)
        positions = [record.position for record in batch]
        log.warning("record %s failed: %s", positions[-1], outcome.error)
        if workflow.on_error == "stop" or outcome.is_gone:
            await progress.stop(workflow.id, after=step.after, position=step.position, error=outcome.error)
            return None
        if workflow.on_error == "skip":
            return await progress.advance(replace(step, processed=0, failed=len(batch)))
        return await progress.quarantine(workflow, step, positions, error=outcome.error, attempts=outcome.attempts)


def _batches(ahead: Ahead, size: int) -> Iterator[list[Stored]]:
    """The records call by call, with what the filter passes over before them; what was in hand, as it was."""
    held = ahead.in_hand if any(record.position == ahead.in_hand for record in ahead.records) else None
    batch: list[Stored] = []
    wanted = 0
    for record in ahead.records:
        batch.append(record)
        wanted += record.wanted
        if (wanted >= size) if held is None else (record.position == held):
            yield batch
            batch, wanted, held = [], 0, None
    if batch:
        yield batch

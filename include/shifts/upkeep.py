"""A shift for upkeep: the chores once an hour, and beside them the watchdog, which looks every minute or so.

The chores are done by one process at a time over all machines (`store/upkeep.py`), and not again within the hour,
whoever did them. By hand, all of them are done at once, and the shift ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from include.deadline import within
from include.errors import MillraceError
from include.schedule import Schedule
from include.settings import Settings
from include.shifts.bell import utcnow
from include.shifts.post import Post
from include.shifts.rounds import Rounds
from include.shifts.shift import Ending, Shift
from include.shifts.upkeep_files import log_files
from include.shifts.watchdog import Watchdog
from include.store import upkeep_airflow, upkeep_ours
from include.store.upkeep import Chore, Done, Upkeep

log = logging.getLogger(__name__)

_LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)
# After the start of a process there is more urgent work than this.
_STARTED_AT = utcnow()
_FIRST_AFTER = timedelta(minutes=2)
_LOOK_SECONDS = 120.0


def chores(log_folder: Path | None) -> tuple[Chore, ...]:
    """All chores, in the order in which they are done; Airflow's logs are in `log_folder`."""
    return (*upkeep_ours.CHORES, *upkeep_airflow.CHORES, log_files(log_folder))


async def stand(shift: Shift, post: Post, log_folder: Path | None) -> Ending:
    """Be on duty for `shift` and say how it ended."""
    keeping = Keeping(shift, post, log_folder)
    if shift.by_hand:
        return await keeping.once()
    try:
        with post.on_duty(keeping.rounds):
            await keeping.rounds.go(keeping)
    finally:
        await keeping.close()
        await asyncio.shield(keeping.rounds.end_turn())
    return Ending("success", str(keeping))


class Keeping:
    """One shift of upkeep, as a row that is always on duty: each round is a look of the watchdog."""

    is_active = True
    paused_until = None

    def __init__(self, shift: Shift, post: Post, log_folder: Path | None) -> None:
        self.ending: Ending | None = None
        self.is_called = False
        self.rounds = Rounds(shift, post)
        every = timedelta(seconds=post.settings.watchdog_seconds)
        self.schedule = Schedule(anchor=_LONG_AGO, salt=0, every=every, starts_at=_LONG_AGO)
        self._upkeep = Upkeep(post.settings, chores(log_folder))
        self._watchdog = Watchdog(post)
        self._at_work: asyncio.Task[None] | None = None
        self._rounds = 0
        self._troubles = 0

    def __str__(self) -> str:
        return f"{self._rounds} rounds of chores" + (f", {self._troubles} chores failed" if self._troubles else "")

    async def once(self) -> Ending:
        """All chores, now."""
        try:
            done = await self._upkeep.round(utcnow())
        except MillraceError as error:
            return Ending("failed", str(error))
        if done is None:
            return Ending("skipped", "the chores are being done already, here or elsewhere")
        failed = [f"{chore.chore}: {chore.error}" for chore in done if chore.error]
        return Ending("failed", "; ".join(failed)) if failed else Ending("success", summary(done))

    async def reload(self) -> bool:
        """There is no row that could have changed."""
        return True

    async def round(self) -> datetime | None:
        """One look; and the chores, if nobody has done them within the hour, beside all further looks."""
        if not await self.rounds.take_turn():
            return None
        try:
            await within(_LOOK_SECONDS, self._watchdog.look(utcnow()))
        except (MillraceError, asyncio.TimeoutError) as error:
            log.warning("the watchdog could not look: %s", error or "it took too long")
        except Exception:  # what is wrong with it must not keep the chores from being done
            log.exception("the watchdog broke off")
        await self.rounds.end_turn()
        if (self._at_work is None or self._at_work.done()) and utcnow() >= _STARTED_AT + _FIRST_AFTER:
            self._at_work = asyncio.create_task(self._do_chores())
        return None

    async def close(self) -> None:
        """Break the chores off: whoever is on duty next goes on with them."""
        if self._at_work is not None:
            self._at_work.cancel()
            await asyncio.gather(self._at_work, return_exceptions=True)

    async def _do_chores(self) -> None:
        try:
            done = await self._upkeep.round(utcnow(), only_due=True)
        except MillraceError as error:
            log.warning("no upkeep just now: %s", error)
            return
        except Exception:  # a defect of ours: the watchdog goes on all the same
            log.exception("the upkeep broke off")
            return
        if done:
            self._rounds += 1
            self._troubles += sum(chore.error is not None for chore in done)
            log.info("upkeep: %s", summary(done))


async def do_now(
    settings: Settings, log_folder: Path | None, now: datetime, *, dry_run: bool = False
) -> Sequence[Done] | None:
    """Do all chores, or say what they would do; None: somebody else is at it."""
    return await Upkeep(settings, chores(log_folder)).round(now, dry_run=dry_run)


def summary(done: Sequence[Done]) -> str:
    """What was done, in a line."""
    return ", ".join(f"{chore.changed} {chore.does}" for chore in done if chore.changed) or "nothing was to be done"

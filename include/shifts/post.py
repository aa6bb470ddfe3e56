"""The post: what all shifts of one process share. One ledger, one way out, one ear for changed rows."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from include.egress import Egress
from include.settings import Settings
from include.store.changes import Changes
from include.store.ledger import Ledger

if TYPE_CHECKING:
    from include.shifts.duty import Duty

log = logging.getLogger(__name__)


class Post:
    """Opened on first use in the running loop; shifts of one process meet here and nowhere else."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.database_url, lease_seconds=settings.lease_seconds)
        self.http = Egress(allow=settings.egress_allow, concurrency=settings.concurrency)
        self.slots = asyncio.Semaphore(settings.concurrency)
        self._duties: defaultdict[int, list[Duty]] = defaultdict(list)
        self._changes = Changes(settings.database_url, self._heard)

    async def open(self) -> None:
        """Take out the lease and start to listen."""
        _calm_the_collector()
        await self.ledger.open()
        self._changes.open()

    async def close(self) -> None:
        """Give the lease back and close every connection."""
        await self._changes.close()
        await self.http.close()
        await self.ledger.close()

    @contextmanager
    def on_duty(self, duty: Duty) -> Iterator[None]:
        """Know of a shift while it lasts, and ring its bell whenever its row changes."""
        duties = self._duties[duty.shift.row_id]
        duties.append(duty)
        try:
            yield
        finally:
            duties.remove(duty)
            if not duties:
                del self._duties[duty.shift.row_id]

    def relieve_others(self, duty: Duty) -> bool:
        """Have earlier shifts for the same row, here, end where `duty` begins; True if there was one."""
        others = [other for other in self._duties[duty.shift.row_id] if other is not duty and not other.shift.by_hand]
        for other in others:
            other.relieve(duty.shift.due)
        return bool(others)

    def _heard(self, what: str | None) -> None:
        if what is None:
            for duties in self._duties.values():
                for duty in duties:
                    duty.bell.ring()
            return
        table, _, row_id = what.partition(":")
        if table == "job" and row_id.isdigit():
            for duty in self._duties.get(int(row_id), ()):
                duty.bell.ring()


_posts: dict[asyncio.AbstractEventLoop, asyncio.Task[Post]] = {}


async def post(settings: Settings) -> Post:
    """The post of this process, opened by whoever comes first."""
    loop = asyncio.get_running_loop()
    task = _posts.get(loop)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _posts[loop] = asyncio.create_task(_opened(settings))
    return await asyncio.shield(task)


async def _opened(settings: Settings) -> Post:
    opened = Post(settings)
    await opened.open()
    return opened


def _calm_the_collector() -> None:
    """Keep full garbage collections out of the loop: on a heap of Airflow's size one takes half a second, and all stop.

    Measured at 1,000 fires/s: a stall every two seconds. What is loaded by now stays for good, and is left out; young
    objects are still collected, and reference counting does the rest.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

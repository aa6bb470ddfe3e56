"""The post: what all shifts of one process share. One ledger, one log, one way out, one ear for changed rows."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from include.egress import egress_of
from include.errors import ConfigError, MillraceError
from include.model import Connection
from include.settings import Settings
from include.shifts.bell import Bell, utcnow
from include.shifts.shift import Shift
from include.store.changes import Changes
from include.store.ledger import Ledger
from include.store.log import RecordLog
from include.store.news import News
from include.store.progress import Progress
from include.store.turns import Turns

if TYPE_CHECKING:
    from include.shifts.notices import Notices

log = logging.getLogger(__name__)

FindConnection = Callable[[str], Awaitable[Connection]]
OpenDatabase = Callable[[Connection], Any]


class OnDuty(Protocol):
    """A shift at work, as the post knows it."""

    shift: Shift
    bell: Bell

    def relieve(self, at: datetime) -> None:
        """End at `at` at the latest, because another shift takes over from then on."""


async def no_connections(conn_id: str) -> Connection:
    """Where there is no Airflow to ask."""
    raise ConfigError(f"there is no Airflow here to ask for connection {conn_id!r}")


class Post:
    """Opened on first use in the running loop; shifts of one process meet here and nowhere else."""

    def __init__(
        self,
        settings: Settings,
        connections: FindConnection = no_connections,
        *,
        open_database: OpenDatabase | None = None,
        is_on_worker: bool = False,
    ) -> None:
        self.settings = settings
        self.connections = connections
        self.open_database = open_database
        self.is_on_worker = is_on_worker
        self.ledger = Ledger(settings.database_url, lease_seconds=settings.lease_seconds)
        self.turns = Turns(settings.database_url, self.ledger.owner)
        self.log = RecordLog(settings.database_url)
        self.progress = Progress(settings.database_url)
        self.http = egress_of(settings)
        self.http_once = egress_of(settings, fresh=True)
        self.slots = asyncio.Semaphore(settings.concurrency)
        self._expected: set[asyncio.Task[None]] = set()
        self._duties: defaultdict[tuple[str, int], list[OnDuty]] = defaultdict(list)
        self._changes = Changes(settings.database_url, self._heard)
        self._news = News(settings.database_url)
        self._notices: Notices | None = None

    async def open(self) -> None:
        """Take out the lease and start to listen."""
        _calm_the_collector()
        await self.ledger.open()
        self._changes.open()
        self._news.open()
        if not self.is_on_worker:  # which ends with its run, perhaps in the middle of a message
            from include.shifts.notices import Notices  # here, because what it does needs a post

            self._notices = Notices(self)
            self._notices.open()

    async def close(self) -> None:
        """Give the lease back and close every connection."""
        await self._changes.close()
        await self._news.close()
        if self._notices is not None:
            await self._notices.close()
        await self.http.close()
        await self.http_once.close()
        for store in (self.turns, self.log, self.progress):
            await store.close()
        await self.ledger.close()

    def expect(self, conn_id: object) -> None:
        """Have a connection looked up before it is needed: the first look-up of a process takes seconds."""
        if isinstance(conn_id, str):
            task = asyncio.create_task(self._look_up(conn_id))
            self._expected.add(task)
            task.add_done_callback(self._expected.discard)

    async def _look_up(self, conn_id: str) -> None:
        with suppress(MillraceError):  # whoever needs it will say so
            await self.connections(conn_id)

    @contextmanager
    def on_duty(self, duty: OnDuty) -> Iterator[None]:
        """Know of a shift while it lasts, and ring its bell whenever its row changes."""
        duties = self._duties[_row(duty)]
        duties.append(duty)
        try:
            yield
        finally:
            duties.remove(duty)
            if not duties:
                del self._duties[_row(duty)]

    def relieve_others(self, duty: OnDuty) -> list[OnDuty]:
        """Have earlier shifts for the same row, here, end where `duty` begins, and say which these are."""
        others = [other for other in self._duties[_row(duty)] if other is not duty and not other.shift.by_hand]
        earlier = [other for other in others if other.shift.due <= duty.shift.due]
        for other in earlier:
            other.relieve(duty.shift.due)
        return earlier

    def is_relieved(self, duty: OnDuty) -> bool:
        """Whether a later shift for the same row has begun, here."""
        begun = (other.shift for other in self._duties[_row(duty)] if not other.shift.by_hand)
        return any(duty.shift.due < shift.due <= utcnow() for shift in begun)

    def _heard(self, what: str | None) -> None:
        if what is None:
            for duties in self._duties.values():
                for duty in duties:
                    duty.bell.ring()
            return
        table, _, row_id = what.partition(":")
        if not row_id:
            for (other, _id), duties in self._duties.items():
                for duty in duties if other == table else ():
                    duty.bell.ring()
        elif row_id.isdigit():
            for duty in self._duties.get((table, int(row_id)), ()):
                duty.bell.ring()


def _row(duty: OnDuty) -> tuple[str, int]:
    return duty.shift.table, duty.shift.row_id


_posts: dict[asyncio.AbstractEventLoop, asyncio.Task[Post]] = {}


async def post(settings: Settings, connections: FindConnection = no_connections) -> Post:
    """The post of this process, opened by whoever comes first."""
    loop = asyncio.get_running_loop()
    task = _posts.get(loop)
    if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
        task = _posts[loop] = asyncio.create_task(_opened(settings, connections))
    return await asyncio.shield(task)


async def _opened(settings: Settings, connections: FindConnection) -> Post:
    opened = Post(settings, connections)
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

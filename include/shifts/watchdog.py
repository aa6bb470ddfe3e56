"""The watchdog: finds what should go on and does not, and keeps one warning of each problem as long as it lasts.

A warning is told when it begins and when it has ended, by the machinery of notices; in between it is a line on the
overview. Each check stands alone: one that fails says nothing, and leaves the warnings of its own as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from weakref import WeakKeyDictionary

import psycopg

from include.deadline import within
from include.errors import MillraceError, RetryableError
from include.settings import Settings
from include.shifts import disks, problems
from include.shifts.post import Post
from include.shifts.threaded import in_thread
from include.shifts.unfired import UnfiredWatch
from include.store import watchdog
from include.store.db import DictConnection, connect
from include.store.recall import recall
from include.store.watchdog import Problem

log = logging.getLogger(__name__)

_MOST_SECONDS = 60.0
_DISK_SECONDS = 10.0  # a disk that does not answer, such as one on a network, is not waited for
# After a start, a time in which nobody looked, and the silence of a component, shifts are taken over, and what is owed
# is made up for.
_SETTLES = timedelta(minutes=5)
_IN_TURN = 1_000  # jobs a minute, beyond those in trouble

_TIMERS = "millrace_timers"  # the DAG of the pumps

_NEVER = datetime.max.replace(tzinfo=timezone.utc)

_Find = Callable[[DictConnection, datetime], Sequence[Problem]]


@dataclass
class _Memory:
    """What the watchdogs of one post, which follow each other, know: shifts end, and the process goes on.

    Since when they have looked at least every `longest_gap`, and since when no component has been silent.
    """

    unfired: UnfiredWatch
    longest_gap: timedelta
    looked_at: datetime | None = None
    since: datetime = _NEVER
    well_since: datetime = _NEVER
    disks: asyncio.Task[list[Problem]] | None = None  # one at a time, for one that does not answer keeps its thread

    def look(self, now: datetime) -> None:
        if self.looked_at is None or abs(now - self.looked_at) > self.longest_gap:  # or the clock was set
            self.since = self.well_since = now
        self.looked_at = now


_memories: WeakKeyDictionary[Post, _Memory] = WeakKeyDictionary()


class Watchdog:
    """Looks when it is told to. Any number of them may look, at once as well."""

    def __init__(self, post: Post) -> None:
        self._settings = post.settings
        unfired = UnfiredWatch(post.settings.ledger_days, problems.two_intervals, _IN_TURN)
        gap = max(_SETTLES, 3 * timedelta(seconds=post.settings.watchdog_seconds))
        self._memory = _memories.setdefault(post, _Memory(unfired, gap))
        self._quiet_rows: dict[str, tuple[str, _Find]] = {
            "unfired": ("job", partial(problems.unfired_jobs, self._memory.unfired)),
            "unpulled": ("connector", partial(problems.unpulled, post.settings)),
            "stuck": ("workflow", problems.stuck),
        }

    async def look(self, now: datetime) -> int:
        """Begin, go on with and end warnings, as of `now`; how many are open. `RetryableError` without a database."""
        self._memory.look(now)
        full = await self._full_disks(now)
        try:
            return await within(_MOST_SECONDS, in_thread(partial(self._look, now, full)))
        except (psycopg.Error, asyncio.TimeoutError) as error:
            raise RetryableError(f"the watchdog cannot look: {type(error).__name__}") from error

    async def _full_disks(self, now: datetime) -> list[Problem] | None:
        """None: they are not known."""
        looking = self._memory.disks
        if looking is None or looking.done():
            looking = asyncio.create_task(in_thread(partial(_full_disks, self._settings, now)))
            self._memory.disks = looking
        await asyncio.wait([looking], timeout=_DISK_SECONDS)
        if looking.done():
            return looking.result()
        log.warning("a disk does not answer; it is looked at again when it does")
        return None

    def _look(self, now: datetime, full: list[Problem] | None) -> int:
        with connect(self._settings.database_url, via="watchdog") as db:
            db.execute("set statement_timeout = '10s'")
            memory = self._memory
            may_begin = now - memory.since >= problems.LEAST  # they are started one after another
            silent = self._keep(db, now, "component", problems.silent_components, may_begin=may_begin)
            if silent is None or silent:  # then it is known why everything has gone quiet, and will be for a while
                memory.well_since = now
            if full is not None:
                self._keep(db, now, "disk", lambda *_: full, scope=disks.scope())
            self._keep(db, now, "dead_letters", problems.growing_letters)
            self._keep(db, now, "stopped", problems.stopped, table="workflow")
            self._keep(db, now, "chore", problems.late_chores, may_begin=now - memory.since >= _SETTLES)
            quiet: list[tuple[str, int]] = []
            for what, (table, find) in self._quiet_rows.items():
                found = self._keep(db, now, what, find, table=table, may_begin=now - memory.well_since >= _SETTLES)
                quiet += [(table, problem.row_id) for problem in found or () if problem.row_id is not None]
            self._recall(db, quiet)
            watchdog.forget(db, days=self._settings.ledger_days)
            return watchdog.count_open(db)

    def _recall(self, db: DictConnection, quiet: Sequence[tuple[str, int]]) -> None:
        """Put back on duty what is off duty because its run was ended in Airflow while no triggerer was there."""
        try:
            if recalled := recall(db, [_TIMERS, *problems.to_recall(db, quiet)]):
                log.warning("runs were ended in Airflow, and are begun again: %s", ", ".join(recalled))
        except (psycopg.Error, MillraceError) as error:
            log.warning("the watchdog cannot have runs begun again: %s", str(error).strip().splitlines()[:1])
        except Exception:  # a defect, or a row that nobody thought of, must not keep it from watching
            log.exception("the watchdog cannot have runs begun again")

    def _keep(
        self,
        db: DictConnection,
        now: datetime,
        what: str,
        find: _Find,
        *,
        table: str | None = None,
        scope: str = "",
        may_begin: bool = True,
    ) -> Sequence[Problem] | None:
        """One check, and what it has found; None: it has gone wrong, and the others go on."""
        try:
            found, notify = find(db, now), self._settings.notify
            watchdog.keep(db, what, found, now, table=table, scope=scope, may_begin=may_begin, notify=notify)
            return found
        except (psycopg.Error, MillraceError) as error:
            log.warning("the watchdog cannot tell what is %s: %s", what, str(error).strip().splitlines()[:1])
        except Exception:  # a defect of one check, or a row that nobody thought of, must not hide all the others
            log.exception("the watchdog cannot tell what is %s", what)
        return None


def _full_disks(settings: Settings, now: datetime) -> list[Problem]:
    """Of those on this machine; that of PostgreSQL's data only if it says where that is."""
    data = None
    with suppress(psycopg.Error, MillraceError), connect(settings.database_url, via="watchdog") as db:
        db.execute("set statement_timeout = '5s'")
        data = watchdog.data_directory(db)
    return disks.full_disks(
        [data, disks.log_folder()],
        now,
        least_percent=settings.disk_free_percent,
        least_bytes=settings.disk_free_gib * 1024**3,
    )

"""The oldest occurrence that was due and that nobody has begun: the one number that says whether anything is fired.

The ledger is written in the order of occurrences, so what a job owes begins after the newest that is in it. A job that
owes nothing is not looked at again before its next occurrence, unless somebody edits it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from include.errors import ConfigError
from include.store import health
from include.store.db import DictConnection
from include.store.health import Watched

# What is late by less is nobody's fault: a new row becomes a DAG, a shift is taken over, a worker starts.
GRACE = timedelta(seconds=30)
_BELIEVED_SECONDS = 15.0
_MOST_JOBS = 10_000
_A_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Unfired:
    """An occurrence of a job that should have begun at `due`, and has not."""

    job_id: int
    due: datetime
    late_seconds: float


# How late an occurrence of a job may begin.
Patience = Callable[[Watched, datetime], timedelta]


@dataclass
class UnfiredWatch:
    """Knows what is unfired: later than `patience` has it.

    `in_turn`: of more jobs than this, those that owe nothing are looked at less often, so that about so many take a
    minute; what falls due there is found some minutes later.
    """

    ledger_days: int
    patience: Patience = lambda job, due: GRACE
    in_turn: int | None = None
    at_once: int = _MOST_JOBS
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: Unfired | None = None
    _believed_until: float = 0.0
    # By job: until when it owes nothing, if its row is still that of the revision.
    _quiet: dict[int, tuple[int, datetime]] = field(default_factory=dict)

    def oldest(self, db: DictConnection) -> Unfired | None:
        """The oldest unfired occurrence of the last `ledger_days`; None: all that was due has begun, or is just due.

        As of at most 15 s ago, whoever asks. It looks at 10,000 jobs at a time.
        """
        with self._lock:
            if time.monotonic() >= self._believed_until:
                found, _ = self._look(db, health.now(db))
                self._known = min(found, key=lambda one: one.due, default=None)
                self._believed_until = time.monotonic() + _BELIEVED_SECONDS
            return self._known

    def all(self, db: DictConnection, now: datetime) -> list[Unfired]:
        """The first unfired occurrence of each job that has one, as of `now`."""
        with self._lock:
            found, last = self._look(db, now)
            while last is not None:
                more, last = self._look(db, now, last)
                found += more
            return found

    def _look(self, db: DictConnection, now: datetime, after: int = -1) -> tuple[list[Unfired], int | None]:
        """What is unfired of the jobs with greater ids than `after`; and the last that was looked at, if there may be
        more."""
        self._quiet = {job: (row, until) for job, (row, until) in self._quiet.items() if until > now}
        quiet = {job: row for job, (row, _) in self._quiet.items()}
        watched = health.on_duty(db, quiet, self.at_once, now, after=after)
        owing = {job.id: (job, due) for job in watched if (due := self._owed(job, now, None)) is not None}
        # Whoever was paused in the meantime does not owe what fell due then.
        edited = [job.id for job, due in owing.values() if due < job.updated_at]
        for job_id, at in (health.resumed(db, edited) if edited else {}).items():
            job, _ = owing.pop(job_id)
            due = self._owed(job, now, at)
            if due is not None:
                owing[job_id] = job, due
        last = watched[-1].id if len(watched) == self.at_once else None
        return [Unfired(job.id, due, (now - due).total_seconds()) for job, due in owing.values()], last

    def _owed(self, job: Watched, now: datetime, resumed_at: datetime | None) -> datetime | None:
        """The instant at which the job should have fired and has not; None, and it is quiet, if there is none."""
        begin = max(
            now - timedelta(days=self.ledger_days),
            job.schedule_changed_at,
            job.paused_until,
            resumed_at or job.paused_until,
        )
        try:
            due = _next_due(job, begin, now)
            instant = None if due is None else due + job.schedule.delay(due)
            late = None if due is None or instant is None else instant + self.patience(job, due)
        except (ConfigError, OverflowError):  # the row cannot run, and will soon say so
            instant = late = None
        if instant is not None and late is not None and late <= now:
            return instant
        until = now + _A_DAY if late is None else min(late, now + _A_DAY)
        self._quiet[job.id] = job.revision, until + self._spread(job.id)
        return None

    def _spread(self, job_id: int) -> timedelta:
        """The same for a job each time, and another for the next."""
        turns = 0 if self.in_turn is None else len(self._quiet) // self.in_turn
        return timedelta(seconds=60 * turns * (job_id % 100) / 100)


def _next_due(job: Watched, begin: datetime, now: datetime) -> datetime | None:
    """The first occurrence from `begin` on that the ledger does not have; None if there is none. What follows an
    execution that has not ended is not due before it could be if it ended now."""
    schedule = job.schedule
    if not schedule.fixed_delay or job.accounted is None or job.accounted <= job.schedule_changed_at:
        after = begin - _TICK if job.accounted is None else max(begin - _TICK, job.accounted)
        return schedule.next_after(max(after, job.schedule_changed_at))
    assert schedule.every is not None  # noqa: S101 - a fixed delay has one
    due = max(begin, (job.ended_at or now) + schedule.every, schedule.starts_at or begin)
    return None if schedule.ends_at is not None and due >= schedule.ends_at else due

"""What there is to know about why an occurrence of a job did not run, or ran late: the facts, for `include/why.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from include import registry
from include.errors import ConfigError
from include.model import Job
from include.store import jobs
from include.store.db import DictConnection, queries
from include.wall_cron import TICK

Row = dict[str, Any]

_ASKED_FOR = timedelta(minutes=1)

_SQL = {name: text.encode() for name, text in queries("why").items()}


@dataclass(frozen=True, slots=True)
class Facts:
    """About one occurrence, due at `due` (None: none has been due yet), as things stand at `now`.

    `execution` is its row in the ledger, `accounted` the last occurrence that has one, `under_way` what else the job
    has unfinished, `pauses` who took it off duty or put it back (the newest first), `health` its failures in a row,
    `processes` how many of ours are alive, `airflow` what Airflow knows; None where its tables are not in this
    database.
    """

    job: Job
    now: datetime
    due: datetime | None
    execution: Row | None
    accounted: datetime | None = None
    under_way: list[Row] = field(default_factory=list)
    pauses: list[Row] = field(default_factory=list)
    health: Row | None = None
    processes: int = 0
    airflow: Row | None = None


def gather(db: DictConnection, job: Job, now: datetime, due: datetime | None = None) -> Facts:
    """The facts about the occurrence that was due at `due`, or within the minute after it, for people ask about minutes
    and mean what was due in them; None: about the last one, be it in the ledger or not.
    """
    execution = newest = _one(db, "newest", job_id=job.id, due=due)
    if due is not None and execution is None:
        due = _meant(db, job, due)
        execution = newest = _one(db, "newest", job_id=job.id, due=due)
    if due is None:
        due = _last_due(job, now, None if execution is None else execution["scheduled_for"])
        if execution is not None and execution["scheduled_for"] != due:
            execution = None
    airflow = None
    if (_one(db, "has_airflow") or {})["found"]:
        airflow = _one(db, "airflow", dag_id=job.dag_id, due=due, has_shifts=_has_shifts(job))
    return Facts(
        job=job,
        now=now,
        due=due,
        execution=execution,
        accounted=None if newest is None else newest["scheduled_for"],
        under_way=db.execute(_SQL["under_way"], {"job_id": job.id, "due": due}).fetchall(),
        pauses=db.execute(_SQL["pauses"], {"job_id": job.id}).fetchall(),
        health=jobs.health(db, job.id),
        processes=int((_one(db, "alive") or {})["processes"]),
        airflow=airflow,
    )


def _meant(db: DictConnection, job: Job, asked: datetime) -> datetime:
    """The first occurrence in the minute that somebody asks about, by the ledger or the schedule; else that instant."""
    first = _one(db, "first_since", job_id=job.id, begin=asked, end=asked + _ASKED_FOR)
    following = None
    if not job.schedule.fixed_delay and asked >= job.schedule_changed_at:
        following = job.schedule.next_after(asked - TICK)
    found = [first["scheduled_for"]] if first is not None else []
    found += [following] if following is not None and following - asked < _ASKED_FOR else []
    return min(found, default=asked)


def _last_due(job: Job, now: datetime, in_ledger: datetime | None) -> datetime | None:
    """The last occurrence: by the schedule as it is now, or, if that is newer, by the ledger."""
    schedule = job.schedule
    if schedule.fixed_delay and in_ledger is not None:
        return in_ledger
    last = schedule.latest_until(now, job.schedule_changed_at)
    if last is None and schedule.run_at is not None and schedule.run_at <= now:
        last = schedule.run_at
    return max((due for due in (last, in_ledger) if due is not None), default=None)


def _has_shifts(job: Job) -> bool:
    try:
        return registry.has_shifts(job)
    except ConfigError:  # which the row says itself
        return False


def _one(db: DictConnection, name: str, **parameters: object) -> Row | None:
    return db.execute(_SQL[name], parameters).fetchone()

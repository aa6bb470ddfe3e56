"""What the watchdog looks for: each function finds one sort of problem, and says what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from include import registry
from include.errors import ConfigError
from include.settings import Settings
from include.shifts.unfired import UnfiredWatch
from include.store import health, shards, watchdog
from include.store.db import DictConnection
from include.store.health import Watched
from include.store.watchdog import Problem
from include.times import spell_instant

LEAST = timedelta(minutes=2)
LETTERS = 10  # younger than an hour
_LISTED = 500
_WITHOUT = {
    "scheduler": "no runs are made",
    "triggerer": "nothing is fired",
    "dag_processor": "new rows and new schedules do not become DAGs",
}


def two_intervals(job: Watched, due: datetime) -> timedelta:
    """How late an occurrence is when there should have been two more, or after twice the interval that follows it,
    whichever is less: a cron's weekend says nothing about its Monday. Two minutes at least."""
    if job.schedule.every is not None:
        return max(LEAST, 2 * job.schedule.every)
    following = job.schedule.next_after(due)
    if following is None:
        return LEAST
    second = job.schedule.next_after(following)
    patience = 2 * (following - due)
    return max(LEAST, patience if second is None else min(patience, second - due))


def unfired_jobs(unfired: UnfiredWatch, db: DictConnection, now: datetime) -> list[Problem]:
    """Jobs with an occurrence that was due two intervals ago, and has not begun."""
    return [
        Problem(
            f"job:{one.job_id}",
            one.due,
            f"it was due at {spell_instant(one.due)} UTC and has not begun, nor anything since;"
            f" `./millrace jobs why {one.job_id}` says what it waits for",
            row_id=one.job_id,
        )
        for one in unfired.all(db, now)
    ]


def unpulled(settings: Settings, db: DictConnection, now: datetime) -> list[Problem]:
    """Connectors that have not completed a pull for two intervals, and do not fail either."""
    pushed = [kind for kind in registry.source_kinds() if registry.source(kind).runs_on == "api"]
    return [
        Problem(
            f"connector:{row['id']}",
            row["since"],
            f"no pull has been completed since {spell_instant(row['since'])} UTC; look at its run in Airflow, and let"
            f" `./millrace connectors run {row['id']}` pull now",
            row_id=row["id"],
        )
        for row in watchdog.unpulled(db, now, pushed=pushed, pull_seconds=settings.pull_seconds)
    ]


def stuck(db: DictConnection, now: datetime) -> list[Problem]:
    """Workflows with records to process whose watermark has not moved for two intervals."""
    return [
        Problem(
            f"workflow:{row['id']}",
            row["since"],
            f"records ahead of it: {row['behind']:,}, and its watermark has not moved since"
            f" {spell_instant(row['since'])} UTC; look whether its receiver answers, and at its run in Airflow",
            row_id=row["id"],
        )
        for row in watchdog.stuck(db, now)
    ]


def to_recall(db: DictConnection, quiet: Sequence[tuple[str, int]]) -> list[str]:
    """The DAGs of those quiet rows, by table and id, whose runs last; only for these is a run hours away."""
    dag_ids = []
    for table, rows in groupby(sorted(quiet), itemgetter(0)):
        for row in shards.rows_by_id(db, table, [row_id for _, row_id in rows]):
            with suppress(ConfigError):  # which says itself why it is quiet
                dag_ids += [row.dag_id] if registry.has_shifts(row) else []
    return dag_ids


def stopped(db: DictConnection, now: datetime) -> list[Problem]:
    """Workflows that have stopped at a record."""
    return [
        Problem(
            f"workflow:{row['id']}",
            row["since"],
            f"it has stopped at record {row['stopped_at']}: {(row['error'] or 'no error is known')[:_LISTED]};"
            f" mend it, then `./millrace workflows retry {row['id']}`, or `./millrace workflows skip {row['id']}`",
            row_id=row["id"],
        )
        for row in watchdog.stopped(db, now)
    ]


def growing_letters(db: DictConnection, now: datetime) -> list[Problem]:
    """Owners of whom ten dead letters or more are younger than an hour, and nobody has seen to them."""
    return [
        Problem(
            row["owner"] or "",
            row["since"],
            f"{row['count']:,} have failed for good within an hour, and wait; see `./millrace dead-letters list`, mend"
            " what fails, then redrive or discard them",
            name="dead letters" if row["owner"] is not None else "dead letters of jobs that are gone",
            owner=row["owner"],
        )
        for row in watchdog.growing_letters(db, now, least=LETTERS)
    ]


def silent_components(db: DictConnection, now: datetime) -> list[Problem]:
    """Components of Airflow without a sign of life for two minutes."""
    found = []
    for name, sign in health.signs_of_life(db).items():
        since = sign.heartbeat_at
        if not sign.is_alive and (since is None or now - since >= LEAST):
            last = "it has never given a sign of life" if since is None else f"silent since {spell_instant(since)} UTC"
            text = f"{last}, and {_WITHOUT[name]}; `./millrace logs {name.replace('_', '-')}` says why"
            found.append(Problem(name, since or now, text, name=f"the {name.replace('_', ' ')}"))
    return found


def late_chores(db: DictConnection, now: datetime) -> list[Problem]:
    """Chores of upkeep that fail, or have not been done for three hours."""
    return [
        Problem(
            row["chore"],
            row["since"],
            (f"it fails: {row['error']}" if row["error"] else "it has not been done")
            + f"; last done at {spell_instant(row['since'])} UTC. Look at the log of upkeep's run in Airflow:"
            " without it tables and disks fill",
            name=f"upkeep: {row['chore']}",
        )
        for row in watchdog.late_chores(db, now)
    ]

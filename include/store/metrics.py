"""What is counted and measured for monitoring, read in one snapshot of the database. No names: ids at most."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from include.store.db import DictConnection, queries
from include.store.health import QUIET_SECONDS, has_airflow

Row = Mapping[str, Any]

# What only people's redrives, or a long downtime, still change is added up no more often than this.
_RECOUNT_SECONDS = 600.0
_TIMERS_EXACTLY = 100_000
_DEAD_LETTERS_EXACTLY = 5_000
_EVER = ("-infinity", "infinity")
_SQL = {name: text.encode() for name, text in queries("metrics").items()}


@dataclass(frozen=True, slots=True)
class Ended:
    """How many executions have ever ended in one way, with how many attempts, and how late they began in all: exactly,
    for a sum that is rounded can be less than it was."""

    ended: int = 0
    attempts: int = 0
    late_seconds: Decimal = Decimal(0)

    def __add__(self, other: Ended) -> Ended:
        return Ended(self.ended + other.ended, self.attempts + other.attempts, self.late_seconds + other.late_seconds)


# By source (`job`, `timer`), status, and lateness: 0 without an attempt, else 1 + how many of the bounds it had passed.
Totals = Mapping[tuple[str, str, int], Ended]


@dataclass(frozen=True, slots=True)
class Airflow:
    """What Airflow's tables say: shifts on duty by table, and how long ago our bundle was refreshed, if it ever was."""

    shifts: Mapping[str, int]
    refreshed_seconds: float | None


@dataclass(frozen=True, slots=True)
class Readings:
    """One scrape. Rows have the columns of the statements of their name in `sql/metrics.sql`."""

    totals: Totals
    bounds: Sequence[float]
    jobs: Mapping[str, int]
    each_job: Sequence[Row]
    timers: Row
    dead_letters: Mapping[str, int]
    connectors: Mapping[str, int]
    each_connector: Sequence[Row]
    workflows: Mapping[str, int]
    each_workflow: Sequence[Row]
    warnings: Mapping[str, int]
    rows: Mapping[str, int]
    built_seconds: float | None
    airflow: Airflow | None


class Meter:
    """Reads the metrics. Totals never decrease from one reading of a meter to the next.

    The tally of what was due in the last one or two hours is added up each time. What lies before that hardly changes,
    and there is much of it: it is added up again every ten minutes.
    """

    def __init__(self, classpath: str, bundle: str, most: int) -> None:
        """`classpath` and `bundle` are our names in Airflow's tables; `most` is how many rows of a kind are told
        apart."""
        self._names = {"classpath": classpath, "bundle": bundle}
        self._most = most
        self._old: Totals = {}
        self._old_until: datetime | None = None
        self._recount_at = 0.0

    def read(self, db: DictConnection) -> Readings:
        """All of it, or an error."""
        with db.transaction():
            db.execute(_SQL["snapshot"])
            bounds = _one(db, "bounds")
            return Readings(
                totals=self._totals(db, bounds["recent"]),
                bounds=bounds["bounds"],
                jobs=_counts(db, "jobs", "state"),
                each_job=_all(db, "each_job", most=self._most),
                timers=_one(db, "timers", exactly=_TIMERS_EXACTLY),
                dead_letters=_counts(db, "dead_letters", "source", most=_DEAD_LETTERS_EXACTLY),
                connectors=_counts(db, "connectors", "state"),
                each_connector=_all(db, "each_connector", most=self._most),
                workflows=_counts(db, "workflows", "state"),
                each_workflow=_all(db, "each_workflow", most=self._most),
                warnings=_counts(db, "warnings", "what"),
                rows=_counts(db, "rows", "table"),
                built_seconds=_one(db, "shards")["built_seconds"],
                airflow=self._airflow(db) if has_airflow(db) else None,
            )

    def _totals(self, db: DictConnection, recent: datetime) -> Totals:
        if self._old_until is None or time.monotonic() >= self._recount_at:
            old = _ended(db, _EVER[0], recent)
            self._old, self._old_until = old, recent
            self._recount_at = time.monotonic() + _RECOUNT_SECONDS
        return _sum(self._old, _ended(db, self._old_until, _EVER[1]))

    def _airflow(self, db: DictConnection) -> Airflow:
        shifts = _counts(db, "shifts", "table", **self._names, quiet_seconds=QUIET_SECONDS)
        bundle = db.execute(_SQL["bundle"], self._names).fetchone()
        refreshed: Any = None if bundle is None else bundle["refreshed_seconds"]
        return Airflow(shifts, refreshed)


def _ended(db: DictConnection, since: datetime | str, until: datetime | str) -> Totals:
    return {
        (row["source"], row["status"], row["late"]): Ended(int(row["ended"]), int(row["attempts"]), row["late_seconds"])
        for row in _all(db, "totals", since=since, until=until)
    }


def _sum(some: Totals, others: Totals) -> Totals:
    return {key: some.get(key, Ended()) + others.get(key, Ended()) for key in some.keys() | others.keys()}


def _all(db: DictConnection, name: str, **parameters: object) -> Sequence[Row]:
    return db.execute(_SQL[name], parameters).fetchall()


def _one(db: DictConnection, name: str, **parameters: object) -> Row:
    [row] = _all(db, name, **parameters)
    return row


def _counts(db: DictConnection, name: str, key: str, **parameters: object) -> dict[str, int]:
    """The statement's numbers by what they count."""
    return {str(row[key]): int(row["count"]) for row in _all(db, name, **parameters)}

"""What health is judged by: signs of life of Airflow's components, and what may be due but has not begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.schedule import Schedule
from include.store.db import DictConnection, queries

COMPONENTS = ("scheduler", "triggerer", "dag_processor")
QUIET_SECONDS = 30.0  # the longest that a component of Airflow is silent while it is well

_SQL = {name: text.encode() for name, text in queries("health").items()}


@dataclass(frozen=True, slots=True)
class Sign:
    """The last sign of life of a component (None: it has never given one), and whether it is alive."""

    heartbeat_at: datetime | None
    is_alive: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """A job on duty, and how far the ledger has it: its newest occurrence by schedule, and when that ended.

    `paused_until` is long ago if it never was.
    """

    id: int
    schedule: Schedule
    schedule_changed_at: datetime
    updated_at: datetime
    revision: int
    paused_until: datetime
    accounted: datetime | None
    ended_at: datetime | None


def has_airflow(db: DictConnection) -> bool:
    """Whether Airflow's tables are in this database."""
    row = db.execute(_SQL["has_airflow"]).fetchone()
    return row is not None and bool(row["found"])


def signs_of_life(db: DictConnection) -> dict[str, Sign]:
    """The sign of each component; empty if Airflow's tables are not in this database."""
    if not has_airflow(db):
        return {}
    rows: list[dict[str, Any]] = db.execute(_SQL["components"], {"quiet_seconds": QUIET_SECONDS}).fetchall()
    found = {row["component"]: Sign(row["heartbeat_at"], row["is_alive"]) for row in rows}
    return {component: found.get(component, Sign(None, is_alive=False)) for component in COMPONENTS}


def oldest_timer(db: DictConnection) -> datetime | None:
    """When the pending timer that has waited longest was, or is, to be sent."""
    row: Mapping[str, Any] | None = db.execute(_SQL["oldest_timer"]).fetchone()
    return None if row is None else row["next_at"]


def now(db: DictConnection) -> datetime:
    """The time as the database has it, by which it is judged what is late."""
    row: Mapping[str, Any] | None = db.execute(_SQL["now"]).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    instant: datetime = row["now"]
    return instant


def on_duty(
    db: DictConnection, quiet: Mapping[int, int], most: int, now: datetime, *, after: int = -1
) -> list[Watched]:
    """At most so many jobs that may be due by `now`, by their ids, which are greater than `after`; without those that
    are `quiet`: their ids, with the `revision` of the row that this was said of."""
    wanted = {"ids": list(quiet), "revisions": list(quiet.values()), "most": most, "now": now, "after": after}
    # Planned anew each time: which partitions are looked into depends on the time.
    return list(map(_watched, db.execute(_SQL["on_duty"], wanted, prepare=False).fetchall()))


def resumed(db: DictConnection, ids: Iterable[int]) -> dict[int, datetime]:
    """When each of these jobs was last paused or resumed; nothing of those that never were."""
    rows: Sequence[Mapping[str, Any]] = db.execute(_SQL["resumed"], {"ids": list(ids)}).fetchall()
    return {row["id"]: row["at"] for row in rows}


def _watched(row: dict[str, Any]) -> Watched:
    schedule = Schedule(
        anchor=row["created_at"],
        salt=row["id"],
        cron=row["cron"],
        every=row["every"],
        run_at=row["run_at"],
        timezone=row["timezone"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        jitter=row["jitter"],
        fixed_delay=row["every_mode"] == "fixed_delay",
    )
    return Watched(
        id=row["id"],
        schedule=schedule,
        schedule_changed_at=row["schedule_changed_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
        paused_until=row["paused_until"],
        accounted=row["accounted"],
        ended_at=row["ended_at"],
    )

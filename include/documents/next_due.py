"""What is due next, among thousands of schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from include.errors import ConfigError
from include.schedule import Schedule
from include.store.edits import Row

_MOST_KNOWN = 50_000
# When a cron expression is due next, which is so until then: to work it out costs as much as to read ten rows.
_known: dict[tuple[str, str], datetime] = {}


def next_due(rows: Iterable[Row], timer: Row | None, now: datetime) -> dict[str, Any] | None:
    """The first of the jobs (as `stats.schedules` has them) and the timer to be due; None if nothing is."""
    dues = list(_dues(rows, now))
    if timer is not None:
        dues.append((timer["at"], {"table": "timer", "id": timer["id"], "name": None}))
    if not dues:
        return None
    at, what = min(dues, key=lambda due: due[0])
    return {"at": at, **what}


def _dues(rows: Iterable[Row], now: datetime) -> Iterator[tuple[datetime, dict[str, Any]]]:
    for row in rows:
        try:
            at = _of_cron(row, now) if row["cron"] and not row["starts_at"] else _schedule(row, now).next_after(now)
        except (ConfigError, OverflowError):  # a row that plain SQL made, and that cannot run
            continue
        if at is not None and (row["ends_at"] is None or at < row["ends_at"]):
            yield at, {"table": "job", "id": row["id"], "name": row["name"]}


def _of_cron(row: Row, now: datetime) -> datetime | None:
    key = row["cron"], row["timezone"]
    found = _known.get(key)
    if found is not None and found > now:
        return found
    found = Schedule(anchor=now, salt=0, cron=row["cron"], timezone=row["timezone"]).next_after(now)
    if found is not None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = found
    return found


def _schedule(row: Row, now: datetime) -> Schedule:
    return Schedule(
        anchor=row["anchor"] or now,
        salt=row["id"],
        cron=row["cron"],
        every=row["every"],
        run_at=row["run_at"],
        timezone=row["timezone"],
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
    )

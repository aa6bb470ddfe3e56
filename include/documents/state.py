"""Whether a row is on duty, in a word or two."""

from __future__ import annotations

from datetime import datetime

from include.store.edits import Row
from include.times import spell_instant


def state(row: Row, now: datetime) -> str:
    """`error`, `paused`, `paused until` an instant in UTC, or `active`."""
    if row["error"] is not None:
        return "error"
    if not row["is_active"]:
        return "paused"
    if row["paused_until"] is not None and row["paused_until"] > now:
        return f"paused until {spell_instant(row['paused_until'])}"
    return "active"


def pull_state(row: Row, now: datetime) -> str:
    """The same of a connector; on duty it may also be `failing`, or `rate-limited until` an instant in UTC."""
    said = state(row, now)
    if said != "active":
        return said
    if row["failing_since"] is not None:
        return "failing"
    if row["not_before"] is not None and row["not_before"] > now:
        return f"rate-limited until {spell_instant(row['not_before'].replace(microsecond=0))}"
    return "active"

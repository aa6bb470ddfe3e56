"""Whether a row is on duty, in a word or two."""

from __future__ import annotations

from datetime import datetime

from include.store.edits import Row
from include.times import spell_instant


def state(row: Row, now: datetime) -> str:
    """`ERROR`, `paused`, `paused until` an instant in UTC, or `active`."""
    if row["error"] is not None:
        return "ERROR"
    if not row["is_active"]:
        return "paused"
    if row["paused_until"] is not None and row["paused_until"] > now:
        return f"paused until {spell_instant(row['paused_until'])}"
    return "active"

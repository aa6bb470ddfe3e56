"""A change as the audit has it, as a document: who changed what, from what, to what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from include.documents.fields import Shown, ShownInstant
from include.store.edits import Row

# Written by Millrace with every change: they say nothing that people have changed.
_ITS_OWN = frozenset({"revision", "schedule_revision", "schedule_changed_at", "updated_at"})
_INSTANTS = frozenset({"run_at", "starts_at", "ends_at", "paused_until", "started_at", "created_at", "failing_since"})
_DURATIONS = frozenset(
    ("every", "jitter", "max_lateness", "timeout", "probe_every", "retry_delay", "retry_max_delay", "min_interval")
)
# As PostgreSQL writes an interval of days and less; of longer ones it writes months, which have no length.
_INTERVAL = re.compile(r"(?:(\d+) days? ?)?(?:(\d+):(\d\d):(\d\d(?:\.\d+)?))?", re.ASCII)
_instant: TypeAdapter[datetime] = TypeAdapter(ShownInstant)

Operation = Literal["insert", "update", "delete"]


class AuditEntry(Shown):
    """One change of one row."""

    id: int
    at: ShownInstant
    actor: str = Field(description="Who made it: a user, or a user of the database.")
    via: str = Field(description="By what means.", examples=["api", "cli", "sql"])
    table: str = Field(examples=["job"])
    row_id: int
    operation: Operation
    name: str | None = Field(description="The row's name then, if it has one.")
    owner: str | None = Field(description="Whose the row was after it, or until it was deleted.")
    changes: dict[str, tuple[Any, Any]] = Field(
        description="What differs: column by column, the value before and the value after. null: it had none, there was"
        " no row, or the row was somebody else's.",
        examples=[{"every": [300.0, 600.0]}],
    )


def document(row: Row) -> dict[str, Any]:
    """A row of the audit as an `AuditEntry`."""
    known: Mapping[str, Any] = row["new"] or row["old"] or {}
    return {
        **row,
        "table": row["table_name"],
        "name": known.get("name"),
        "owner": known.get("owner"),
        "changes": changes(row["old"], row["new"]),
    }


def changes(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """What differs between a row's columns before and after, in the spelling of documents."""
    before, after = old or {}, new or {}
    return {
        name: (_shown(name, before.get(name)), _shown(name, after.get(name)))
        for name in {**before, **after}
        if name not in _ITS_OWN and before.get(name) != after.get(name)
    }


def _shown(name: str, value: Any) -> Any:
    """Instants in UTC, durations in seconds; whatever else plain SQL has put there, as it is."""
    if isinstance(value, str) and name in _DURATIONS and value and (found := _INTERVAL.fullmatch(value)):
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    if isinstance(value, str) and name in _INSTANTS:
        try:
            return _instant.dump_python(_instant.validate_python(value), mode="json")
        except (ValidationError, OverflowError):
            return value
    return value

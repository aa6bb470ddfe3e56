"""The tables that a configuration has rows of: how a row is written there, and how it is read back.

A row's key is its `external_id`, or its name where it has none. What equals the table's default is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from include.documents.connector import CONNECTORS
from include.documents.invalid import InvalidDocumentError, parse
from include.documents.job import JOBS
from include.documents.retry import RetrySettings
from include.documents.same import same
from include.documents.table import Table
from include.documents.workflow import WORKFLOWS
from include.store import configuration
from include.store.db import DictConnection
from include.store.edits import Row
from include.times import spell_duration

# The key and the document say these; an id means nothing elsewhere; when a pause ends is not configuration.
_NOT_WRITTEN = frozenset({"external_id", "owner", "connector_id", "paused_until"})


@dataclass(frozen=True)
class Section:
    """One table of rows. `fixed` are columns that a row cannot change: another value makes another row.

    `rows` are those of the owners that are given; None: of all.
    """

    name: str
    table: Table[Any]
    rows: Callable[[DictConnection, Sequence[str] | None], list[Row]]
    fixed: frozenset[str] = frozenset()

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """What an entry may say, in the order in which people read it: what and when, how, and at length."""
        names = [name for name in self.table.settings.model_fields if name not in _NOT_WRITTEN]
        return tuple(
            sorted(names, key=lambda name: 2 if name == self.table.code else name in RetrySettings.model_fields)
        )

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        fields = self.table.settings.model_fields
        return {name: fields[name].default for name in self.fields if not fields[name].is_required()}

    def entry(self, key: str, row: Row) -> dict[str, Any]:
        """The row as it is written under its key."""
        defaults = {"name": key, **self._defaults}
        if "started_at" in defaults:  # nobody has said when: it was when the row was made
            defaults["started_at"] = row["created_at"]
        return {
            name: spell(row[name])
            for name in self.fields
            if name not in defaults or not same(row[name], defaults[name])
        }

    def settings(self, owner: str, key: str, entry: Mapping[str, Any]) -> Any:
        """What is written under a key as the table's settings; `InvalidDocumentError` if it is none."""
        if odd := sorted(entry.keys() & _NOT_WRITTEN):
            raise InvalidDocumentError([(name, "this is not written here") for name in odd])
        return parse(self.table.settings, {"name": key, **entry, "external_id": key, "owner": owner})

    def changes(self, before: Row | None, settings: Any) -> dict[str, tuple[Any, Any]]:
        """What columns are, and are to be; of a new row, what is said of it."""
        if before is None:
            said = [name for name in self.fields if name in settings.model_fields_set]
            return {name: (None, getattr(settings, name)) for name in said}
        pairs = {name: (before[name], getattr(settings, name)) for name in self.fields}
        if pairs.get("started_at", (None, None))[1] is None:
            pairs.pop("started_at", None)  # as it was
        return {name: pair for name, pair in pairs.items() if not same(*pair)}

    def judge(self, before: Row | None, settings: Any) -> None:
        """`ConfigError` if the row could not run."""
        columns = settings.model_dump(round_trip=True)
        if columns.get("started_at", ...) is None:
            del columns["started_at"]
        self.table.judge(columns, before)


CONNECTOR_SECTION = Section("connectors", CONNECTORS, configuration.connectors, fixed=frozenset({"kind"}))
JOB_SECTION = Section("jobs", JOBS, configuration.jobs)
WORKFLOW_SECTION = Section(
    "workflows", WORKFLOWS, configuration.workflows, fixed=frozenset({"connector", "connector_owner"})
)
SECTIONS = (CONNECTOR_SECTION, JOB_SECTION, WORKFLOW_SECTION)


def spell(value: Any) -> Any:
    """A value as a file has it: durations and instants are texts."""
    if isinstance(value, timedelta):
        return spell_duration(value)
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return value

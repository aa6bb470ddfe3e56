"""What documents say of one row, and what that would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from include.documents.configuration.sections import spell
from include.store.edits import Row

Action = Literal["add", "change", "replace", "delete"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one document says of one row; `place` is where."""

    owner: str
    key: str
    settings: Any
    place: str


@dataclass(frozen=True, slots=True)
class Step:
    """One row that is not as it is to be: it is added, changed, deleted, or deleted and added anew (`replace`).

    `columns` are the old and the new values of what changes; `records` are those that go with a connector. Budgets and
    notifies are no rows of an owner: `before` and `settings` are what is written under the key.
    """

    section: str
    action: Action
    key: str
    owner: str | None = None
    before: Row | None = None
    settings: Any = None
    columns: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    place: str = ""
    records: int | None = None

    @property
    def row_id(self) -> int | None:
        return self.before.get("id") if self.before is not None else None

    def shown(self) -> dict[str, Any]:
        """For people, and for programs."""
        return {
            "section": self.section,
            "action": self.action,
            "owner": self.owner,
            "key": self.key,
            "id": self.row_id,
            "columns": {name: {"old": spell(old), "new": spell(new)} for name, (old, new) in self.columns.items()},
            "records": self.records,
        }

"""Warnings as documents: what is wrong, since when, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from include.documents.fields import Shown, ShownInstant
from include.store.edits import Row

What = Literal["unfired", "unpulled", "stuck", "stopped", "dead_letters", "disk", "component", "chore"]
State = Literal["open", "ended", "all"]


class Warning(Shown):
    """One problem, from when it was first seen until it was over."""

    id: int
    what: What = Field(
        description="unfired: a job. unpulled: a connector. stuck, stopped: a workflow. dead_letters: more and more of"
        " an owner's. disk, component, chore: the system's."
    )
    table: Literal["job", "connector", "workflow"] | None = Field(description="Where the row is that it is about.")
    row_id: int | None = Field(description="The id of that row.")
    name: str = Field(description="Of that row, or of what else it is about.", examples=["nightly report"])
    owner: str | None = Field(description="Who can do something about it; null: whoever runs the system.")
    since: ShownInstant = Field(description="Since when it is so.")
    text: str = Field(description="What is wrong, and what to do.")
    last_seen_at: ShownInstant
    notified_at: ShownInstant | None = Field(description="When it was noted to be told; null: nobody wants to know.")
    ended_at: ShownInstant | None = Field(description="When it was over; null: it is not.")


def document(row: Row) -> Mapping[str, Any]:
    """A row of the store as a `Warning`."""
    return {**row, "table": row["table_name"]}

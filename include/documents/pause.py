"""How long a row is off duty."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from include.documents.fields import Document, Instant
from include.documents.invalid import InvalidDocumentError


class Until(Document):
    """How long a pause lasts."""

    until: Instant | None = Field(None, description="Back on duty by itself then; null: until somebody resumes it.")


def columns_of(until: Until | None, now: datetime) -> dict[str, Any]:
    """The columns of a row that is paused; `InvalidDocumentError` if the pause would have ended already."""
    if until is None or until.until is None:
        return {"is_active": False}
    if until.until <= now:
        raise InvalidDocumentError([("until", "not in the future; write a time to come")])
    return {"paused_until": until.until}

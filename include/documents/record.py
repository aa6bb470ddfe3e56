"""A record of a connector's log as a document."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from include.documents.fields import Document, Json, Shown, ShownInstant, Storable


class RecordSettings(Document):
    """A record that is appended by hand."""

    key: Annotated[str, Field(min_length=1), Storable] | None = Field(
        None, description="What tells records apart; without it, the content does.", examples=["order 17"]
    )
    payload: Json = Field(description="Any JSON.", examples=[{"order": 17, "paid": True}])


class Record(Shown):
    """A record, as it is stored."""

    position: int = Field(description="Its number in the log, from 1 on.")
    key: str = Field(description="As the source has it; a digest where that has none, or a very long one.")
    version: int = Field(description="Which content of the key it is, where `dedupe` is `content`; else 1.")
    payload: Any
    created_at: ShownInstant = Field(description="When it was stored.")


class Appended(Shown):
    """What became of records that were appended."""

    positions: list[int] = Field(description="Where each of them is, in their order.")
    stored: int = Field(description="How many of them were new.")

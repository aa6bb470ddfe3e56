"""Attempts as documents: as the ledger keeps them, their instants as everywhere in answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, TypeAdapter, ValidationError

from include.documents.fields import spell_utc

_instant: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)


def _shown(attempts: Any) -> Any:
    return [_with_instant(attempt) for attempt in attempts] if isinstance(attempts, list) else attempts


def _with_instant(attempt: Any) -> Any:
    """What plain SQL has put there, and is no instant, is shown as it is."""
    at = attempt.get("at") if isinstance(attempt, dict) else None
    if not isinstance(at, str):
        return attempt
    try:
        return {**attempt, "at": spell_utc(_instant.validate_python(at))}
    except (OverflowError, ValidationError):
        return attempt


Attempts = Annotated[list[Any], BeforeValidator(_shown)]

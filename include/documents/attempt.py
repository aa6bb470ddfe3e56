"""Attempts as documents: as the ledger keeps them, their instants as everywhere in answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema

from include.documents.caller import Caller
from include.documents.fields import spell_utc
from include.store import audit
from include.store.db import DictConnection
from include.store.edits import LARGEST_ID

_instant: TypeAdapter[AwareDatetime] = TypeAdapter(AwareDatetime)

_FACTS = {
    "attempt": {"type": "integer", "description": "Its number, from 1."},
    "at": {"type": "string", "format": "date-time", "description": "When it began."},
    "ms": {"type": "number", "description": "How long it took, in milliseconds."},
    "code": {"type": "integer", "description": "The status code of what came back; of a command, its exit code."},
    "error": {"type": "string"},
    "excerpt": {"type": "string", "description": "The beginning of what came back."},
    "revision": {"type": "integer", "description": "The revision of the row that it was made from."},
}
_SENT = {
    "request": {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "What it has sent, in a few short texts, such as `method` and `url`, without secrets; there is "
        "none where nothing was sent, nor of attempts whose process died.",
        "examples": [{"method": "POST", "url": "https://example.com/hooks/7?token=***"}],
    },
    "audit_id": {"type": "integer", "description": "The change that made its `revision`, where that is known."},
}


def lines_of(request: Any) -> list[str]:
    """What an attempt has sent, as people read it: method and URL, then the rest; nothing if that is not known."""
    if not isinstance(request, Mapping):
        return []
    called = " ".join(str(request[name]) for name in ("method", "url") if name in request)
    rest = [f"{name}: {text}" for name, text in request.items() if name not in ("method", "url")]
    return [called, *rest] if called else rest


def for_caller(db: DictConnection, caller: Caller, table: str, row_id: int, attempts: Any) -> Any:
    """The attempts at a row, each with its `audit_id`. What was sent before the row was given to the caller is not his
    to see; admins see everything.
    """
    if not isinstance(attempts, list):
        attempts = [attempts]
    revisions = {revision for one in attempts if (revision := _revision(one)) is not None}
    changes = audit.of_revisions(db, table, row_id, revisions, caller.sees)
    given_at = None if caller.sees is None else audit.given_at(db, table, row_id)
    return [_for_caller(one, changes, given_at) for one in attempts]


def _for_caller(attempt: Any, changes: Mapping[int, int], given_at: datetime | None) -> Any:
    if not isinstance(attempt, dict):
        return attempt
    if given_at is not None and not ((at := _at(attempt)) and at >= given_at):
        attempt = _without_request(attempt)
    audit_id = changes.get(_revision(attempt) or 0)
    return attempt if audit_id is None else {**attempt, "audit_id": audit_id}


def _revision(attempt: Any) -> int | None:
    found = attempt.get("revision") if isinstance(attempt, dict) else None
    return found if isinstance(found, int) and 0 < found <= LARGEST_ID else None


def _without_request(attempt: Any) -> Any:
    if not isinstance(attempt, dict):
        return attempt
    return {name: value for name, value in attempt.items() if name != "request"}


def _shown(attempts: Any) -> Any:
    return [_with_instant(attempt) for attempt in (attempts if isinstance(attempts, list) else [attempts])]


def _in_short(attempts: Any) -> Any:
    return [_without_request(attempt) for attempt in (attempts if isinstance(attempts, list) else [attempts])]


def _with_instant(attempt: Any) -> Any:
    """What plain SQL has put there, and is no instant, is shown as it is."""
    at = _at(attempt)
    return attempt if at is None else {**attempt, "at": spell_utc(at)}


def _at(attempt: Any) -> datetime | None:
    at = attempt.get("at") if isinstance(attempt, dict) else None
    try:
        return _instant.validate_python(at).astimezone(timezone.utc) if isinstance(at, str) else None
    except (OverflowError, ValidationError):
        return None


def _schema(facts: Mapping[str, Any]) -> WithJsonSchema:
    # Without a type: whatever plain SQL has put there is shown as it is.
    return WithJsonSchema({"type": "array", "items": {"properties": dict(facts)}})


# In lists, which anybody who has the row by now may read: without what was sent.
Attempts = Annotated[list[Any], BeforeValidator(_shown), BeforeValidator(_in_short), _schema(_FACTS)]
WholeAttempts = Annotated[list[Any], BeforeValidator(_shown), _schema({**_FACTS, **_SENT})]

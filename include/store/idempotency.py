"""Idempotency keys: what a request was answered, so that the same one again gets the same answer and happens once.

Key and effect are written in one transaction, so there is neither an effect without its key nor a key without its
effect (the header: draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from include.errors import RefusedError
from include.store.db import DictConnection, queries
from include.store.edits import Row

KEPT = timedelta(days=1)
_SQL = {name: text.encode() for name, text in queries("idempotency").items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered: `body` as it is sent."""

    status: int
    headers: Mapping[str, str]
    body: str | None


def claim(db: DictConnection, caller: str, key: str, request: bytes) -> Answer | None:
    """None if the key is new; else what it was answered. Call it, and `keep`, in the transaction of the effect.

    `request` is a digest of the request. `RefusedError` (422) if the key was used for another one.
    """
    wanted = {"caller": caller, "key": key, "request": request, "kept": KEPT}
    if db.execute(_SQL["claim"], wanted).fetchone() is not None:
        return None
    row: Row | None = db.execute(_SQL["answered"], {"caller": caller, "key": key}).fetchone()
    if row is None:
        raise RefusedError(409, "Idempotency-Key: the same request is just being answered; send it again")
    if row["request"] != request:
        raise RefusedError(422, "Idempotency-Key: it was used for another request; use a new one for each")
    return Answer(row["status"], row["headers"], row["body"])


def kept(db: DictConnection, caller: str) -> int:
    """How many bytes have to be kept for a caller, roughly."""
    row: Any = db.execute(_SQL["kept"], {"caller": caller, "kept": KEPT}).fetchone()
    return int(row["bytes"])


def keep(db: DictConnection, caller: str, key: str, answer: Answer) -> None:
    """Keep what the request of a claimed key is answered."""
    headers = Jsonb(dict(answer.headers))
    values = {"caller": caller, "key": key, "status": answer.status, "headers": headers, "body": answer.body}
    db.execute(_SQL["answer"], values)

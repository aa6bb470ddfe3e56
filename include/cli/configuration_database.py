"""Configurations in the database, as an admin handles them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from include.documents.caller import Caller
from include.documents.configuration.apply import apply, rehearse
from include.documents.configuration.document import Configuration
from include.documents.configuration.snapshot import snapshot
from include.documents.invalid import parse
from include.store.db import DictConnection
from include.store.edits import changing


class _Documents(BaseModel):
    documents: list[Configuration]


class DatabaseTarget:
    """A database; the audit names the user of this machine."""

    def __init__(self, db: DictConnection, owner: str) -> None:
        self.owner = owner
        self._db = db
        self._caller = Caller(owner, may_write=True, is_admin=True)

    def export(self, only: Sequence[str]) -> list[dict[str, Any]]:
        return snapshot(self._db, self._caller, only)

    def plan(self, documents: list[dict[str, Any]], *, prune: bool) -> dict[str, Any]:
        return rehearse(self._db, self._caller, _read(documents), prune=prune).shown()

    def apply(self, documents: list[dict[str, Any]], *, prune: bool, replace: bool, fingerprint: str) -> dict[str, Any]:
        wanted = _read(documents)
        with changing(self._db):
            return apply(self._db, self._caller, wanted, prune=prune, replace=replace, fingerprint=fingerprint).shown()


def _read(documents: list[dict[str, Any]]) -> list[Configuration]:
    return parse(_Documents, {"documents": documents}).documents

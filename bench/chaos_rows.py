"""The database of the system that `chaos` plays with, from outside: what is put there, what is found at the end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from bench.chaos_audit import SECOND, AuditedTimer, Entry, Line, Send, none_of
from include.store.db import connect

_FILE = Path(__file__).with_name("chaos.sql")


class ChaosRows:
    """A connection for each question: the database comes and goes."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url

    def make_effects(self) -> None:
        self._ask("make_effects")

    def insert_job(self, document: Mapping[str, Any]) -> int:
        return int(self._ask("insert_job", job=Jsonb(document))[0]["id"])

    def insert_workflow(self, connector_id: int, url: str) -> int:
        return int(self._ask("insert_workflow", connector_id=connector_id, url=url)[0]["id"])

    def insert_timers(self, url: str, count: int, *, first: datetime, gap: timedelta, broken: int) -> None:
        """One in `broken` always fails."""
        self._ask("insert_timers", url=url, count=count, first=first, gap=gap, broken=broken)

    def pause_connectors(self) -> None:
        self._ask("pause_connectors")

    def entries(self, job_ids: Collection[int]) -> list[Entry]:
        return [Entry(**row) for row in self._ask("entries", ids=list(job_ids))]

    def effects(self) -> list[Send]:
        """What jobs of kind `sql` have done."""
        return [Send(round(row["at"].timestamp() * SECOND), "", row["place"]) for row in self._ask("effects")]

    def timers(self) -> list[AuditedTimer]:
        return [AuditedTimer(**row) for row in self._ask("timers")]

    def workflows(self) -> list[dict[str, Any]]:
        return self._ask("workflows")

    def dead(self) -> int:
        return int(self._ask("dead")[0]["letters"])

    def orphans(self, dag_ids: Collection[str]) -> list[Line]:
        """What nobody will come back to."""
        return [
            none_of(f"orphaned {what}", (row["orphan"] for row in self._ask(f"orphaned_{what}", dag_ids=list(dag_ids))))
            for what in ("runs", "tasks", "triggers", "leases")
        ]

    def _ask(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        with connect(self._database_url, via="bench") as db:
            cursor = db.execute(_statement(name), parameters or None)
            return cursor.fetchall() if cursor.description else []


@cache
def _statement(name: str) -> bytes:
    parts = _FILE.read_text("utf-8").split("-- name: ")[1:]
    return next(body for title, _, body in (part.partition("\n") for part in parts) if title == name).encode()

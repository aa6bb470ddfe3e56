"""The rows of a scenario: inserted and edited by SQL, as people do, and followed through Airflow and the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bench.calls import Window
from include.model import FINAL, Job
from include.store.db import DictConnection, connect
from include.store.rows import job_from_row

_FILE = Path(__file__).with_suffix(".sql")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A row to be: it calls `url`, which the sink writes down."""

    name: str
    url: str
    cron: str | None = None
    every: timedelta | None = None


class Rows:
    """One connection to the database of the system under test."""

    def __init__(self, database_url: str) -> None:
        self._db: DictConnection = connect(database_url, via="bench")

    def close(self) -> None:
        self._db.close()

    def insert(self, wishes: Sequence[NewJob]) -> list[Job]:
        """Insert all in one statement; the jobs, as the schedule's arithmetic needs them, in the same order."""
        rows = self._ask(
            "insert_jobs",
            names=[wish.name for wish in wishes],
            urls=[wish.url for wish in wishes],
            crons=[wish.cron for wish in wishes],
            everys=[wish.every for wish in wishes],
        )
        return sorted(map(job_from_row, rows), key=lambda job: job.id)

    def delete(self, jobs: Collection[Job]) -> None:
        self._db.execute(_statement("delete_jobs"), {"ids": [job.id for job in jobs]})

    def change_url(self, job: Job, url: str) -> None:
        self._db.execute(_statement("change_url"), {"id": job.id, "url": url})

    def pause(self, job: Job) -> None:
        self._db.execute(_statement("pause"), {"id": job.id})

    def dags(self, dag_ids: Collection[str]) -> set[str]:
        """Which of these DAGs Airflow has."""
        return {row["dag_id"] for row in self._ask("dags", dag_ids=list(dag_ids))}

    def armed(self, jobs: Collection[Job]) -> dict[int, set[datetime]]:
        """When the runs that wait in a triggerer are due, by job."""
        ids = {job.dag_id: job.id for job in jobs}
        found: dict[int, set[datetime]] = {}
        for row in self._ask("armed", dag_ids=list(ids)):
            found.setdefault(ids[row["dag_id"]], set()).add(row["due"])
        return found

    def ledger(self, jobs: Collection[Job], window: Window) -> dict[str, int]:
        """How many occurrences of the window are in the ledger, by status."""
        ids = [job.id for job in jobs]
        rows = self._ask("ledger", ids=ids, start=window.start, end=window.end)
        return {row["status"]: row["executions"] for row in rows}

    def _ask(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        return self._db.execute(_statement(name), parameters).fetchall()


def final(ledger: dict[str, int]) -> int:
    """How many of the ledger's rows will not change any more."""
    return sum(count for status, count in ledger.items() if status in FINAL)


@cache
def _statement(name: str) -> bytes:
    parts = _FILE.read_text("utf-8").split("-- name: ")[1:]
    return next(body for title, _, body in (part.partition("\n") for part in parts) if title == name).encode()

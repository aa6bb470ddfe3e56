"""The rows of a scenario: inserted and edited by SQL, as people do, and followed through Airflow and the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from psycopg.types.json import Jsonb

from bench.calls import Window
from include.model import FINAL, Connector, Job, Workflow
from include.store.db import DictConnection, connect
from include.store.rows import connector_from_row, job_from_row, workflow_from_row

_FILE = Path(__file__).with_suffix(".sql")
_APPENDED_AT_ONCE = 1000
_EXECUTIONS_AT_ONCE = 100_000
_EVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Row(Protocol):
    """A row that has a DAG."""

    @property
    def id(self) -> int: ...

    @property
    def dag_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NewJob:
    """A row to be: it calls `url`, which the sink writes down."""

    name: str
    url: str
    cron: str | None = None
    every: timedelta | None = None
    overlap: str = "skip"


@dataclass(frozen=True, slots=True)
class NewConnector:
    """A connector to be: `every` None is one that is pulled by hand."""

    name: str
    config: dict[str, Any]
    every: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NewWorkflow:
    """A workflow to be: it posts each record to `<url>/workflow/<its id>`."""

    name: str
    owner: str
    connector: Connector
    url: str
    every: timedelta


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What one connector's log holds: its records, how many keys they have, the first and the last position.

    `descents`: how often a record's key, read as a number, is not above that of the record before it.
    """

    records: int
    keys: int
    first: int
    last: int
    descents: int

    @property
    def is_gapless(self) -> bool:
        return self.records == 0 or (self.first == 1 and self.last == self.records)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far workflows are, all together."""

    processed: int
    dead_letters: int


class Rows:
    """The database of the system under test, in which all rows are ours. A connection that was lost is made anew."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: DictConnection = self._connect()

    def close(self) -> None:
        self._connection.close()

    def clear(self) -> None:
        """Remove what a scenario has inserted."""
        for table in ("jobs", "workflows", "connectors", "timers"):
            self._do(f"delete_{table}")

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def insert(self, wishes: Sequence[NewJob]) -> list[Job]:
        """Insert all in one statement; the jobs, as the schedule's arithmetic needs them, in the same order."""
        rows = self._ask(
            "insert_jobs",
            names=[wish.name for wish in wishes],
            urls=[wish.url for wish in wishes],
            crons=[wish.cron for wish in wishes],
            everys=[wish.every for wish in wishes],
            overlaps=[wish.overlap for wish in wishes],
        )
        return sorted(map(job_from_row, rows), key=lambda job: job.id)

    def insert_listed(self, count: int) -> None:
        """Insert jobs that no DAG is made of: they are there to be listed."""
        with self._db.transaction():
            self._do("without_triggers")
            self._do("insert_listed_jobs", count=count)

    def insert_past(self, count: int, span: timedelta) -> None:
        """Insert executions of all jobs, spread evenly over the time before now, and counted as after that time.

        What is older than two days is folded into hours, as the system does in the background.
        """
        self._do("make_past_partitions", span=span)
        for first in range(1, count + 1, _EXECUTIONS_AT_ONCE):
            last = min(first + _EXECUTIONS_AT_ONCE - 1, count)
            self._do("insert_past_executions", first=first, last=last, whole=count, span=span)
        while self._ask("fold_tally", most=_EXECUTIONS_AT_ONCE)[0]["folded"]:
            pass
        self._do("vacuum_tally")

    def delete_past(self) -> None:
        """Remove every execution."""
        self._do("delete_executions")

    def change_url(self, job: Job, url: str) -> None:
        self._do("change_url", id=job.id, url=url)

    def rename(self, job: Job, name: str) -> None:
        self._db.execute(_statement("rename"), {"id": job.id, "name": name})

    def shown(self, jobs: Collection[Job]) -> int:
        """How many of these jobs Airflow has a DAG of, built from the row as it is now."""
        return int(self._ask("shown", ids=_ids(jobs))[0]["dags"])

    def pause(self, job: Job) -> None:
        self._do("pause", id=job.id)

    def remove(self, jobs: Collection[Job]) -> None:
        self._do("remove_jobs", ids=_ids(jobs))

    def ledger(self, jobs: Collection[Job], window: Window) -> dict[str, int]:
        """How many occurrences of the window are in the ledger, by status."""
        rows = self._ask("ledger", ids=_ids(jobs), start=window.start, end=window.end)
        return {row["status"]: row["executions"] for row in rows}

    def attempts(self, jobs: Collection[Job], window: Window) -> list[tuple[int, datetime, str, int]]:
        """Job, instant, status and number of attempts of each execution that was due in the window."""
        rows = self._ask("attempts", ids=_ids(jobs), start=window.start, end=window.end)
        return [(row["job_id"], row["scheduled_for"], row["status"], row["attempt"]) for row in rows]

    # -- timers -------------------------------------------------------------------------------------------------------

    def insert_timers(self, count: int, url: str, *, first: datetime, gap: timedelta) -> dict[int, float]:
        """Insert all in one statement, one due each `gap` from `first` on; when each is due, in seconds, by its id."""
        rows = self._ask("insert_timers", count=count, url=url, first=first, gap=gap)
        return {row["id"]: row["due_at"].timestamp() for row in rows}

    def timers(self) -> dict[str, int]:
        """How many timers there are, by status."""
        return {row["status"]: row["timers"] for row in self._ask("timers")}

    def pumps(self) -> int:
        """How many pumps are on duty."""
        return int(self._ask("pumps")[0]["pumps"])

    # -- connectors and their logs ------------------------------------------------------------------------------------

    def insert_connectors(self, wishes: Sequence[NewConnector]) -> list[Connector]:
        """Insert all in one statement, of kind `rest`; the connectors in the same order."""
        rows = self._ask(
            "insert_connectors",
            names=[wish.name for wish in wishes],
            configs=[Jsonb(wish.config) for wish in wishes],
            everys=[wish.every for wish in wishes],
        )
        return sorted(map(connector_from_row, rows), key=lambda connector: connector.id)

    def append(self, connector: Connector, count: int) -> None:
        """Append `count` records of about 400 bytes to an empty log, as a pull would."""
        for first in range(1, count + 1, _APPENDED_AT_ONCE):
            self._do("append", id=connector.id, first=first, last=min(first + _APPENDED_AT_ONCE - 1, count))

    def heads(self, connectors: Collection[Connector]) -> dict[int, int]:
        """The head of each log."""
        return {row["id"]: row["head"] for row in self._ask("heads", ids=_ids(connectors))}

    def complaints(self, connectors: Collection[Connector]) -> list[str]:
        """What is wrong with them, as their rows say."""
        return [row["complaint"] for row in self._ask("complaints", ids=_ids(connectors))]

    def log_facts(self, connectors: Collection[Connector], upto: dict[int, int] | None = None) -> dict[int, LogFacts]:
        """What each log holds, as far as the keys go that are at most `upto` (by connector; None: all)."""
        ids = _ids(connectors)
        limits = [None if upto is None else upto.get(one, 0) for one in ids]
        rows = self._ask("log_facts", ids=ids, limits=limits)
        return {row.pop("id"): LogFacts(**row) for row in rows}

    # -- workflows ----------------------------------------------------------------------------------------------------

    def insert_workflows(self, wishes: Sequence[NewWorkflow]) -> list[Workflow]:
        """Insert all in one statement, from the beginning of their logs; the workflows in the same order."""
        rows = self._ask(
            "insert_workflows",
            names=[wish.name for wish in wishes],
            owners=[wish.owner for wish in wishes],
            connectors=[wish.connector.id for wish in wishes],
            urls=[wish.url for wish in wishes],
            everys=[wish.every for wish in wishes],
        )
        return sorted(map(workflow_from_row, rows), key=lambda workflow: workflow.id)

    def progress(self, workflows: Collection[Workflow]) -> Progress:
        """How far these workflows are."""
        return Progress(**self._ask("progress", ids=_ids(workflows))[0])

    # -- Airflow's side -----------------------------------------------------------------------------------------------

    def dags(self, dag_ids: Collection[str]) -> set[str]:
        """Which of these DAGs Airflow has."""
        return {row["dag_id"] for row in self._ask("dags", dag_ids=list(dag_ids))}

    def armed(self, rows: Collection[Row], since: datetime = _EVER) -> dict[int, set[datetime]]:
        """When the runs that wait in a triggerer are due, by the id of the row; all rows of one table.

        `since`: in a triggerer that was started then or later.
        """
        ids = {row.dag_id: row.id for row in rows}
        found: dict[int, set[datetime]] = {}
        for run in self._ask("armed", dag_ids=list(ids), since=since):
            found.setdefault(ids[run["dag_id"]], set()).add(run["due"])
        return found

    def on_their_way(self) -> int:
        """How many runs are to wait in a triggerer, and do not yet."""
        [row] = self._ask("on_their_way")
        return int(row["runs"])

    # -----------------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, **parameters: object) -> list[dict[str, Any]]:
        return self._db.execute(_statement(name), parameters).fetchall()

    def _do(self, name: str, **parameters: object) -> None:
        self._db.execute(_statement(name), parameters)

    @property
    def _db(self) -> DictConnection:
        if self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> DictConnection:
        return connect(self._database_url, via="bench")


def final(ledger: dict[str, int]) -> int:
    """How many of the ledger's rows will not change any more."""
    return sum(count for status, count in ledger.items() if status in FINAL)


def _ids(rows: Collection[Row]) -> list[int]:
    return [row.id for row in rows]


@cache
def _statement(name: str) -> bytes:
    parts = _FILE.read_text("utf-8").split("-- name: ")[1:]
    return next(body for title, _, body in (part.partition("\n") for part in parts) if title == name).encode()

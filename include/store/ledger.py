"""The ledger: one row per occurrence, whatever crashes.

A claim makes an occurrence a shift's own before anything is sent; an outcome is written after. Between the two, the
row is protected by its owner's lease: while the lease is renewed nobody else may touch the row, and once it ran out
anybody may. The clock of all this is PostgreSQL's, so that machines need not agree on the time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from include.clock import of_process as clock
from include.clock import steady_seconds
from include.deadline import within
from include.model import Job, Status
from include.store.batch import Batch, Connection
from include.store.db import NOT_BY_INDEX, conninfo, queries
from include.store.rows import job_from_row

log = logging.getLogger(__name__)

_RELEASE_SECONDS = 2.0
_TIDY_SECONDS = 3600.0
_FOLDED_AT_ONCE = 5000
_REPLAN_SECONDS = 10.0  # a hundredth of that at most, with a partition for each of 90 days

_Statement = tuple[str, dict[str, Any]]  # its name, and its parameters

Verdict = Literal["mine", "skipped", "lost", "settled", "held", "busy", "deleted", "rescheduled"]


@dataclass(frozen=True, slots=True)
class Board:
    """What a shift starts from; `accounted` is the newest scheduled occurrence in the ledger, ended at `ended_at`, and
    `before` the newest of those that are older than what the shift is due for."""

    job: Job
    accounted: datetime | None
    ended_at: datetime | None
    before: datetime | None
    unfinished: tuple[datetime, ...]
    redrives: tuple[datetime, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """A claim as asked. `claim` names the shift that asks.

    `patient`: it waits for what is under way, whatever the overlap rule. `redrive`: a person wants a failed execution
    sent again.
    """

    job_id: int
    due: datetime
    schedule_revision: int
    run_id: str
    try_number: int
    manual: bool
    claim: int
    patient: bool = False
    redrive: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as answered; `attempt` counts from 1, `revision` is the job's newest, `status` that of a settled row.

    The retry policy counts from `base_attempt` on. `busy` waits for another execution of the job to end: ask again.
    `lease` is the lease that protects it.
    """

    verdict: Verdict
    attempt: int
    revision: int
    status: Status | None
    reason: str | None
    base_attempt: int = 0
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one attempt; without an `entry`, nothing was attempted after all.

    `release`: the owner lets go of a `retrying` row (Airflow will come back to it).
    """

    job_id: int
    due: datetime
    claim: int
    attempt: int
    status: Status
    started_at: datetime
    finished_at: datetime
    entry: dict[str, Any] | None
    output: dict[str, Any] | None = None
    error: str | None = None
    reason: str | None = None
    release: bool = False


class Ledger:
    """The ledger as one process sees it; `owner` names the process in every claim that it makes."""

    def __init__(self, database_url: str, *, lease_seconds: float) -> None:
        self.owner = uuid4()
        self._lease_seconds = lease_seconds
        self._renewed_at = float("-inf")
        self.lease = 0
        self._sql = queries("ledger")
        self._conninfo = info = conninfo(database_url, via="shift", without=NOT_BY_INDEX, plan_once=True)
        self._boards = Batch(info, self._board, gather_seconds=0.01, most=200, replan_seconds=_REPLAN_SECONDS)
        self._formers = Batch(info, self._former, gather_seconds=0.01, most=200, replan_seconds=_REPLAN_SECONDS)
        self._jobs = Batch(info, self._read, gather_seconds=0.005, replan_seconds=_REPLAN_SECONDS)
        # They are made ahead of the instant. What takes claims back goes the same way, so as not to overtake one.
        self._claims: Batch[Wish | _Statement, Claim | None] = Batch(
            info, self._claim, gather_seconds=0.04, replan_seconds=_REPLAN_SECONDS
        )
        self._results = Batch(info, self._finish, gather_seconds=0.05, replan_seconds=_REPLAN_SECONDS)
        self._others = Batch(info, self._execute, gather_seconds=0.0, most=1, replan_seconds=_REPLAN_SECONDS)
        self._leases = Batch(info, self._execute, gather_seconds=0.0, most=1)  # never waits behind the others
        self._renewing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take out the lease; claims may be made from now on."""
        await self._make_partitions()
        await self._renew()
        self._renewing = asyncio.create_task(self._keep_renewing())

    async def close(self) -> None:
        """Give the lease back, so that others take over at once, and disconnect."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self._release()
        reading = (self._boards, self._formers, self._jobs)
        for batch in (*reading, self._claims, self._results, self._others, self._leases):
            await batch.close()

    def holds_lease(self, lease: int) -> bool:
        """True while nobody else can have taken over what was claimed under `lease`.

        Asked before each send, for a process may have been frozen. A lease that ran out, and was renewed after that, is
        another one: `lease` counts them.
        """
        return lease == self.lease and steady_seconds() - self._renewed_at < self._lease_seconds

    async def board(self, job_id: int, run_id: str, due: datetime | None = None) -> Board | None:
        """Where a shift for the job stands, which is due then, or None if there is no such job (any more)."""
        return await self._boards.ask((job_id, run_id, due))

    async def former(self, job_id: int, *, since: datetime) -> list[tuple[Job, datetime]]:
        """The job as it was each time that its schedule has changed after `since`, and when that was; oldest first."""
        return await self._formers.ask((job_id, since))

    async def job(self, job_id: int) -> Job | None:
        """The row as it is now, or None."""
        return await self._jobs.ask(job_id)

    async def claim(self, wish: Wish) -> Claim:
        """Make the occurrence this shift's own, or learn why not."""
        lease = self.lease
        claim = await self._claims.ask(wish)
        assert claim is not None  # noqa: S101 - a wish is answered by a claim
        return replace(claim, lease=lease)

    async def finish(self, result: Result) -> bool:
        """Write the outcome of an attempt; False if the row was taken over meanwhile and the outcome is void."""
        return await self._results.ask(result)

    async def miss(self, job_id: int, dues: Sequence[datetime], *, run_id: str, reason: str) -> None:
        """Name occurrences that nobody executed; days without a partition get one."""
        if not dues:
            return
        span: dict[str, object] = {"first": min(dues).date(), "last": max(dues).date()}
        await self._others.ask(("make_partitions", span))
        for start in range(0, len(dues), 5000):
            part = {"job_id": job_id, "due": list(dues[start : start + 5000]), "reason": reason, "run_id": run_id}
            await self._others.ask(("miss", part))

    async def cancel(self, job_id: int, *, claim: int, reason: str) -> None:
        """End what a shift left unfinished, because a person ended its run."""
        await self._claims.ask(("cancel", {"job_id": job_id, "claim": claim, "reason": reason}))

    async def abandon(self, job_id: int, *, claim: int) -> None:
        """Let go of what a shift left unfinished, because another process is to take over."""
        await self._claims.ask(("abandon", {"job_id": job_id, "claim": claim}))

    async def put_off(self, job_id: int, due: datetime, seconds: float) -> None:
        """Have a redrive that failed again wait so long for its next attempt."""
        await self._others.ask(("put_off", {"job_id": job_id, "due": due, "seconds": seconds}))

    async def drop(self, job_id: int, due: datetime, *, claim: int, reason: str) -> None:
        """End an occurrence that has waited for another one and is not to be executed any more."""
        await self._claims.ask(("drop", {"job_id": job_id, "due": due, "claim": claim, "reason": reason}))

    async def _board(self, db: Connection, asks: Sequence[tuple[int, str, datetime | None]]) -> list[Board | None]:
        wanted = {name: [ask[place] for ask in asks] for place, name in enumerate(("job_id", "run_id", "due"))}
        rows = await self._rows(db, "board", wanted)
        boards: list[Board | None] = [None] * len(asks)
        for row in rows:
            boards[row["place"] - 1] = Board(
                job=job_from_row(row),
                accounted=row["accounted"],
                ended_at=row["ended_at"],
                before=row["before"],
                unfinished=tuple(row["unfinished"]),
                redrives=tuple(row["redrives"]),
            )
        return boards

    async def _former(self, db: Connection, asks: Sequence[tuple[int, datetime]]) -> list[list[tuple[Job, datetime]]]:
        found: list[list[tuple[Job, datetime]]] = [[] for _ in asks]
        wanted = {"job_id": [ask[0] for ask in asks], "since": [ask[1] for ask in asks]}
        for row in await self._rows(db, "former_schedules", wanted):
            found[row["place"] - 1].append((job_from_row(row), row["until"]))
        return found

    async def _read(self, db: Connection, ids: Sequence[int]) -> list[Job | None]:
        jobs = {row["id"]: job_from_row(row) for row in await self._rows(db, "read_jobs", {"ids": list(ids)})}
        return [jobs.get(job_id) for job_id in ids]

    async def _claim(self, db: Connection, asks: Sequence[Wish | _Statement]) -> list[Claim | None]:
        """Claims for one job are judged one after another, here and elsewhere, so that each sees the one before."""
        claims: list[Claim | None] = [None] * len(asks)
        wishes = {place: ask for place, ask in enumerate(asks) if isinstance(ask, Wish)}
        while wishes:
            first: dict[int, int] = {}  # of each job that still has a wish: its place
            for place, wish in wishes.items():
                first.setdefault(wish.job_id, place)
            part = {place: wishes.pop(place) for place in first.values()}
            for place, claim in zip(part, await self._claim_one_each(db, list(part.values())), strict=True):
                claims[place] = claim
        await self._execute(db, [ask for ask in asks if not isinstance(ask, Wish)])
        return claims

    async def _claim_one_each(self, db: Connection, wishes: Sequence[Wish]) -> list[Claim]:
        columns: dict[str, object] = {name: [getattr(wish, name) for wish in wishes] for name in Wish.__slots__}
        async with db.pipeline():  # what is sent in one go is one transaction, of two statements and one round trip
            await db.execute(self._sql["lock_jobs"].encode(), columns)
            cursor = await db.execute(self._sql["claim"].encode(), {**columns, "owner": self.owner})
        rows = sorted(await cursor.fetchall(), key=lambda row: row["place"])
        names = ("verdict", "attempt", "revision", "status", "reason", "base_attempt")
        return [Claim(*(row[name] for name in names)) for row in rows]

    async def _finish(self, db: Connection, results: Sequence[Result]) -> list[bool]:
        plain = [name for name in Result.__slots__ if name not in ("output", "entry")]
        columns: dict[str, object] = {name: [getattr(result, name) for result in results] for name in plain}
        columns["output"] = [None if r.output is None else Jsonb(r.output) for r in results]
        columns["entry"] = [None if r.entry is None else Jsonb(r.entry) for r in results]
        written = {row["place"] for row in await self._rows(db, "finish", columns)}
        return [place in written for place in range(1, len(results) + 1)]

    async def _execute(self, db: Connection, asks: Sequence[_Statement]) -> list[list[dict[str, Any]]]:
        return [await self._rows(db, name, parameters) for name, parameters in asks]

    async def _rows(self, db: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        cursor = await db.execute(self._sql[name].encode(), parameters)
        return await cursor.fetchall() if cursor.description else []

    async def _renew(self) -> None:
        asked_at = steady_seconds()
        [row] = await self._leases.ask(("renew", {"owner": self.owner, "seconds": self._lease_seconds}))
        clock.compare(row["at"], asked_at=asked_at)
        if steady_seconds() - self._renewed_at > self._lease_seconds:
            self.lease += 1
        self._renewed_at = asked_at

    async def _make_partitions(self) -> None:
        """Have partitions for the days ahead, so that no execution lands in the default one; forget the long dead."""
        today = datetime.now(timezone.utc).date()
        span: dict[str, object] = {"first": today - timedelta(days=1), "last": today + timedelta(days=7)}
        await self._others.ask(("make_partitions", span))
        await self._others.ask(("forget_dead_leases", {}))

    async def _fold_tally(self) -> None:
        """A little at a time, for others wait for the same connection."""
        folded = _FOLDED_AT_ONCE
        while folded == _FOLDED_AT_ONCE:
            [row] = await self._others.ask(("fold_tally", {"most": _FOLDED_AT_ONCE}))
            folded = row["folded"]

    async def _tidy(self) -> None:
        """What is to be done now and then."""
        await self._make_partitions()
        await self._fold_tally()

    async def _keep_renewing(self) -> None:
        tidied_at, tidying = time.monotonic(), asyncio.create_task(self._fold_tally())
        try:
            while True:
                await asyncio.sleep(self._lease_seconds / 5)
                await self._renew()
                if time.monotonic() - tidied_at > _TIDY_SECONDS:
                    tidied_at = time.monotonic()
                    tidying.cancel()
                    tidying = asyncio.create_task(self._tidy())  # a lease that is not renewed meanwhile would run out
        finally:  # also when the whole process is told to stop, and cancels every task it has
            tidying.cancel()
            await self._release()

    async def _release(self) -> None:
        """By a connection of its own, for the others may be gone already; if it fails, the lease just runs out."""
        self._renewed_at = float("-inf")
        with suppress(psycopg.Error, asyncio.TimeoutError):
            await within(_RELEASE_SECONDS, self._release_now())

    async def _release_now(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as db:
            await db.execute(self._sql["release"].encode(), {"owner": self.owner})

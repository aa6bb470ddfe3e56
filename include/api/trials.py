"""Trials, for routes and pages: what a job's settings say is run once, and no job is stored.

What needs no worker is tried here, in a thread, without being in anybody's way; what does goes through Airflow.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from fastapi import Request

from include import registry
from include.api.threads import threads_of
from include.api.transactions import Transactions
from include.deadline import within
from include.documents.caller import Caller
from include.documents.trial import LONGEST, Trial, TrialSettings, check, document
from include.egress import egress_of
from include.errors import RefusedError, RetryableError
from include.model import Connection
from include.orchestration import runs
from include.settings import Settings
from include.shifts import trial as shifts
from include.shifts.post import FindConnection
from include.shifts.threaded import in_thread
from include.store import trials
from include.times import utcnow

_AT_ONCE = 8
# Looking a connection up ends by itself after half a minute, an attempt after one; what does not is left behind.
_SECONDS = LONGEST.total_seconds() + 45.0


class _Turns:
    """Turns at trying something out in this process: so many in all, and no more than half of them for one person."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """While inside, one more is taken; `RetryableError` if there is none."""
        with self._lock:
            if self._taken[name] >= trials.MOST_AT_ONCE:
                raise _too_many_of_yours()
            if self._taken.total() >= _AT_ONCE:
                raise RetryableError(f"{_AT_ONCE} trials are under way: try it again later")
            self._taken[name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= Counter((name,))


_turns = _Turns()


async def try_out(request: Request, caller: Caller, settings: TrialSettings) -> Trial:
    """Run once what the settings say; as it ended, or, if a worker is needed, with the `id` to ask for.

    What goes wrong with the attempt is in the trial. Raises what adding such a job would; `RetryableError` while too
    many others are at it; `RefusedError` (504) if it never ends.
    """
    transactions: Transactions = request.app.state.transactions
    started = await threads_of(request).run(lambda: begin(transactions, caller, settings))
    if started is not None:
        return started
    limits: Settings = request.app.state.settings
    find = _asking(asyncio.get_running_loop(), request.app.state.find_connection)
    try:
        outcome = await within(_SECONDS, in_thread(lambda: _in_turn(caller, settings, limits, find)))
    except asyncio.TimeoutError:
        raise RefusedError(504, f"the trial did not end within {_SECONDS:g} s") from None
    return _shown(
        {
            "id": None,
            "kind": settings.kind,
            "status": outcome.status,
            "started_at": outcome.started_at,
            "finished_at": outcome.finished_at,
            "outcome": outcome.shown,
        }
    )


def begin(transactions: Transactions, caller: Caller, settings: TrialSettings) -> Trial | None:
    """Judge the settings as for a job, and have a worker try them out; None if their kind needs none."""
    with transactions.writing(caller) as db:
        check(db, caller, settings)
        if registry.action(settings.kind).runs_on != "worker":
            return None
        row = trials.add(db, caller.name, settings.kind, settings.payload, settings.limit)
    if row is None:
        raise _too_many_of_yours()
    try:
        runs.start(trials.DAG_ID, run_id=f"manual__{uuid.uuid4().hex}", user=caller.name, conf={"trial": row["id"]})
    except BaseException:
        with transactions.writing(caller) as db:
            trials.withdraw(db, row["id"])
        raise
    return _shown(row)


def find(transactions: Transactions, caller: Caller, trial_id: int) -> Trial:
    """What has become of a trial so far; `RefusedError` (404) unless the caller may see it."""
    with transactions.reading() as db:
        row = trials.get(db, trial_id, caller.sees)
    if row is None:
        raise RefusedError(404, f"there is no trial with id {trial_id}, or no longer")
    return _shown(row)


def _shown(row: dict[str, object]) -> Trial:
    return Trial.model_validate(document(row, utcnow()))


def _asking(loop: asyncio.AbstractEventLoop, look_up: FindConnection) -> FindConnection:
    """Connections for another thread: Airflow's way to its tables belongs to the loop of this process."""

    async def ask(conn_id: str) -> Connection:
        found = asyncio.run_coroutine_threadsafe(_awaited(look_up(conn_id)), loop)
        return await asyncio.wrap_future(found)

    return ask


async def _awaited(found: Awaitable[Connection]) -> Connection:
    return await found


def _too_many_of_yours() -> RetryableError:
    return RetryableError(f"{trials.MOST_AT_ONCE} trials of yours are under way: try it again later")


def _in_turn(caller: Caller, settings: TrialSettings, limits: Settings, connections: FindConnection) -> shifts.Outcome:
    with _turns.turn(caller.name):
        return asyncio.run(_try(settings, limits, connections))


async def _try(settings: TrialSettings, limits: Settings, connections: FindConnection) -> shifts.Outcome:
    http = egress_of(limits)
    doing = shifts.doing_of(secrets.token_hex(8), settings.kind, settings.payload, settings.limit)
    try:
        return await shifts.try_here(doing, http, connections)
    finally:
        await http.close()

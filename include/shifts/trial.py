"""A trial: one attempt at what a job's settings say, without a job, and without a line in the ledger.

What comes of it can be shown to people: no secret of a connection is in it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from include import registry
from include.deadline import within
from include.errors import PermanentError, RetryableError
from include.model import Call, Connection, Http, Output, Status
from include.retry import RetryPolicy
from include.shifts.bell import utcnow
from include.shifts.blot import Blot, blot_of
from include.shifts.execution import document, judged
from include.shifts.noted import Noted
from include.shifts.perform import Doing, LeaseLost, entry, perform, without_secrets
from include.shifts.post import FindConnection, Post
from include.shifts.storable import storable
from include.shifts.threaded import in_thread
from include.store import trials
from include.store.db import connect
from include.store.edits import Row

_ONCE = RetryPolicy(retries=0)
_TEXT = 8_192  # characters; all texts of an outcome fit in, however they are escaped

Attempt = Callable[[Connection | None], Awaitable[Output]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial; `shown` has `attempts`, `output` and `error`, as they would be in the ledger."""

    status: Status
    started_at: datetime
    finished_at: datetime
    shown: dict[str, Any]


def doing_of(trial: str, kind: str, payload: dict[str, Any], timeout: timedelta) -> Doing:
    """What is to be done: due now, under a key of its own."""
    return Doing(kind, payload, f"trial_{trial}", utcnow(), timeout)


async def try_here(doing: Doing, http: Http, connections: FindConnection) -> Outcome:
    """Make an attempt at what needs no worker. Whatever goes wrong is in the outcome."""
    action, seconds = registry.action(doing.kind), doing.timeout.total_seconds()

    async def attempt(connection: Connection | None) -> Output:
        noted = Noted(http)
        config = action.parse(doing.payload)
        call = Call(config, doing.key, doing.due, 1, seconds, noted, connection, sent=noted.sent)
        try:
            return await within(seconds, cast("Awaitable[Output]", action.act(call)))
        except asyncio.TimeoutError as timeout:
            raise RetryableError(f"no result within {seconds:g} s") from timeout
        finally:
            doing.sent.update(noted.shown(blot_of(connection)))

    return await _tried(doing, connections, attempt)


async def carry_out(post: Post, trial_id: int) -> Status | None:
    """On a worker, make an attempt at a stored trial, and write what became of it.

    None, and nothing done, if there is no such trial, if it was taken before, or if nobody waits for it any more.
    """
    url = post.settings.database_url
    row = await in_thread(lambda: _claim(url, trial_id))
    if row is None:
        return None
    doing = doing_of(str(trial_id), row["kind"], row["payload"], row["timeout"])

    async def attempt(_: Connection | None) -> Output:
        try:
            return await perform(post, doing, 1, lease=post.ledger.lease)
        except LeaseLost:
            raise RetryableError("the worker was away for too long; nothing was done") from None

    outcome = await _tried(doing, post.connections, attempt)
    await in_thread(lambda: _finish(url, trial_id, outcome))
    return outcome.status


async def _tried(doing: Doing, connections: FindConnection, attempt: Attempt) -> Outcome:
    started_at = utcnow()
    blot = Blot([])
    output: Output | None = None
    error: Exception | None = None
    try:
        conn_id = getattr(registry.action(doing.kind).parse(doing.payload), "conn_id", None)
        connection = None if conn_id is None else await connections(conn_id)
        blot = blot_of(connection)
        output = _blotted(await attempt(connection), blot)
    except Exception as caught:  # whatever a kind does wrong is what a trial is there to show
        error = without_secrets(doing, caught, blot)
    made = judged(doing, _ONCE, 1, output, error)
    finished_at = utcnow()
    ended = entry(1, started_at, finished_at, output, error, sent=doing.sent)
    ended |= {name: _cut(blot.text(ended[name])) for name in ("error", "excerpt") if name in ended}
    shown = {
        "attempts": [ended],
        "output": None if output is None else document(output),
        "error": None if error is None else _cut(blot.text(made.line)),
    }
    return Outcome(made.status, started_at, finished_at, _bounded(storable(shown)))


def _blotted(output: Output, blot: Blot) -> Output:
    """The output as it can be shown."""
    try:
        data = blot.json(storable(output.data))
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"it has done its work, but its output cannot be shown: {error}") from None
    excerpt = None if output.excerpt is None else _cut(blot.text(output.excerpt))
    return replace(output, line=_cut(blot.text(output.line)), excerpt=excerpt, data=data)


def _bounded(shown: dict[str, Any]) -> dict[str, Any]:
    """Without the data of an output that is too large to be handed around."""
    size = len(json.dumps(shown))
    if size <= trials.OUTCOME_BYTES:
        return shown
    texts = {name: shown["output"][name] for name in ("line", "code", "excerpt") if name in shown["output"]}
    return {**shown, "output": {**texts, "left_out": f"{size:,} bytes are too many to be shown here"}}


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"


def _claim(url: str, trial_id: int) -> Row | None:
    with connect(url, via="trial") as db:
        return trials.claim(db, trial_id)


def _finish(url: str, trial_id: int, outcome: Outcome) -> None:
    with connect(url, via="trial") as db:
        trials.finish(
            db,
            trial_id,
            status=outcome.status,
            started_at=outcome.started_at,
            finished_at=outcome.finished_at,
            outcome=outcome.shown,
        )

"""One call of an action: what jobs, workflows and notices have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from include import registry
from include.deadline import within
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import Call, Delivering, Output
from include.shifts.post import Post
from include.shifts.storable import storable, storable_text
from include.shifts.threaded import in_thread

_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Doing:
    """What is to be done: an action with its payload. `key` is the same for every attempt at the same thing."""

    kind: str
    payload: dict[str, Any]
    key: str
    due: datetime
    timeout: timedelta
    delivery: Delivering = "at_least_once"


class LeaseLost(Exception):
    """This process was frozen, or the database away, for longer than the lease: the work may be another's by now."""


async def perform(post: Post, doing: Doing, attempt: int, *, lease: int) -> Output:
    """Make one attempt, under the lease by which the work was claimed.

    Raises what the action raises, `ConfigError`, or `LeaseLost` if nothing was sent.
    """
    action = registry.action(doing.kind)
    config = action.parse(doing.payload)
    on_worker = action.runs_on == "worker"
    if on_worker and not post.is_on_worker:
        raise ConfigError(f"kind {doing.kind!r} runs on a worker, and this run does not: the next one will")
    conn_id = getattr(config, "conn_id", None)
    connection = None if conn_id is None else await post.connections(conn_id)
    seconds = doing.timeout.total_seconds()
    async with post.slots:
        if not post.ledger.holds_lease(lease):
            raise LeaseLost
        call = Call(
            config=config,
            key=doing.key,
            due=doing.due,
            attempt=attempt,
            timeout_seconds=seconds,
            http=post.http if doing.delivery == "at_least_once" else post.http_once,
            connection=connection,
            open_database=post.open_database,
        )
        try:
            if on_worker:  # which ends in time by itself; what does not is left behind
                blocking = cast("Callable[[Call[Any]], Output]", action.act)
                output = await within(seconds + _GRACE_SECONDS, in_thread(lambda: blocking(call)))
            else:
                output = await within(seconds, cast("Awaitable[Output]", action.act(call)))
        except asyncio.TimeoutError as timeout:
            raise RetryableError(f"no result within {seconds:g} s") from timeout
    return _kept(doing.kind, output)


def _kept(kind: str, output: Output) -> Output:
    """The output as it can be stored."""
    try:
        data = storable(output.data)
    except ValueError as error:
        raise PermanentError(f"kind {kind!r} has done its work, but its output cannot be kept: {error}") from None
    excerpt = None if output.excerpt is None else storable_text(output.excerpt)
    return replace(output, line=storable_text(output.line), excerpt=excerpt, data=data)


def entry(
    number: int, started_at: datetime, finished_at: datetime, output: Output | None, error: Exception | None
) -> dict[str, Any]:
    """The attempt as it is kept: start (UTC ISO 8601), duration in ms, status code, error, excerpt."""
    made: dict[str, Any] = {
        "attempt": number,
        "at": started_at.isoformat(),
        "ms": round((finished_at - started_at).total_seconds() * 1000, 1),
    }
    code = output.code if output is not None else getattr(error, "code", None)
    excerpt = output.excerpt if output is not None else getattr(error, "excerpt", None)
    if code is not None:
        made["code"] = code
    if error is not None:
        made["error"] = storable_text(str(error)) or type(error).__name__
    if excerpt:
        made["excerpt"] = storable_text(excerpt)
    return made

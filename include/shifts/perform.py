"""One call of an action: what jobs, workflows and notices have in common."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from include import registry
from include.deadline import within
from include.errors import AttemptError, ConfigError, MillraceError, PermanentError, RetryableError
from include.model import Call, Delivering, Output
from include.shifts.blot import Blot, blot_of
from include.shifts.noted import Noted
from include.shifts.post import Post
from include.shifts.storable import storable, storable_text
from include.shifts.threaded import in_thread

log = logging.getLogger(__name__)

_GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Doing:
    """What is to be done: an action with its payload. `key` is the same for every attempt at the same thing.

    `sent` is there to be filled: with what the attempt has sent, as it can be kept (`Noted.shown`).
    """

    kind: str
    payload: dict[str, Any]
    key: str
    due: datetime
    timeout: timedelta
    delivery: Delivering = "at_least_once"
    sent: dict[str, str] = field(default_factory=dict)


class LeaseLost(Exception):
    """This process was frozen, or the database away, for longer than the lease: the work may be another's by now."""


async def perform(post: Post, doing: Doing, attempt: int, *, lease: int) -> Output:
    """Make one attempt, under the lease by which the work was claimed.

    Raises an `AttemptError`, `ConfigError`, or `LeaseLost` if nothing was sent. No secret of the connection is in what
    is returned, raised or logged.
    """
    action = registry.action(doing.kind)
    config = action.parse(doing.payload)
    on_worker = action.runs_on == "worker"
    if on_worker and not post.is_on_worker:
        raise ConfigError(f"kind {doing.kind!r} runs on a worker, and this run does not: the next one will")
    conn_id = getattr(config, "conn_id", None)
    connection = None if conn_id is None else await post.connections(conn_id)
    blot = blot_of(connection)
    seconds = doing.timeout.total_seconds()
    async with post.slots:
        if not post.ledger.holds_lease(lease):
            raise LeaseLost
        noted = Noted(post.http if doing.delivery == "at_least_once" else post.http_once)
        call = Call(
            config=config,
            key=doing.key,
            due=doing.due,
            attempt=attempt,
            timeout_seconds=seconds,
            http=noted,
            connection=connection,
            open_database=post.open_database,
            hide=blot.text,
            sent=noted.sent,
        )
        try:
            if on_worker:  # which ends in time by itself; what does not is left behind
                blocking = cast("Callable[[Call[Any]], Output]", action.act)
                output = await within(seconds + _GRACE_SECONDS, in_thread(lambda: blocking(call)))
            else:
                output = await within(seconds, cast("Awaitable[Output]", action.act(call)))
        except asyncio.TimeoutError as timeout:
            raise RetryableError(f"no result within {seconds:g} s") from timeout
        except Exception as error:
            raise without_secrets(doing, error, blot) from None
        finally:
            doing.sent.update(noted.shown(blot))
    return _kept(doing.kind, output, blot)


def without_secrets(doing: Doing, error: Exception, blot: Blot) -> MillraceError:
    """What to raise for an action's error. One that it should not have raised is a defect, and logged as a whole."""
    if not isinstance(error, MillraceError):
        trace = blot.text("".join(traceback.format_exception(error)))
        log.error("%s: kind %s raised\n%s", doing.key, doing.kind, trace)
        return PermanentError(blot.text(f"kind {doing.kind!r} raised {type(error).__name__}: {error}"))
    error.args = tuple(blot.text(part) if isinstance(part, str) else part for part in error.args)
    if isinstance(error, AttemptError) and error.excerpt is not None:
        error.excerpt = blot.text(error.excerpt)
    return error


def _kept(kind: str, output: Output, blot: Blot) -> Output:
    """The output as it can be stored."""
    try:
        data = blot.json(storable(output.data))
    except (ValueError, RecursionError) as error:
        raise PermanentError(f"kind {kind!r} has done its work, but its output cannot be kept: {error}") from None
    excerpt = None if output.excerpt is None else storable_text(blot.text(output.excerpt))
    return replace(output, line=storable_text(blot.text(output.line)), excerpt=excerpt, data=data)


def entry(
    number: int,
    started_at: datetime,
    finished_at: datetime,
    output: Output | None,
    error: Exception | None,
    *,
    sent: Mapping[str, str],
    revision: int | None = None,
) -> dict[str, Any]:
    """The attempt as it is kept: start (UTC ISO 8601), duration in ms, status code, error, excerpt.

    And what was `sent`, as `request`, with the `revision` of the row that it was made from.
    """
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
    if revision is not None:
        made["revision"] = revision
    if sent:
        made["request"] = dict(sent)
    return made

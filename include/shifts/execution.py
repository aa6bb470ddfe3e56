"""One execution: claim, act, record. Everything that can go wrong with an attempt ends here, as a row in the ledger."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from include import registry
from include.errors import AttemptError, ConfigError, RetryableError
from include.model import Job, Output, Status
from include.retry import RetryPolicy
from include.shifts.bell import utcnow
from include.shifts.perform import Doing, LeaseLost, entry, perform
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.shifts.storable import storable_text
from include.store.ledger import Claim, Result

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt; `after_seconds` is the wait before the next, where there will be one."""

    status: Status
    line: str
    after_seconds: float = 0.0
    reason: str | None = None


def webhook_id(job_id: int, due: datetime) -> str:
    """The key of an occurrence: the same for every attempt, and free of dots (Standard Webhooks 1.0.0)."""
    return f"job_{job_id}_{(due - _EPOCH) // timedelta(microseconds=1)}"


async def attempt(post: Post, job: Job, due: datetime, claim: Claim, shift: Shift, *, release: bool) -> Attempt:
    """Make one attempt at a claimed occurrence and write its outcome. Raises `LeaseLost` if nothing was sent.

    `release` lets go of a row that will be retried, because Airflow and not this shift will come back to it.
    """
    payload = {**job.payload, **shift.conf}
    doing = Doing(job.kind, payload, webhook_id(job.id, due), due, job.timeout, job.delivery)
    started_at = utcnow()
    output: Output | None = None
    error: Exception | None = None
    try:
        registry.check_conf(job.kind, job.payload, shift.conf)
        output = await perform(post, doing, claim.attempt, lease=claim.lease)
    except LeaseLost:
        raise
    except Exception as caught:  # whatever a kind does wrong is this execution's failure, and nobody else's
        error = caught
    made = judged(doing, job.retry, claim.attempt - claim.base_attempt, output, error)
    finished_at = utcnow()
    written = await post.ledger.finish(
        Result(
            job_id=job.id,
            due=due,
            claim=shift.token,
            attempt=claim.attempt,
            status=made.status,
            started_at=started_at,
            finished_at=finished_at,
            entry=entry(claim.attempt, started_at, finished_at, output, error, sent=doing.sent, revision=job.revision),
            output=None if output is None else document(output),
            error=None if error is None else made.line,
            reason=made.reason,
            release=release,
        )
    )
    return made if written else Attempt("skipped", "taken over by another process; this outcome is void")


async def withdraw(post: Post, due: datetime, claim: Claim, shift: Shift, reason: str) -> None:
    """Record that a claimed occurrence was not sent after all, because the row changed before its instant."""
    now = utcnow()
    await post.ledger.finish(
        Result(
            job_id=shift.row_id,
            due=due,
            claim=shift.token,
            attempt=claim.attempt,
            status="skipped",
            started_at=now,
            finished_at=now,
            entry=None,
            reason=reason,
        )
    )


def judged(doing: Doing, retry: RetryPolicy, failures: int, output: Output | None, error: Exception | None) -> Attempt:
    """What became of an attempt that gave an output or an error, which is failure number `failures`, if it is one."""
    if error is None:
        return Attempt("success", "" if output is None else output.line)
    said = storable_text(str(error))
    if isinstance(error, RetryableError) and error.code is None and doing.delivery == "at_most_once":
        return Attempt("failed", said, reason="unknown outcome")
    if retry.allows(error, failures):
        told = getattr(error, "after_seconds", None) or 0.0
        return Attempt("retrying", said, retry.wait(failures, doing.key, told).total_seconds())
    if isinstance(error, (AttemptError, ConfigError)):
        return Attempt("failed", said)
    log.error("%s: kind %s raised", doing.key, doing.kind, exc_info=error)
    return Attempt("failed", f"kind {doing.kind!r} raised {type(error).__name__}: {said}")


def document(output: Output) -> dict[str, Any]:
    """An output as it is kept."""
    body: dict[str, Any] = {"line": output.line, **output.data}
    if output.code is not None:
        body["code"] = output.code
    if output.excerpt is not None:
        body["excerpt"] = output.excerpt
    return body

"""/stats: how everything is doing, in numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from include.api.answer import answer, response
from include.api.login import CallerDep
from include.api.problem import problems
from include.api.route import api_router
from include.api.transactions import Db
from include.documents import stats as documents
from include.documents.fields import Instant
from include.documents.next_due import next_due
from include.documents.stats import Stats
from include.errors import RefusedError
from include.store import stats
from include.store.db import DictConnection
from include.store.stats import Step
from include.times import utcnow

router = api_router(prefix="/stats", tags=["stats"])

_DAY = timedelta(days=1)
_MOST_POINTS = 1500
_MOST_FAILING = 20
_MOST_INTERVALS = 500


@router.get("", response_model=Stats, responses=problems(422))
def get_stats(
    caller: CallerDep,
    transactions: Db,
    since: Annotated[Instant | None, Query(description="A day before `until`, where it is not given.")] = None,
    until: Annotated[Instant | None, Query(description="Now, where it is not given.")] = None,
    step: Annotated[Step, Query(description="What the series goes by; at most 1500 points.")] = "hour",
) -> Response:
    """How all that you may see is doing: how many rows, what became of them, how late, what is failing.

    The range is widened to whole steps. What is older than two days is known by the hour, older than sixty by the day.
    """
    now = utcnow()
    start, end = _range(since, until, step, now)
    with transactions.reading() as db:
        document = _document(db, caller.sees, start, end, step, now)
    return response(answer(Stats, document))


def _range(since: datetime | None, until: datetime | None, step: Step, now: datetime) -> tuple[datetime, datetime]:
    """From the beginning of a step to the end of one."""
    last = until or now
    start = documents.cut(since or last - _DAY, step)
    end = documents.cut(last, step)
    end += documents.STEPS[step] if end < last else timedelta(0)
    if start >= end:
        raise RefusedError(422, "since: it is not before until")
    if (end - start) / documents.STEPS[step] > _MOST_POINTS:
        raise RefusedError(
            422, f"step: these are more than {_MOST_POINTS} points; write a longer step, or a later since"
        )
    return start, end


def _document(
    db: DictConnection, owner: str | None, since: datetime, until: datetime, step: Step, now: datetime
) -> dict[str, Any]:
    rows = stats.rows(db, owner)
    bounds = stats.late_bounds(db)
    tally = stats.tally(db, owner, since=since, until=until, step=step)
    lag = stats.lag(db, owner)
    return {
        "since": since,
        "until": until,
        "step": step,
        "jobs": rows.get("job", {}),
        "connectors": rows.get("connector", {}),
        "workflows": rows.get("workflow", {}),
        "timers": stats.timers(db, owner),
        "executions": documents.outcomes((row for row in tally if row["source"] == "job"), bounds),
        "sent_timers": documents.outcomes((row for row in tally if row["source"] == "timer"), bounds),
        "series": list(documents.series(tally, bounds, since=since, until=until, step=step)),
        "ever": documents.ever(stats.ended(db, owner)),
        "pull_lag": {"seconds_max": lag["pull_max"], "seconds_sum": lag["pull_sum"]},
        "workflow_lag": lag,
        "next_due": next_due(stats.schedules(db, owner, _MOST_INTERVALS), stats.next_timer(db, owner), now),
        "failing": stats.failing(db, owner, _MOST_FAILING),
        "dead_letters": stats.dead_letters(db, owner, documents.MOST_DEAD_LETTERS),
    }

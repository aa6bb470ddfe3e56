"""How everything is doing, as a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from pydantic import Field

from include.documents.fields import Shown, ShownInstant
from include.documents.lateness import quantile
from include.store.edits import Row
from include.store.stats import Step

MOST_DEAD_LETTERS = 10_000
STEPS: Mapping[Step, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


class RowCounts(Shown):
    """How many rows there are; each is active, paused, or an error."""

    total: int = 0
    active: int = Field(0, description="On duty.")
    paused: int = 0
    failing: int = Field(
        0, description="Of those that are active: it failed the last time; a workflow, it has stopped."
    )
    error: int = Field(0, description="It cannot run; its `error` says why.")


class Lateness(Shown):
    """How long after their instants first attempts began, in seconds; null where there were none."""

    count: int = Field(description="Of how many that is known.")
    mean: float | None
    p50: float | None = Field(description="Estimated from a histogram, as by Prometheus; 300 at most.")
    p99: float | None


class Outcomes(Shown):
    """What became of those that were due in the range, and have ended."""

    by_status: dict[str, int] = Field(examples=[{"success": 98, "failed": 2}])
    attempts: int
    lateness: Lateness


class TimerCounts(Shown):
    """Timers, as they are now."""

    pending: int
    firing: int
    failed: int = Field(description="For good, and not discarded.")


class Point(Shown):
    """What was due within one step."""

    at: ShownInstant
    executions: dict[str, int] = Field(description="By status; one that is not here: none.")
    timers: dict[str, int]
    lateness: Lateness


class Ever(Shown):
    """How many have ended since ever, by status; what was redriven has ended more than once."""

    executions: dict[str, int]
    timers: dict[str, int]


class PullLag(Shown):
    """How long overdue the next pulls of connectors are, in seconds: at most, and together."""

    seconds_max: float
    seconds_sum: float


class WorkflowLag(Shown):
    """What workflows have ahead of them, and for how long: at most, and together."""

    records_max: int
    records_sum: int
    seconds_max: float
    seconds_sum: float


class NextDue(Shown):
    """What is due next, by its schedule: of jobs with `every`, the 500 with the shortest are looked at."""

    at: ShownInstant
    table: Literal["job", "timer"]
    id: int
    name: str | None


class Failing(Shown):
    """A row that fails now: a workflow, it has stopped; or one that cannot run."""

    table: Literal["job", "connector", "workflow"]
    id: int
    name: str
    owner: str
    since: ShownInstant | None = Field(description="null: it cannot run.")
    failures: int = Field(description="In a row; 0: it cannot run.")
    error: str | None


class DeadLetters(Shown):
    """What waits for a person to redrive or discard it; 10000 is that many or more. Of executions, the 10000 that have
    failed last are looked at."""

    executions: int
    timers: int
    records: int


class Stats(Shown):
    """How everything that the caller sees is doing."""

    since: ShownInstant
    until: ShownInstant
    step: Step
    jobs: RowCounts
    connectors: RowCounts
    workflows: RowCounts
    timers: TimerCounts
    executions: Outcomes = Field(description="Of jobs.")
    sent_timers: Outcomes = Field(description="Of timers: fired, failed, cancelled.")
    series: list[Point] = Field(description="Every step of the range, the empty ones too.")
    ever: Ever
    pull_lag: PullLag
    workflow_lag: WorkflowLag
    next_due: NextDue | None
    failing: list[Failing] = Field(description="At most twenty, those that have failed longest first.")
    dead_letters: DeadLetters


def cut(instant: datetime, step: Step) -> datetime:
    """The beginning of the step that the instant lies in."""
    origin = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return instant - (instant - origin) % STEPS[step]


def outcomes(rows: Iterable[Row], bounds: Sequence[float]) -> dict[str, Any]:
    """Rows of the tally as `Outcomes`."""
    found = list(rows)
    return {
        "by_status": _by_status(found, "executions"),
        "attempts": sum(row["attempts"] for row in found),
        "lateness": _lateness(found, bounds),
    }


def series(
    rows: Iterable[Row], bounds: Sequence[float], *, since: datetime, until: datetime, step: Step
) -> Iterator[dict[str, Any]]:
    """A `Point` for each step."""
    by_point: dict[datetime, list[Row]] = {}
    for row in rows:
        by_point.setdefault(row["at"], []).append(row)
    at = since
    while at < until:
        here = by_point.get(at, [])
        yield {
            "at": at,
            "executions": _by_status(_of("job", here), "executions"),
            "timers": _by_status(_of("timer", here), "executions"),
            "lateness": _lateness(here, bounds),
        }
        at += STEPS[step]


def ever(rows: Sequence[Row]) -> dict[str, Any]:
    """What has ended since ever, as `Ever`."""
    return {"executions": _by_status(_of("job", rows), "ended"), "timers": _by_status(_of("timer", rows), "ended")}


def _of(source: str, rows: Iterable[Row]) -> Iterator[Row]:
    return (row for row in rows if row["source"] == source)


def _by_status(rows: Iterable[Row], count: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        found[row["status"]] += row[count]
    return {status: number for status, number in sorted(found.items()) if number}


def _lateness(rows: Iterable[Row], bounds: Sequence[float]) -> dict[str, Any]:
    counts: Counter[int] = Counter()
    seconds = 0.0
    for row in rows:
        if row["late"]:
            counts[row["late"]] += row["ended"]
            seconds += row["late_seconds"]
    count = counts.total()
    return {
        "count": count,
        "mean": seconds / count if count else None,
        "p50": quantile(0.5, counts, bounds),
        "p99": quantile(0.99, counts, bounds),
    }

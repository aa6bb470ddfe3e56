"""What the sink saw, compared with what was due. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from include.model import Job
from include.shifts.execution import webhook_id

_TICK = timedelta(microseconds=1)


class Call(NamedTuple):
    """One call as the sink saw it: when it came, and which occurrence it was for."""

    arrival: float
    job_id: int
    due: float
    webhook_id: str
    path: str

    @property
    def lateness(self) -> float:
        return self.arrival - self.due


def parse_calls(dump: str) -> list[Call]:
    """The calls of a dump; those that name no occurrence are left out, as they are not ours."""
    calls = []
    for line in dump.splitlines():
        arrival, job, due, key, path = line.split(",", 4)
        if job:
            calls.append(Call(float(arrival), int(job), int(due) / 1_000_000, key, path))
    return calls


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time: `start` is in it, `end` is not."""

    start: datetime
    end: datetime

    def holds(self, due: float) -> bool:
        return self.start.timestamp() <= due < self.end.timestamp()


def occurrences(jobs: Iterable[Job], window: Window) -> dict[str, datetime]:
    """Every occurrence in the window by webhook-id: the schedule's own arithmetic, not what the system made of it."""
    return {
        webhook_id(job.id, due): due
        for job in jobs
        for due in job.schedule.between(window.start - _TICK, window.end - _TICK)
    }


@dataclass(frozen=True, slots=True)
class Tally:
    """How the calls compare with what was due.

    `lost` was due and did not come, `unexpected` came and was not due; `duplicates` and `early` count every call, also
    those outside the window.
    """

    expected: int
    fired: int
    duplicates: int
    early: int
    lost: int
    unexpected: int
    lateness: Sequence[float]

    def lateness_at(self, share: float) -> float | None:
        return percentile(self.lateness, share)


def tally(expected: Collection[str], calls: Sequence[Call], window: Window) -> Tally:
    """Compare the calls with the occurrences expected in the window. The first call of each occurrence counts."""
    firsts: dict[str, Call] = {}
    for call in calls:
        earlier = firsts.get(call.webhook_id)
        if earlier is None or call.arrival < earlier.arrival:
            firsts[call.webhook_id] = call
    inside = {key: call for key, call in firsts.items() if window.holds(call.due)}
    fired = [call for key, call in inside.items() if key in expected]
    return Tally(
        expected=len(expected),
        fired=len(fired),
        duplicates=len(calls) - len(firsts),
        early=sum(call.lateness < 0 for call in calls),
        lost=len(expected) - len(fired),
        unexpected=len(inside) - len(fired),
        lateness=sorted(call.lateness for call in fired),
    )


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest of the values that is not exceeded by `share` of them (nearest rank); None if there are none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]

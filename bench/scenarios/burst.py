"""200 cron jobs due at one instant, one run each: how late is the last?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Stage, demand_all, next_second, report, utcnow
from include.errors import MillraceError
from include.model import Job


@dataclass(frozen=True)
class Options:
    jobs: int = option(200, "rows that are due at the same instant")
    ahead: int = option(60, "seconds from inserting them to that instant, at least")


SMALL = Options(jobs=20, ahead=20)
_SECONDS = 5


def run(stage: Stage, options: Options) -> Result:
    result = Result("burst")
    due = next_second(options.ahead)
    cron = f"{due.second} {due.minute} {due.hour} {due.day} {due.month} *"
    stage.say(f"{options.jobs} jobs, due at {due:%H:%M:%S} UTC")
    names = [f"burst {number}" for number in range(options.jobs)]
    jobs = stage.rows.insert([NewJob(name, f"{stage.sink.url}/burst", cron=cron) for name in names])
    ahead = _armed_ahead(stage, jobs, due)
    observed = stage.observe(jobs, _SECONDS, start=due)
    report(result, jobs, observed)
    demand_all(result, observed)
    late = observed.tally.lateness_at(0.99)
    result.note(rate_per_s=None, cpu_cores=None)
    result.extra["armed_ahead_s"] = ahead
    result.aim(observed.tally.lost == 0, f"{observed.tally.fired} of {len(jobs)} fired")
    result.aim(late is not None and late <= 0.5, f"lateness p99 {_spell(late)} (at most 0.5 s)")
    return result


def _armed_ahead(stage: Stage, jobs: Collection[Job], due: datetime) -> float | None:
    """How many seconds before the instant all were armed; None if they were not. Then they fire late, which is seen."""
    left = (due - utcnow()).total_seconds()
    try:
        took = stage.wait("jobs armed", lambda: len(stage.rows.armed(jobs)), len(jobs), seconds=left, every=0.2)
    except MillraceError as error:
        stage.say(f"  {error}")
        return None
    return round(left - took, 1)


def _spell(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:.2f} s"

"""600 jobs every two minutes, staggered, one run each; then more, up to what keeps up: runs per second, lateness."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.calls import Window, occurrences
from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Observed, Stage, demand_all, next_second, report, utcnow
from include.errors import MillraceError
from include.model import Job
from include.shifts.execution import webhook_id


@dataclass(frozen=True)
class Options:
    jobs: int = option(600, "rows of the first step, each due every two minutes")
    more: int = option(600, "rows that each further step adds")
    steps: int = option(5, "steps at most")
    seconds: int = option(60, "seconds that are measured in each step")
    calm: int = option(
        35, "seconds from the last DAG of a step to its measurement; runs are armed 25 s before they are due"
    )


SMALL = Options(jobs=40, more=0, steps=1, seconds=15, calm=3)
_LONGEST_PARSING = 180
_WORST_LATENESS = 5.0
# Runs are armed 25 s ahead. A step at whose end the next due run is armed less than this ahead has fallen behind, even
# if nothing is late yet.
_LEAST_AHEAD = 10.0
_LOOK_AHEAD = 30.0
_PERIOD = 120  # a row that is due every minute shares its runs
_STRIDE = 7  # visits every second of the period, and however few the jobs, all parts of it


def run(stage: Stage, options: Options) -> Result:
    result = Result("single")
    steps: list[dict[str, Any]] = []
    jobs: list[Job] = []
    for number in range(options.steps):
        try:
            jobs += _insert(stage, options.more if number else options.jobs, len(jobs))
        except MillraceError as error:
            stage.say(f"  {error}")
            break
        observed = stage.observe(jobs, options.seconds, start=next_second(options.calm))
        ahead = _armed_ahead(stage, jobs)
        steps.append(_step(jobs, observed, ahead))
        stage.say(f"  {steps[-1]}")
        if number == 0:
            report(result, jobs, observed)
            demand_all(result, observed)
        else:
            _demand_once(result, observed)
        if not steps[-1]["kept_up"]:
            break
    _conclude(result, steps)
    return result


def _insert(stage: Stage, count: int, first: int) -> list[Job]:
    stage.say(f"{first + count} jobs, one run in two minutes each: {(first + count) / _PERIOD:.1f} runs/s")
    wishes = [
        NewJob(f"single {number}", f"{stage.sink.url}/single", cron=_cron(number * _STRIDE % _PERIOD))
        for number in range(first, first + count)
    ]
    jobs = stage.rows.insert(wishes)
    dag_ids = [job.dag_id for job in jobs]
    stage.wait("DAGs", lambda: len(stage.rows.dags(dag_ids)), count, seconds=_LONGEST_PARSING)
    return jobs


def _cron(second: int) -> str:
    """Due at that second of every two minutes."""
    return f"{second % 60} {second // 60}/2 * * * *"


def _armed_ahead(stage: Stage, jobs: Collection[Job]) -> float:
    """How far ahead every run is armed: the seconds until the first occurrence that is not."""
    now = utcnow()
    armed = {webhook_id(job_id, due) for job_id, dues in stage.rows.armed(jobs).items() for due in dues}
    coming = occurrences(jobs, Window(now + timedelta(seconds=1), now + timedelta(seconds=_LOOK_AHEAD)))
    return min(((due - now).total_seconds() for key, due in coming.items() if key not in armed), default=_LOOK_AHEAD)


def _step(jobs: Collection[Job], observed: Observed, ahead: float) -> dict[str, Any]:
    seen, late = observed.tally, observed.tally.lateness_at(0.99)
    return {
        "jobs": len(jobs),
        "rate_per_s": round(seen.fired / observed.seconds, 2),
        "lateness_p99_s": None if late is None else round(late, 3),
        "lost": seen.lost,
        "armed_ahead_s": round(ahead, 1),
        "cpu_cores_by_component": observed.used.cores,
        "other_cores": observed.used.other_cores,
        "kept_up": seen.lost == 0 and late is not None and late <= _WORST_LATENESS and ahead >= _LEAST_AHEAD,
    }


def _demand_once(result: Result, observed: Observed) -> None:
    """A system that is asked too much may be late; it may not stop, be early, or do anything twice."""
    seen = observed.tally
    result.demand(seen.fired > 0, f"nothing fired any more at {seen.expected / observed.seconds:g} runs/s")
    result.demand(seen.early == 0, f"{seen.early} calls came early")
    result.demand(seen.duplicates == 0, f"{seen.duplicates} calls came twice")


def _conclude(result: Result, steps: list[dict[str, Any]]) -> None:
    sustained = max((step["rate_per_s"] for step in steps if step["kept_up"]), default=0.0)
    at_ten = next((step["lateness_p99_s"] for step in steps if step["jobs"] / _PERIOD >= 10), None)
    result.note(rate_per_s=sustained)
    result.extra |= {"lateness_p99_at_10_per_s_s": at_ten, "steps": steps}
    # Seconds are whole only, so that 15 runs/s are measured as 14.98 if one of them comes at its very end.
    result.aim(sustained >= 14.9, f"{sustained:g} runs/s sustained (at least 15)")
    result.aim(at_ten is not None and at_ten <= 0.5, f"lateness p99 at 10 runs/s: {at_ten} s (at most 0.5 s)")

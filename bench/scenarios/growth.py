"""From 100 to 10,000 jobs: what do a call, an edit and an idle minute cost, in seconds of a processor?

Rows are added in steps, each so many times as many as before. They are due long after; so what an idle minute costs is
the price of having them. Calls come from the same few fast rows at each step, and edits change what a row's DAG shows,
one every three seconds, over all rows; what the idle system uses is subtracted from both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from bench.chart import Panel, drawn
from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Observed, Stage, demand_all, next_second, report
from bench.usage import cpu_time
from include.errors import MillraceError
from include.model import Job


@dataclass(frozen=True)
class Options:
    least: int = option(100, "rows at the first step")
    most: int = option(10_000, "rows at the last step")
    steps: int = option(5, "steps from the one to the other")
    fast: int = option(50, "rows more that call once a second")
    edits: int = option(20, "edits at each step, one every three seconds")
    idle: int = option(60, "seconds for which nothing happens at each step")
    calm: int = option(45, "seconds between new rows and what is measured")
    svg: str = option("", "write the picture there")


SMALL = Options(least=20, most=40, steps=2, fast=5, edits=2, idle=3, calm=3)
_LONGEST = 1800
_GROWTH = 2.0  # a cost at the last step over that at the first, where rows do not matter
# Nearer ones would be built together where rows are few, and so be the cheaper.
_BETWEEN_EDITS = 3.0
_TRAILING_SECONDS = 8.0  # after the last edit, until its DAG is there and all is calm


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a processor, of the whole system: of a call, of an edit, of a minute in which nothing happens."""

    jobs: int
    call_s: float
    edit_s: float
    idle_minute_s: float


def run(stage: Stage, options: Options) -> Result:
    result = Result("growth")
    calls = [
        NewJob(f"fast {number}", f"{stage.sink.url}/growth", every=timedelta(seconds=1), overlap="allow")
        for number in range(options.fast)
    ]
    jobs: list[Job] = []
    costs: list[Cost] = []
    for count in _counts(options):
        jobs += _add(stage, len(jobs), count)
        time.sleep(options.calm)
        idle = _used(stage, lambda: time.sleep(options.idle)) / options.idle
        edit = _edits(stage, jobs, options.edits, idle)
        fast = stage.rows.insert(calls)
        stage.wait_until_firing(fast, seconds=_LONGEST)
        observed = stage.observe(fast, options.idle, start=next_second(options.calm))
        used = sum(observed.used.cores.values()) * observed.seconds - idle * observed.seconds
        costs.append(Cost(count, used / max(observed.tally.fired, 1), edit, idle * 60))
        stage.say(f"  {costs[-1]}")
        demand_all(result, observed)
        stage.rows.remove(fast)
    _conclude(result, options, costs, fast, observed)
    return result


def _counts(options: Options) -> list[int]:
    """How many rows there are at each step: always so many times as many."""
    last = max(options.steps - 1, 1)
    return [round(options.least * (options.most / options.least) ** (step / last)) for step in range(options.steps)]


def _add(stage: Stage, there: int, count: int) -> list[Job]:
    """Rows up to `count`, due once a week, whose DAGs Airflow has."""
    stage.say(f"{count} jobs")
    url, every = f"{stage.sink.url}/never", timedelta(days=7)
    added = stage.rows.insert([NewJob(f"growth {number}", url, every=every) for number in range(there, count)])
    stage.wait("DAGs", lambda: stage.rows.shown(added), len(added), seconds=_LONGEST)
    return added


def _edits(stage: Stage, jobs: Sequence[Job], count: int, idle: float) -> float:
    """Seconds of a processor for each of so many edits, spread over the rows."""
    edited = [jobs[len(jobs) * number // count] for number in range(min(count, len(jobs)))]
    stage.say(f"  {len(edited)} edits")
    began = time.monotonic()

    def edit() -> None:
        for number, job in enumerate(edited, 1):
            stage.rows.rename(job, f"edited {job.id} {len(jobs)}")
            time.sleep(max(began + number * _BETWEEN_EDITS - time.monotonic(), 0))
        stage.wait("edited DAGs", lambda: stage.rows.shown(edited), len(edited), seconds=_LONGEST, every=2)
        time.sleep(_TRAILING_SECONDS)

    used = _used(stage, edit)
    return max(used - idle * (time.monotonic() - began), 0.0) / len(edited)


def _used(stage: Stage, act: Callable[[], None]) -> float:
    """The seconds of a processor that the system used meanwhile."""
    before = cpu_time(stage.stack.run)
    act()
    after = cpu_time(stage.stack.run)
    return sum(after.seconds.values()) - sum(before.seconds.values())


def _conclude(result: Result, options: Options, costs: Sequence[Cost], fast: Sequence[Job], last: Observed) -> None:
    report(result, fast, last)
    result.note(jobs=costs[-1].jobs)
    result.extra["costs"] = [asdict(cost) for cost in costs]
    for name, first, final in (
        ("call", costs[0].call_s, costs[-1].call_s),
        ("edit", costs[0].edit_s, costs[-1].edit_s),
    ):
        text = f"a {name} costs {final * 1000:.1f} ms of a core with {costs[-1].jobs} jobs"
        before = f"{first * 1000:.1f} ms with {costs[0].jobs}"
        result.aim(final <= first * _GROWTH, f"{text}, {before} (at most {_GROWTH:g} times as much)")
    if options.svg:
        _draw(Path(options.svg), costs)


def _draw(file: Path, costs: Sequence[Cost]) -> None:
    panels = [
        Panel("One call", "ms of a core", [(cost.jobs, cost.call_s * 1000) for cost in costs]),
        Panel("One edit", "ms of a core", [(cost.jobs, cost.edit_s * 1000) for cost in costs]),
        Panel("One idle minute", "s of a core", [(cost.jobs, cost.idle_minute_s) for cost in costs]),
    ]
    try:
        file.write_text(drawn(panels, "jobs"), "utf-8")
    except OSError as error:
        raise MillraceError(f"{file} cannot be written: {error.strerror}") from error

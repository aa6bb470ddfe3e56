"""3,000 jobs every 30 s, inserted at once: how long until all are armed, and again after a restart?"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Stage, demand_all, next_second, report, utcnow
from bench.usage import cores, cpu_time
from include.model import Job


@dataclass(frozen=True)
class Options:
    jobs: int = option(3000, "rows")
    every: int = option(30, "seconds between two occurrences of a row")
    seconds: int = option(60, "seconds that are measured")
    calm: int = option(60, "seconds after that, until each row has logged the summary of its first minute")
    idle: int = option(20, "seconds for which the system is then watched while nothing changes")


SMALL = Options(jobs=100, every=5, seconds=10, calm=0, idle=3)
_LONGEST_ARMING = 900
_MOST_REARMING = 180
_FEW = 3000


def run(stage: Stage, options: Options) -> Result:
    result = Result("capacity")
    stage.say(f"{options.jobs} jobs every {options.every} s")
    names = [f"capacity {number}" for number in range(options.jobs)]
    every = timedelta(seconds=options.every)
    jobs = stage.rows.insert([NewJob(name, f"{stage.sink.url}/capacity", every=every) for name in names])
    armed = stage.wait_until_armed(jobs, seconds=_LONGEST_ARMING)
    if stage.small:  # where every call is demanded: a run has its trigger a moment before it is on duty
        stage.wait_until_called(jobs, seconds=_LONGEST_ARMING)
    # A run that has just got its trigger may miss an occurrence that is due this second; so does the measurement.
    observed = stage.observe(jobs, options.seconds, start=next_second(5))
    stage.wait_until_at_rest(jobs)
    time.sleep(options.calm)
    idle = _unchanging(stage, options.idle)
    report(result, jobs, observed)
    result.note(armed_s=armed)
    result.extra |= {"dag_processor_idle_cores": idle.get("dag-processor", 0.0), "unchanging_cores": sum(idle.values())}
    if stage.small:
        demand_all(result, observed)
    seen, memory = observed.tally, observed.used.memory_mib
    share = seen.fired / max(seen.expected, 1)
    most_seconds, most_gib = (180, 2.5) if options.jobs <= _FEW else (600, 4)
    result.aim(armed <= most_seconds, f"all armed after {armed:.0f} s (at most {most_seconds} s)")
    result.aim(share >= 0.99, f"{share:.2%} fired (at least 99 %)")
    if memory is not None:
        result.aim(memory <= most_gib * 1024, f"memory {memory / 1024:.2f} GiB (at most {most_gib} GiB)")
    _judge(result, idle)
    rearmed = _restart(stage, jobs)
    result.extra["rearmed_s"] = round(rearmed, 1)
    result.aim(rearmed <= _MOST_REARMING, f"all armed {rearmed:.0f} s after a restart (at most {_MOST_REARMING} s)")
    return result


def _unchanging(stage: Stage, seconds: float) -> dict[str, float]:
    """The cores that each component keeps busy while jobs fire and nobody edits."""
    stage.say(f"  watching for {seconds:g} s while nothing changes")
    before = cpu_time(stage.stack.run)
    time.sleep(seconds)
    return cores(before, cpu_time(stage.stack.run))


def _judge(result: Result, idle: dict[str, float]) -> None:
    whole, processor = sum(idle.values()), idle.get("dag-processor", 0.0)
    result.aim(whole <= 1, f"while nothing changes, {whole:.2f} cores are busy (at most 1), with all that fires")
    result.aim(processor < 0.05, f"the DAG processor, idle, keeps {processor:.1%} of a core busy (less than 5 %)")


def _restart(stage: Stage, jobs: Collection[Job]) -> float:
    """The seconds from the beginning of a restart, of everything and the database, until all are armed again."""
    stage.say("  everything is restarted")
    began, since = time.monotonic(), utcnow()
    stage.rows.close()
    stage.stack.restart()
    stage.wait("rows armed", lambda: len(stage.rows.armed(jobs, since)), len(jobs), seconds=_LONGEST_ARMING)
    return time.monotonic() - began

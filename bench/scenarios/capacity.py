"""3,000 jobs every 30 s, inserted at once: how long until all are armed, and what does it cost to hold them?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Stage, demand_all, next_second, report
from bench.usage import cores, cpu_time


@dataclass(frozen=True)
class Options:
    jobs: int = option(3000, "rows")
    every: int = option(30, "seconds between two occurrences of a row")
    seconds: int = option(60, "seconds that are measured")
    idle: int = option(20, "seconds for which the DAG processor is then watched while nothing changes")


SMALL = Options(jobs=100, every=5, seconds=10, idle=3)
_LONGEST_ARMING = 600


def run(stage: Stage, options: Options) -> Result:
    result = Result("capacity")
    stage.say(f"{options.jobs} jobs every {options.every} s")
    names = [f"capacity {number}" for number in range(options.jobs)]
    every = timedelta(seconds=options.every)
    jobs = stage.rows.insert([NewJob(name, f"{stage.sink.url}/capacity", every=every) for name in names])
    armed = stage.wait_until_armed(jobs, seconds=_LONGEST_ARMING)
    # A run that has just got its trigger may miss an occurrence that is due this second; so does the measurement.
    observed = stage.observe(jobs, options.seconds, start=next_second(5))
    idle = _idle_cores(stage, options.idle)
    report(result, jobs, observed)
    result.note(armed_s=armed)
    result.extra["dag_processor_idle_cores"] = idle
    if stage.small:
        demand_all(result, observed)
    seen, memory = observed.tally, observed.used.memory_mib
    share = seen.fired / max(seen.expected, 1)
    result.aim(armed <= 180, f"all armed after {armed:.0f} s (at most 180 s)")
    result.aim(share >= 0.99, f"{share:.2%} fired (at least 99 %)")
    if memory is not None:
        result.aim(memory <= 2.5 * 1024, f"memory {memory / 1024:.2f} GiB (at most 2.5 GiB)")
    result.aim(idle < 0.05, f"the DAG processor, idle, keeps {idle:.1%} of a core busy (less than 5 %)")
    return result


def _idle_cores(stage: Stage, seconds: float) -> float:
    stage.say(f"  watching the DAG processor for {seconds:g} s while nothing changes")
    before = cpu_time(stage.stack.run)
    time.sleep(seconds)
    return cores(before, cpu_time(stage.stack.run)).get("dag-processor", 0.0)

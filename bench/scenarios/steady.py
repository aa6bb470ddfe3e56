"""1,000 jobs every second for a minute: does every occurrence fire, and on time? With one triggerer, or more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Stage, demand_all, next_second, report
from include.local.run import Wishes


@dataclass(frozen=True)
class Options:
    jobs: int = option(1000, "rows")
    every: int = option(1, "seconds between two occurrences of a row")
    seconds: int = option(60, "seconds that are measured")
    triggerers: int = option(1, "triggerers that share the jobs")


SMALL = Options(jobs=50, seconds=10)
_LONGEST_ARMING = 300
_CALM_SECONDS = 5
_FEW = 1000  # more rows may be later


def wishes(options: Options) -> Wishes:
    return Wishes(triggerers=options.triggerers)


def run(stage: Stage, options: Options) -> Result:
    result = Result("steady")
    stage.say(f"{options.jobs} jobs every {options.every} s")
    names = [f"steady {number}" for number in range(options.jobs)]
    every = timedelta(seconds=options.every)
    overlap = "allow" if stage.small else "skip"  # where every call is demanded, a slow answer costs none
    jobs = stage.rows.insert([NewJob(name, f"{stage.sink.url}/steady", every=every, overlap=overlap) for name in names])
    armed = stage.wait_until_firing(jobs, seconds=_LONGEST_ARMING)
    observed = stage.observe(jobs, options.seconds, start=next_second(_CALM_SECONDS))
    report(result, jobs, observed)
    result.note(armed_s=armed)
    result.extra["triggerers"] = options.triggerers
    if stage.small:
        demand_all(result, observed)
    seen, late = observed.tally, observed.tally.lateness_at(0.99)
    executed = min(seen.fired, observed.ledger.get("success", 0)) / max(seen.expected, 1)
    result.aim(executed >= 0.99, f"{executed:.2%} executed and in the ledger (at least 99 %)")
    most = 1.5 if options.jobs <= _FEW else 2
    result.aim(late is not None and late <= most, f"lateness p99 {late or 0:.2f} s (at most {most:g} s)")
    return result

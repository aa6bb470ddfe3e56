"""20,000 timers, 500 due each second for 40 s: does each fire once, and on time?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from bench.result import Result
from bench.ringing import Timers
from bench.scenario import option
from bench.sink_process import Sink
from bench.stage import Stage, report_usage, sleep_until


@dataclass(frozen=True)
class Options:
    timers: int = option(20_000, "timers")
    rate: int = option(500, "of them due each second")


SMALL = Options(timers=300, rate=50)
_LONGEST = 120


def run(stage: Stage, options: Options) -> Result:
    result = Result("timers")
    stage.say(f"{options.timers} timers, {options.rate} a second")
    with closing(Sink()) as sink:
        timers = Timers(stage, sink, count=options.timers, rate=options.rate)
        sleep_until(timers.first)
        used = stage.measure(timers.end)
        timers.wait(seconds=_LONGEST)
        seen = timers.report(result)
    report_usage(result, used)
    result.note(rate_per_s=seen.fired / (timers.end - timers.first).total_seconds())
    result.demand(seen.duplicates == 0, f"{seen.duplicates} timers fired twice")
    late = result.values["lateness_p99_s"]
    result.aim(late is not None and late <= 0.3, f"lateness p99 {late or 0:.3f} s (at most 0.3 s)")
    return result

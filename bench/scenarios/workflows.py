"""50 users' workflows, 2,000 records each, a call per record to a receiver that takes 5 ms: how many calls a second?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from bench.processing import Backlog
from bench.result import Result
from bench.scenario import option
from bench.sink_process import Sink
from bench.stage import Stage, report_usage
from bench.usage import Meter


@dataclass(frozen=True)
class Options:
    workflows: int = option(50, "workflows, each of another user, all on one connector")
    records: int = option(2000, "records that each of them processes")
    latency: int = option(5, "milliseconds that the receiver takes for a call")


SMALL = Options(workflows=3, records=50)
_LONGEST = 900


def run(stage: Stage, options: Options) -> Result:
    result = Result("workflows")
    stage.say(f"{options.workflows} workflows, {options.records} records each")
    with closing(Sink(latency_ms=options.latency)) as sink:
        backlog = Backlog(stage, sink, workflows=options.workflows, records=options.records)
        meter = Meter(lambda: stage.stack.run)
        backlog.begin()
        backlog.wait(seconds=_LONGEST)
        report_usage(result, meter.read())
        seen = backlog.tally()
        backlog.report(result, seen)
    result.demand(seen.duplicates == 0, f"{seen.duplicates} calls came twice")
    rate = seen.fired / seen.seconds if seen.seconds else 0.0
    result.aim(rate >= 900, f"{rate:.0f} records/s in all (at least 900)")
    return result

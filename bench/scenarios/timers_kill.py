"""`timers`, while the triggerer, and with it the pumps, is killed five times: is a timer lost?

What falls due while nobody is on duty fires when somebody is again. A call that was under way at a kill comes again,
with the same webhook-id.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from bench.result import Result
from bench.ringing import Timers
from bench.scenario import option
from bench.sink_process import Sink
from bench.stage import Stage, wait_until_well


@dataclass(frozen=True)
class Options:
    timers: int = option(20_000, "timers")
    rate: int = option(500, "of them due each second")
    kills: int = option(5, "times that the triggerer is killed with SIGKILL")


SMALL = Options(timers=300, rate=50, kills=1)
_LONGEST = 600
_TRIGGERER = "triggerer"


def run(stage: Stage, options: Options) -> Result:
    result = Result("timers-kill")
    stage.say(f"{options.timers} timers, {options.rate} a second, {options.kills} kills")
    with closing(Sink()) as sink:
        timers = Timers(stage, sink, count=options.timers, rate=options.rate)
        outages = []
        for number in range(1, options.kills + 1):
            # Spread over the calls and not over the time, so that each finds the pumps at work.
            mark = options.timers * number // (options.kills + 1)
            stage.wait("calls", lambda: sink.count("calls"), mark, seconds=_LONGEST, every=0.02)
            outages.append(_kill(stage, sink))
        timers.wait(seconds=_LONGEST)
        timers.report(result)
    result.extra["outages_s"] = outages
    wait_until_well(stage)
    return result


def _kill(stage: Stage, sink: Sink) -> float:
    """The seconds until timers fired again."""
    stage.say(f"  {_TRIGGERER} ends")
    began = time.monotonic()
    stage.stack.kill(_TRIGGERER)
    time.sleep(0.1)  # what was on its way has arrived
    calls = sink.count("calls")
    stage.wait("calls again", lambda: sink.count("calls") - calls, 1, seconds=_LONGEST, every=0.05)
    return round(time.monotonic() - began, 1)

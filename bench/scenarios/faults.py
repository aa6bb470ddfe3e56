"""`workflows`, while the triggerer is killed five times and PostgreSQL restarted once: is a record lost?

Airflow's triggerer ends when its database does, so that each fault is the death of whoever was at work: after it, a
workflow may make the call in hand once more, with the same webhook-id, and nothing else.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass

from bench.processing import Backlog
from bench.result import Result
from bench.scenario import option
from bench.sink_process import Sink
from bench.stage import Stage, wait_until_well


@dataclass(frozen=True)
class Options:
    workflows: int = option(50, "workflows, each of another user, all on one connector")
    records: int = option(2000, "records that each of them processes")
    latency: int = option(5, "milliseconds that the receiver takes for a call")
    kills: int = option(5, "times that the triggerer is killed with SIGKILL")


SMALL = Options(workflows=3, records=300, kills=1)
_LONGEST = 900
_LONGEST_FAULT = 300
_TRIGGERER = "triggerer"


def run(stage: Stage, options: Options) -> Result:
    result = Result("faults")
    stage.say(f"{options.workflows} workflows, {options.records} records each")
    with closing(Sink(latency_ms=options.latency)) as sink:
        backlog = Backlog(stage, sink, workflows=options.workflows, records=options.records)
        backlog.begin()
        faults = _faults(options.kills)
        outages = []
        for number, fault in enumerate(faults, start=1):
            # Spread over the calls and not over the time, so that each finds all at work.
            mark = backlog.total * number // (len(faults) + 1)
            stage.wait("calls", lambda: sink.count("calls"), mark, seconds=_LONGEST_FAULT, every=0.05)
            outages.append(_befall(stage, sink, fault))
        backlog.wait(seconds=_LONGEST)
        seen = backlog.tally()
        backlog.report(result, seen)
    result.note(records_per_s=None)
    result.extra |= {"most_duplicates_of_a_workflow": seen.most_duplicates, "outages_s": outages}
    result.demand(
        seen.most_duplicates <= len(faults),
        f"a workflow made {seen.most_duplicates} calls twice, with {len(faults)} faults",
    )
    result.demand(seen.repeated_late == 0, f"{seen.repeated_late} calls came again after a later one")
    wait_until_well(stage)
    return result


def _faults(kills: int) -> list[str]:
    """What happens, in this order: the database goes down in the middle."""
    faults = [_TRIGGERER] * kills
    faults.insert((kills + 1) // 2, "PostgreSQL")
    return faults


def _befall(stage: Stage, sink: Sink, fault: str) -> float:
    """Let it happen; the seconds until calls came again."""
    stage.say(f"  {fault} ends")
    began = time.monotonic()
    if fault == _TRIGGERER:
        stage.stack.kill(fault)
    else:
        before = stage.stack.database_pid()
        stage.stack.stop_database()
        stage.wait(
            "PostgreSQL up again",
            lambda: stage.stack.database_pid() not in (None, before),
            1,
            seconds=_LONGEST_FAULT,
            every=0.05,
        )
    time.sleep(0.1)  # what was on its way has arrived
    calls = sink.count("calls")
    stage.wait("calls again", lambda: sink.count("calls") - calls, 1, seconds=_LONGEST_FAULT, every=0.05)
    return round(time.monotonic() - began, 1)

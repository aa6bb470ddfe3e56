"""Work of every kind on two schedulers and two triggerers, while all that can end or break does: is anything lost?

Killed with SIGKILL: every component, each again and again. Besides, PostgreSQL is restarted, and away for 20 s; the
network to the receivers refuses, or swallows; the disk of the task logs is full; a triggerer is frozen for longer than
its lease, and wakes up; a further triggerer's clock is set (where there is a C compiler). All of it is drawn from a
seed. Then all is left to settle, and audited from outside: by the rows of the database and what receivers saw.

Airflow waits minutes before it gives up on a worker or a queue; here it waits seconds, so that a run ends in minutes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.chaos_audit import table
from bench.chaos_faults import Mischief
from bench.chaos_plan import plan
from bench.chaos_receiver import Receiver
from bench.chaos_world import World
from bench.result import Result
from bench.scenario import option
from bench.source_process import Source
from bench.stage import Stage, next_second, sleep_until, utcnow
from include.local.run import Wishes


@dataclass(frozen=True)
class Options:
    minutes: float = option(60.0, "minutes of load and faults")
    seed: int = option(1, "what the faults are drawn from")
    kills: int = option(200, "times that a component is killed with SIGKILL")
    settle: int = option(600, "seconds at most from the last fault until all is in order")


SMALL = Options(minutes=1.0, kills=10, settle=420)
_ARMING_SECONDS = 15
_LONGEST_ARMING = 240
_SHORTEST_LOAD = 30.0


def environment(_folder: Path, _sink_url: str, _options: Options) -> Mapping[str, str]:
    return {
        "MILLRACE_ALLOW_SHELL": "1",
        "MILLRACE_USER_CODE": "bench",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "40",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    }


def wishes(_options: Options) -> Wishes:
    return Wishes(schedulers=2, triggerers=2, executor="celery")


def run(stage: Stage, options: Options) -> Result:
    result = Result("chaos")
    with closing(Receiver()) as receiver, closing(Source(grow=3)) as source:
        mischief = Mischief(stage.stack, receiver, stage.say)
        try:
            world = World(stage, receiver, source)
            mischief.begin()
            start = next_second(3)
            load = start + timedelta(seconds=_ARMING_SECONDS)
            end = load + timedelta(minutes=options.minutes)
            world.begin(start, load, end)
            world.wait_until_armed(seconds=_LONGEST_ARMING)
            left = max((end - utcnow()).total_seconds() - 1, _SHORTEST_LOAD)
            stage.say(f"  seed {options.seed}: {options.kills} kills in {left:.0f} s")
            mischief.run(plan(options.seed, options.kills, left))
            sleep_until(end)
        finally:
            mischief.close()
        began = time.monotonic()
        lines = world.settle(seconds=options.settle)
    result.extra |= {
        "seed": options.seed,
        "kills": options.kills,
        "settled_s": round(time.monotonic() - began, 1),
        "timeline": mischief.timeline,
        "audit": [line.as_json() for line in lines],
    }
    result.note(jobs=world.jobs)
    result.lines += ["", f"chaos, seed {options.seed}:", *mischief.timeline, "", *table(lines), ""]
    for line in lines:
        some = "; ".join(line.breaches[:3])
        result.demand(not line.breaches, f"{line.what}: {len(line.breaches)} wrong, such as {some}")
    return result

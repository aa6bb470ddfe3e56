"""For comparison, the plain-Airflow way: HttpOperator on LocalExecutor, one run per fire.

The offered load is that of `single`'s first step, 5 runs/s, but from fewer DAGs that fire more often, since Airflow
imports the whole file for every task. It runs in a system of its own, with the settings that Millrace gives Airflow,
except for more workers. Airflow falls behind without bound, so the lateness depends on how long it is measured.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.calls import Tally, Window, tally
from bench.result import Result
from bench.scenario import option
from bench.stage import Stage, next_second, report_usage, sleep_until, utcnow


@dataclass(frozen=True)
class Options:
    jobs: int = option(20, "DAGs")
    every: int = option(4, "seconds between two runs of a DAG; a divisor of 60")
    seconds: int = option(60, "seconds that are measured")
    workers: int = option(8, "tasks at once")


SMALL = Options(jobs=2, every=5, seconds=10, workers=2)
_DAGS_FILE = Path(__file__).parents[1] / "vanilla_dags.py"
_LONGEST_START = 180
_GRACE_SECONDS = 15  # what was due in the window and came no later still counts


def environment(folder: Path, sink_url: str, options: Options) -> Mapping[str, str]:
    """A DAG folder with the file in it instead of Millrace's rows, and where the sink is."""
    dags = folder / "vanilla"
    dags.mkdir()
    shutil.copy(_DAGS_FILE, dags)
    bundle = {"name": "vanilla", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    return {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([{**bundle, "kwargs": {"path": str(dags)}}]),
        "AIRFLOW__CORE__PARALLELISM": str(options.workers),
        "AIRFLOW_CONN_BENCH_SINK": sink_url,
        "BENCH_VANILLA_DAGS": str(options.jobs),
        "BENCH_VANILLA_EVERY": str(options.every),
    }


def run(stage: Stage, options: Options) -> Result:
    result = Result("vanilla")
    stage.say(f"{options.jobs} DAGs, each every {options.every} s: {options.jobs / options.every:.1f} runs/s are due")
    stage.wait("call", lambda: len(stage.sink.calls(range(options.jobs))), 1, seconds=_LONGEST_START)
    start = next_second()
    window = Window(start, start + timedelta(seconds=options.seconds))
    stage.say(f"  watching for {options.seconds} s")
    sleep_until(window.start)
    used = stage.measure(window.end)
    seen, calls = _seen(stage, options, window), stage.sink.calls(range(options.jobs))
    arrived = sum(window.holds(call.arrival) for call in calls)
    result.note(rate_per_s=arrived / options.seconds)
    result.extra["seconds"] = options.seconds
    report_usage(result, used)
    _report(result, options, seen)
    return result


def _seen(stage: Stage, options: Options, window: Window) -> Tally:
    """What has come when all has, or when the grace is over."""
    expected = _expected(options, window)
    grace = window.end + timedelta(seconds=_GRACE_SECONDS)
    while (seen := tally(expected, stage.sink.calls(range(options.jobs)), window)).lost and utcnow() < grace:
        time.sleep(0.5)
    return seen


def _report(result: Result, options: Options, seen: Tally) -> None:
    result.note(
        jobs=options.jobs,
        expected=seen.expected,
        fired=seen.fired,
        duplicates=seen.duplicates,
        early=seen.early,
        lateness_p50_s=seen.lateness_at(0.5),
        lateness_p99_s=seen.lateness_at(0.99),
        lost=seen.lost,
    )
    result.demand(seen.fired > 0, "nothing fired, so nothing was measured")


def _expected(options: Options, window: Window) -> set[str]:
    """Every occurrence in the window, as the sink would name it."""
    seconds = range(int(window.start.timestamp()), int(window.end.timestamp()))
    return {
        f"job_{number}_{second * 1_000_000}"
        for second in seconds
        for number in range(options.jobs)
        if second % options.every == number % options.every
    }

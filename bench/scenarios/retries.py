"""500 jobs every second against a sink that fails a fifth of all calls, and before that against one that fails none."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta

from bench.calls import Window
from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.sink import fails
from bench.sink_process import Sink
from bench.stage import Observed, Stage, next_second, report, report_usage
from include.model import Job
from include.shifts.execution import webhook_id


@dataclass(frozen=True)
class Options:
    jobs: int = option(500, "rows, each due every second")
    seconds: int = option(60, "seconds that are measured, with failures and without")
    failures: float = option(0.2, "the share of calls that fail")


SMALL = Options(jobs=25, seconds=10)
_RETRIES = 3  # the default of a row
_LONGEST_ARMING = 300
_CALM_SECONDS = 5


def run(stage: Stage, options: Options) -> Result:
    result = Result("retries")
    plain = _measure(stage, options, failures=0.0)[1]
    jobs, observed, wrong = _measure(stage, options, failures=options.failures)
    report(result, jobs, observed, may_repeat=True)
    report_usage(result, observed.used)
    result.demand(wrong == 0, f"{wrong} executions did not end as the sink's answers ask for, or in as many attempts")
    rates = [seen.ledger.get("success", 0) / seen.seconds for seen in (observed, plain)]
    share = rates[0] / rates[1] if rates[1] else 0.0
    result.extra |= {"successes_per_s": round(rates[0], 1), "successes_per_s_without_failures": round(rates[1], 1)}
    told = f"{rates[0]:.0f} successes/s, {share:.0%} of those without failures (at least 80 %)"
    result.aim(share >= 0.8, told)
    return result


def _measure(stage: Stage, options: Options, *, failures: float) -> tuple[list[Job], Observed, int]:
    """One window, and how many of its executions are not as the sink's answers ask for."""
    stage.say(f"{options.jobs} jobs every second, {failures:.0%} of the calls fail")
    stage.rows.clear()
    with closing(Sink(failures=failures)) as sink:
        names = [f"retries {number}" for number in range(options.jobs)]
        every = timedelta(seconds=1)
        # While one waits for its retry, the next is due.
        wishes = [NewJob(name, f"{sink.url}/retries", every=every, overlap="allow") for name in names]
        jobs = stage.rows.insert(wishes)
        stage.wait_until_armed(jobs, seconds=_LONGEST_ARMING)
        stage.wait("calls", lambda: sink.count("calls"), options.jobs, seconds=_LONGEST_ARMING)
        observed = stage.observe(jobs, options.seconds, start=next_second(_CALM_SECONDS), sink=sink)
        return jobs, observed, _wrong(stage, jobs, observed.window, failures)


def _wrong(stage: Stage, jobs: Collection[Job], window: Window, failures: float) -> int:
    """How many executions ended otherwise than the answers of the sink, which are no secret, ask for."""
    wrong = 0
    for job_id, due, status, attempt in stage.rows.attempts(jobs, window):
        key = webhook_id(job_id, due)
        needed = next((n for n in range(1, _RETRIES + 2) if not fails(key, n, failures)), None)
        wanted = ("failed", _RETRIES + 1) if needed is None else ("success", needed)
        wrong += (status, attempt) != wanted and status not in ("skipped", "missed")
    return wrong

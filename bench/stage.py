"""What every scenario works with: a running system, its rows, a sink, and the steps that all measurements share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from bench.calls import Call, Tally, Window, occurrences, tally
from bench.result import Result
from bench.rows import Row, Rows, final
from bench.sink_process import Sink
from bench.stack import Say, Stack
from bench.usage import Meter, Used
from include.errors import MillraceError
from include.model import Job

_SAMPLE_SECONDS = 10.0
_SETTLE_SECONDS = 30.0
_LONGEST_ILLNESS = 300
_LONGEST_REST = 300
_HANDING_OVER = 10  # of 10,000 rows, a shift or two end each second, and the next begin


@dataclass(frozen=True, slots=True)
class Observed:
    """One window: what was due in it, what the sink saw of it, what the ledger says, what it cost."""

    window: Window
    tally: Tally
    calls: Sequence[Call]
    ledger: dict[str, int]
    used: Used

    @property
    def seconds(self) -> float:
        return (self.window.end - self.window.start).total_seconds()


@dataclass
class Stage:
    """Where scenarios play. What they have inserted is removed before the next one begins."""

    stack: Stack
    sink: Sink
    rows: Rows
    say: Say
    small: bool

    def calls(self, jobs: Collection[Job]) -> list[Call]:
        """Every call for these jobs so far."""
        return self.sink.calls(job.id for job in jobs)

    def wait(self, what: str, count: Callable[[], int], whole: int, *, seconds: float, every: float = 0.5) -> float:
        """Return the seconds until `count()` reached `whole`; an error if it has not after `seconds`."""
        began = told = time.monotonic()
        while (reached := count()) < whole:
            now = time.monotonic()
            if now - began > seconds:
                raise MillraceError(f"after {seconds:.0f} s only {reached} of {whole} {what}")
            if now - told > _SAMPLE_SECONDS:
                self.say(f"  {reached} of {whole} {what}")
                told = now
            time.sleep(every)
        took = time.monotonic() - began
        self.say(f"  {whole} {what} after {took:.1f} s")
        return took

    def wait_until_armed(self, rows: Collection[Row], *, seconds: float) -> float:
        """The seconds from now until each of these rows has a run that waits in a triggerer."""
        return self.wait("rows armed", lambda: len(self.rows.armed(rows)), len(rows), seconds=seconds)

    def wait_until_at_rest(self, rows: Collection[Row]) -> float:
        """The seconds until the runs that became due while all these rows were armed have their triggers, too."""
        some = len(rows) + _HANDING_OVER
        return self.wait("rows at rest", lambda: some - self.rows.on_their_way(), len(rows), seconds=_LONGEST_REST)

    def wait_until_firing(self, jobs: Collection[Job], *, seconds: float) -> float:
        """The seconds from now until each of these jobs has a run that waits in a triggerer, and has called once."""
        began = time.time()
        took = self.wait_until_armed(jobs, seconds=seconds)
        return max(took, max(self.wait_until_called(jobs, seconds=seconds).values()) - began)

    def wait_until_called(self, jobs: Collection[Job], *, seconds: float) -> dict[int, float]:
        """When each job called first, once all have."""
        self.wait("jobs have called", lambda: len(self._first_calls(jobs)), len(jobs), seconds=seconds)
        return self._first_calls(jobs)

    def _first_calls(self, jobs: Collection[Job]) -> dict[int, float]:
        firsts: dict[int, float] = {}
        for call in self.calls(jobs):
            firsts.setdefault(call.job_id, call.arrival)
        return firsts

    def observe(
        self, jobs: Collection[Job], seconds: float, *, start: datetime | None = None, sink: Sink | None = None
    ) -> Observed:
        """Watch what the jobs do from the next whole second on, or from `start`, and say how it went.

        `sink`: the one that they call, if it is not the stage's own.
        """
        start = start or next_second()
        window = Window(start, start + timedelta(seconds=seconds))
        self.say(f"  watching for {seconds:g} s")
        sleep_until(window.start)
        used = self.measure(window.end)
        expected = occurrences(jobs, window)
        ledger = self._settle(jobs, window, len(expected))
        calls = (sink or self.sink).calls(job.id for job in jobs)
        return Observed(window, tally(expected, calls, window), calls, ledger, used)

    def measure(self, end: datetime) -> Used:
        """What the system uses from now until `end`."""
        meter = Meter(lambda: self.stack.run)
        while (left := (end - utcnow()).total_seconds()) > 0:
            time.sleep(min(left, _SAMPLE_SECONDS))
            meter.sample()
        return meter.read()

    def _settle(self, jobs: Collection[Job], window: Window, expected: int) -> dict[str, int]:
        """What the ledger says when it has an end for every occurrence, or when it is too late for that."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while final(ledger := self.rows.ledger(jobs, window)) < expected and time.monotonic() < deadline:
            time.sleep(0.5)
        return ledger


def report(result: Result, jobs: Collection[Job], observed: Observed, *, may_repeat: bool = False) -> None:
    """Write down what a window showed, and demand what holds at any speed: not early, not twice, all in the ledger.

    `may_repeat`: a call comes again where it is retried.
    """
    seen = observed.tally
    result.note(
        jobs=len(jobs),
        expected=seen.expected,
        fired=seen.fired,
        ledger_rows=observed.ledger.get("success", 0),
        duplicates=seen.duplicates,
        early=seen.early,
        lateness_p50_s=seen.lateness_at(0.5),
        lateness_p99_s=seen.lateness_at(0.99),
        rate_per_s=seen.fired / observed.seconds,
        lost=seen.lost,
    )
    report_usage(result, observed.used)
    result.extra |= {
        "lateness_max_s": round(seen.lateness[-1], 3) if seen.lateness else None,
        "unexpected": seen.unexpected,
        "ledger_by_status": observed.ledger,
        "seconds": observed.seconds,
    }
    result.demand(seen.expected > 0, "nothing was due, so nothing was measured")
    result.demand(seen.early == 0, f"{seen.early} calls came early")
    result.demand(may_repeat or seen.duplicates == 0, f"{seen.duplicates} calls came twice")
    result.demand(seen.unexpected == 0, f"{seen.unexpected} calls were for instants at which nothing is due")
    accounted = final(observed.ledger)
    result.demand(accounted == seen.expected, f"the ledger has an end for {accounted} of {seen.expected} occurrences")


def report_usage(result: Result, used: Used) -> None:
    """Write down what the system used."""
    result.note(rss_mib=used.memory_mib, cpu_cores=sum(used.cores.values()))
    result.extra["cpu_cores_by_component"] = used.cores
    result.disturbed(used.other_cores)


def demand_all(result: Result, observed: Observed) -> None:
    """Where nothing may be lost: every occurrence was called, and is a success in the ledger."""
    seen, successes = observed.tally, observed.ledger.get("success", 0)
    result.demand(seen.lost == 0, f"{seen.lost} of {seen.expected} occurrences did not fire")
    result.demand(successes == seen.expected, f"the ledger has {successes} successes of {seen.expected}")


def wait_until_well(stage: Stage) -> None:
    """Leave a healthy system to whoever comes next."""
    deadline = time.monotonic() + _LONGEST_ILLNESS
    while ill := stage.stack.unwell():
        if time.monotonic() > deadline:
            raise MillraceError(f"not healthy again after {_LONGEST_ILLNESS} s: {', '.join(ill)}")
        time.sleep(0.5)


def utcnow() -> datetime:
    return datetime.now(timezone.utc)


def next_second(ahead: float = 1.0) -> datetime:
    """A whole second, at least `ahead` seconds from now."""
    return datetime.fromtimestamp(math.ceil(time.time() + ahead), timezone.utc)


def sleep_until(instant: datetime) -> None:
    time.sleep(max((instant - utcnow()).total_seconds(), 0))

"""What every scenario works with: a running system, its rows, a sink, and the steps that all measurements share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from bench.calls import Call, Tally, Window, occurrences, tally
from bench.result import Result
from bench.rows import NewJob, Rows, final
from bench.sink_process import Sink
from bench.stack import Say, Stack
from bench.usage import cores, cpu_time, memory_mib, other_cores
from include.errors import MillraceError
from include.model import Job

_SAMPLE_SECONDS = 10.0
_SETTLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Observed:
    """One window: what was due in it, what the sink saw of it, what the ledger says, what it cost."""

    window: Window
    tally: Tally
    calls: Sequence[Call]
    ledger: dict[str, int]
    memory_mib: float | None
    cores: dict[str, float]
    other_cores: float

    @property
    def seconds(self) -> float:
        return (self.window.end - self.window.start).total_seconds()


@dataclass
class Stage:
    """Where scenarios play. `jobs` is whatever they inserted, to be removed before the next one begins."""

    stack: Stack
    sink: Sink
    rows: Rows
    say: Say
    small: bool
    jobs: list[Job] = field(default_factory=list)

    def insert(self, wishes: Sequence[NewJob]) -> list[Job]:
        jobs = self.rows.insert(wishes)
        self.jobs += jobs
        return jobs

    def clear(self) -> None:
        self.rows.delete(self.jobs)
        self.jobs.clear()

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

    def wait_until_armed(self, jobs: Collection[Job], *, seconds: float, called: bool) -> float:
        """The seconds from now until every job has a run that waits in a triggerer; `called`: and has called once."""
        began = time.time()
        took = self.wait("jobs armed", lambda: len(self.rows.armed(jobs)), len(jobs), seconds=seconds)
        if called:
            took = max(took, max(self.wait_until_called(jobs, seconds=seconds).values()) - began)
        return took

    def wait_until_called(self, jobs: Collection[Job], *, seconds: float) -> dict[int, float]:
        """When each job called first, once all have."""
        self.wait("jobs have called", lambda: len(self._first_calls(jobs)), len(jobs), seconds=seconds)
        return self._first_calls(jobs)

    def _first_calls(self, jobs: Collection[Job]) -> dict[int, float]:
        firsts: dict[int, float] = {}
        for call in self.calls(jobs):
            firsts.setdefault(call.job_id, call.arrival)
        return firsts

    def observe(self, jobs: Collection[Job], seconds: float, *, start: datetime | None = None) -> Observed:
        """Watch what the jobs do from the next whole second on, or from `start`, and say how it went."""
        start = start or next_second()
        window = Window(start, start + timedelta(seconds=seconds))
        self.say(f"  watching for {seconds:g} s")
        sleep_until(window.start)
        before = cpu_time(self.stack.run)
        memory = [memory_mib(self.stack.run)]
        while (left := (window.end - utcnow()).total_seconds()) > 0:
            time.sleep(min(left, _SAMPLE_SECONDS))
            memory.append(memory_mib(self.stack.run))
        after = cpu_time(self.stack.run)
        expected = occurrences(jobs, window)
        ledger = self._settle(jobs, window, len(expected))
        calls = self.calls(jobs)
        known = [sample for sample in memory if sample is not None]
        compared = tally(expected, calls, window)
        used, others = cores(before, after), other_cores(before, after)
        return Observed(window, compared, calls, ledger, max(known, default=None), used, others)

    def _settle(self, jobs: Collection[Job], window: Window, expected: int) -> dict[str, int]:
        """What the ledger says when it has an end for every occurrence, or when it is too late for that."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while final(ledger := self.rows.ledger(jobs, window)) < expected and time.monotonic() < deadline:
            time.sleep(0.5)
        return ledger


def report(result: Result, jobs: Collection[Job], observed: Observed) -> None:
    """Write down what a window showed, and demand what holds at any speed: not early, not twice, all in the ledger."""
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
        rss_mib=observed.memory_mib,
        cpu_cores=sum(observed.cores.values()),
    )
    result.extra |= {
        "lateness_max_s": round(seen.lateness[-1], 3) if seen.lateness else None,
        "lost": seen.lost,
        "unexpected": seen.unexpected,
        "ledger_by_status": observed.ledger,
        "cpu_cores_by_component": observed.cores,
        "seconds": observed.seconds,
    }
    result.disturbed(observed.other_cores)
    result.demand(seen.expected > 0, "nothing was due, so nothing was measured")
    result.demand(seen.early == 0, f"{seen.early} calls came early")
    result.demand(seen.duplicates == 0, f"{seen.duplicates} calls came twice")
    result.demand(seen.unexpected == 0, f"{seen.unexpected} calls were for instants at which nothing is due")
    accounted = final(observed.ledger)
    result.demand(accounted == seen.expected, f"the ledger has an end for {accounted} of {seen.expected} occurrences")


def demand_all(result: Result, observed: Observed) -> None:
    """Where nothing may be lost: every occurrence was called, and is a success in the ledger."""
    seen, successes = observed.tally, observed.ledger.get("success", 0)
    result.demand(seen.lost == 0, f"{seen.lost} of {seen.expected} occurrences did not fire")
    result.demand(successes == seen.expected, f"the ledger has {successes} successes of {seen.expected}")


def utcnow() -> datetime:
    return datetime.now(timezone.utc)


def next_second(ahead: float = 1.0) -> datetime:
    """A whole second, at least `ahead` seconds from now."""
    return datetime.fromtimestamp(math.ceil(time.time() + ahead), timezone.utc)


def sleep_until(instant: datetime) -> None:
    time.sleep(max((instant - utcnow()).total_seconds(), 0))

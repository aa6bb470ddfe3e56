"""Edits among 1,000 rows: when does a changed payload, a pause or a new row take effect?"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from bench.calls import Call, percentile
from bench.result import Result
from bench.rows import NewJob
from bench.scenario import option
from bench.stage import Stage, demand_all, report
from include.errors import MillraceError
from include.model import Job


@dataclass(frozen=True)
class Options:
    jobs: int = option(1000, "rows that are there before")
    every: int = option(30, "seconds between two occurrences of such a row")
    edits: int = option(50, "rows whose payload is edited")
    pauses: int = option(20, "rows that are paused")
    new: int = option(20, "rows that are added, one a second")
    seconds: int = option(60, "seconds that are measured afterwards")


SMALL = Options(jobs=50, every=4, edits=5, pauses=2, new=2, seconds=10)
_LONGEST_ARMING = 900
_FEW = 1000  # among more rows, a new one may take longer
_GRACE_SECONDS = 1.0  # the old row may fire this long after the commit
_BETWEEN_EDITS = 0.1
_BETWEEN_NEW = 1.0
_LONGEST_NEW = 60.0
_POLL_SECONDS = 0.1


def run(stage: Stage, options: Options) -> Result:
    result = Result("edit")
    stage.say(f"{options.jobs} jobs every {options.every} s")
    url, every = f"{stage.sink.url}/old", timedelta(seconds=options.every)
    jobs = stage.rows.insert([NewJob(f"edit {number}", url, every=every) for number in range(options.jobs)])
    armed = stage.wait_until_armed(jobs, seconds=_LONGEST_ARMING)
    stage.wait_until_at_rest(jobs)
    edited, paused = jobs[: options.edits], jobs[options.edits : options.edits + options.pauses]
    stage.say(f"  {options.edits} edits, {options.pauses} pauses, {options.new} new rows")
    edited_at, paused_at = _edit(stage, edited), _pause(stage, paused)
    added = _add(stage, options.new)
    seconds_to_armed = [new.armed for new in added]
    unpaused = [*edited, *jobs[options.edits + options.pauses :]]
    observed = stage.observe(unpaused, options.seconds)
    calls = stage.calls(jobs)
    stale = _late_for(calls, edited_at, path="/old") + _late_for(calls, paused_at)
    p95 = percentile(seconds_to_armed, 0.95)
    report(result, unpaused, observed)
    demand_all(result, observed)
    result.note(jobs=len(jobs) + options.new, armed_s=armed, edit_p95_s=p95)
    result.extra |= {"stale_fires": stale, "new_rows": [asdict(new) for new in added]}
    result.demand(stale == 0, f"{stale} calls were made with the old row more than {_GRACE_SECONDS:g} s after the edit")
    new_path = {call.job_id for call in calls if call.path == "/new"}
    unseen = len(edited_at.keys() - new_path)
    result.demand(unseen == 0, f"{unseen} edited jobs never called the new path")
    result.aim(stale == 0, f"{stale} calls with the old row after {_GRACE_SECONDS:g} s (0)")
    most = 6 if options.jobs <= _FEW else 10
    result.aim(p95 is not None and p95 <= most, f"new row to armed p95 {p95 or 0:.1f} s (at most {most} s)")
    return result


def _edit(stage: Stage, jobs: Collection[Job]) -> dict[int, float]:
    """When each job's new payload was committed."""
    committed: dict[int, float] = {}
    for job in jobs:
        stage.rows.change_url(job, f"{stage.sink.url}/new")
        committed[job.id] = time.time()
        time.sleep(_BETWEEN_EDITS)
    return committed


def _pause(stage: Stage, jobs: Collection[Job]) -> dict[int, float]:
    """When each job's pause was committed."""
    committed: dict[int, float] = {}
    for job in jobs:
        stage.rows.pause(job)
        committed[job.id] = time.time()
        time.sleep(_BETWEEN_EDITS)
    return committed


def _late_for(calls: Collection[Call], committed: Mapping[int, float], path: str | None = None) -> int:
    """How many calls came too long after their row's edit, and (`path`) still as before it."""
    return sum(
        call.arrival > committed[call.job_id] + _GRACE_SECONDS
        for call in calls
        if call.job_id in committed and path in (None, call.path)
    )


@dataclass(frozen=True)
class _Added:
    """One new row: the seconds from its commit to its DAG, and to being armed and having called."""

    dag: float
    armed: float


def _add(stage: Stage, count: int) -> list[_Added]:
    """Insert rows one by one, and see how long each takes."""
    began = time.monotonic()
    jobs: list[Job] = []
    committed: dict[int, float] = {}
    parsed: dict[str, float] = {}
    armed: dict[int, float] = {}
    while len(armed) < count:
        if len(jobs) < count and time.monotonic() - began >= len(jobs) * _BETWEEN_NEW:
            name, url = f"edit new {len(jobs)}", f"{stage.sink.url}/added"
            jobs += stage.rows.insert([NewJob(name, url, every=timedelta(seconds=1))])
            committed[jobs[-1].id] = time.time()
        for job_id in stage.rows.armed([job for job in jobs if job.id not in armed]):
            armed[job_id] = time.time()
        for dag_id in stage.rows.dags([job.dag_id for job in jobs if job.dag_id not in parsed]):
            parsed[dag_id] = time.time()
        if time.monotonic() - began > count * _BETWEEN_NEW + _LONGEST_NEW:
            raise MillraceError(f"only {len(armed)} of {count} new rows were armed after {_LONGEST_NEW:g} s")
        time.sleep(_POLL_SECONDS)
    called = stage.wait_until_called(jobs, seconds=_LONGEST_NEW)
    return [
        _Added(
            round(parsed.get(job.dag_id, armed[job.id]) - committed[job.id], 2),
            round(max(armed[job.id], called[job.id]) - committed[job.id], 2),
        )
        for job in jobs
    ]

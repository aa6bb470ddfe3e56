"""The metrics by name, as Prometheus reads them; docs/operations.md says what each is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from include.api.openapi import VERSION
from include.shifts.unfired import Unfired
from include.store.health import Sign
from include.store.metrics import Airflow, Ended, Readings, Row, Totals
from include.store.watchdog import WHATS

_STATUSES = {
    "job": ("success", "failed", "skipped", "missed", "cancelled"),
    "timer": ("fired", "failed", "cancelled"),
}
_SHIFTS = ("job", "connector", "workflow", "timer")
_JOB_STATES = ("active", "failing", "paused", "error")
_CONNECTOR_STATES = ("active", "failing", "paused", "error")
_WORKFLOW_STATES = ("active", "stopped", "paused", "error")


def families(
    readings: Readings, signs: Mapping[str, Sign], now: datetime, oldest: Unfired | None, scrape_seconds: float
) -> Iterator[Metric]:
    """All metrics. Whatever is counted by state or status has a value, be it 0, for each that there is."""
    yield from _ended(readings.totals, readings.bounds)
    yield from _jobs(readings, oldest)
    yield from _timers(readings)
    yield from _records(readings)
    yield _by("dead_letters", "What has failed for good and waits for a person.", "source", readings.dead_letters)
    yield _by("warnings", "Warnings of the watchdog that are open.", "what", readings.warnings, WHATS)
    yield _by("rows", "About how many rows each table has.", "table", readings.rows)
    yield from _airflow(readings.airflow, readings.built_seconds)
    yield from _components(signs, now)
    yield _gauge("up", "1: the database answers, and all of this is from it.", 1)
    yield _gauge("scrape_duration_seconds", "How long it took to read all of this.", scrape_seconds)
    versions = {"version": VERSION, "airflow": version("apache-airflow-core")}
    yield InfoMetricFamily("millrace_build", "What runs here.", value=versions)


def _ended(totals: Totals, bounds: Sequence[float]) -> Iterator[Metric]:
    executions = CounterMetricFamily(
        "millrace_executions", "Executions and timers that have ended.", labels=("source", "status")
    )
    attempts = CounterMetricFamily("millrace_attempts", "Attempts at what has ended.", labels=("source",))
    lateness = HistogramMetricFamily(
        "millrace_lateness_seconds", "How late the first attempt at what has ended began.", labels=("source",)
    )
    for source, statuses in _STATUSES.items():
        own = [(status, late, ended) for (of, status, late), ended in totals.items() if of == source]
        for status in statuses:
            executions.add_metric((source, status), sum(ended.ended for of, _, ended in own if of == status))
        attempts.add_metric((source,), sum(ended.attempts for _, _, ended in own))
        begun = [(late, ended) for _, late, ended in own if late > 0]
        late_seconds = float(sum(ended.late_seconds for _, ended in begun))
        lateness.add_metric((source,), _buckets(begun, bounds), late_seconds)
    yield from (executions, attempts, lateness)


def _buckets(begun: Sequence[tuple[int, Ended]], bounds: Sequence[float]) -> list[tuple[str, float]]:
    """How many were at most as late as each bound; `late` 1 is what was below the first."""
    names = (*map(str, bounds), "+Inf")
    return [
        (name, sum(ended.ended for late, ended in begun if late <= place)) for place, name in enumerate(names, start=1)
    ]


def _jobs(readings: Readings, oldest: Unfired | None) -> Iterator[Metric]:
    rows = readings.each_job
    failing = [row for row in rows if row["failures"] > 0]
    yield _by("jobs", "Jobs by state.", "state", readings.jobs, _JOB_STATES)
    yield _each("job_failing", "Failed executions in a row, of jobs that fail.", "job_id", failing, "failures")
    yield _each("job_last_success_timestamp_seconds", "When a job last succeeded.", "job_id", rows, "succeeded_at")
    yield _gauge(
        "oldest_due_unfired_seconds",
        "How long ago the oldest occurrence was due that nobody has begun; 0 if there is none.",
        0 if oldest is None else oldest.late_seconds,
    )


def _timers(readings: Readings) -> Iterator[Metric]:
    yield _gauge("timers_pending", "Timers that wait.", readings.timers["pending"])
    late = "How long ago the oldest pending timer should have been sent; 0 if none is late."
    yield _gauge("timer_oldest_due_seconds", late, readings.timers["late_seconds"])


def _records(readings: Readings) -> Iterator[Metric]:
    yield _by("connectors", "Connectors by state.", "state", readings.connectors, _CONNECTOR_STATES)
    rows, label = readings.each_connector, "connector_id"
    yield _each("connector_failures", "Failed pulls in a row.", label, rows, "failures")
    yield _each("connector_head", "The position of the newest record.", label, rows, "head")
    yield _each("connector_pull_age_seconds", "Seconds since the last pull.", label, rows, "pulled_seconds")
    yield _by("workflows", "Workflows by state.", "state", readings.workflows, _WORKFLOW_STATES)
    rows, label = readings.each_workflow, "workflow_id"
    yield _each("workflow_lag_records", "Records ahead of a workflow.", label, rows, "behind")
    yield _each("workflow_lag_seconds", "How long the oldest of these waits.", label, rows, "behind_seconds")
    yield _each("workflow_watermark_age_seconds", "Seconds since it last moved.", label, rows, "moved_seconds")


def _airflow(known: Airflow | None, built_seconds: float | None) -> Iterator[Metric]:
    if known is not None:
        yield _by("shifts_on_duty", "Shifts on duty in a live triggerer.", "table", known.shifts, _SHIFTS)
        refreshed = "Seconds since Airflow last refreshed the bundle."
        yield _gauge("bundle_refresh_age_seconds", refreshed, known.refreshed_seconds)
    yield _gauge("shard_build_age_seconds", "Seconds since a file of DAGs was last built.", built_seconds)


def _components(signs: Mapping[str, Sign], now: datetime) -> Iterator[Metric]:
    alive = {name: int(sign.is_alive) for name, sign in signs.items()}
    yield _by("component_up", "Whether a component of Airflow is alive.", "component", alive)
    silent = {
        name: (now - sign.heartbeat_at).total_seconds() for name, sign in signs.items() if sign.heartbeat_at is not None
    }
    yield _by("component_heartbeat_age_seconds", "Seconds since its last sign of life.", "component", silent)


def _gauge(name: str, about: str, value: float | None) -> GaugeMetricFamily:
    """One value; none if it is not known."""
    made = GaugeMetricFamily(f"millrace_{name}", about)
    if value is not None:
        made.add_metric((), value)
    return made


def _by(name: str, about: str, label: str, values: Mapping[str, float], every: Iterable[str] = ()) -> GaugeMetricFamily:
    """A value for each key; 0 for each of `every` that has none."""
    made = GaugeMetricFamily(f"millrace_{name}", about, labels=(label,))
    for key, value in {**dict.fromkeys(every, 0), **values}.items():
        made.add_metric((key,), value)
    return made


def _each(name: str, about: str, label: str, rows: Iterable[Row], column: str) -> GaugeMetricFamily:
    """A column of each row in which it has a value, by the row's id."""
    return _by(name, about, label, {str(row["id"]): row[column] for row in rows if row[column] is not None})

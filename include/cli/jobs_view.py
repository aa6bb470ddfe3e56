"""Jobs and executions as they are shown: documents for scripts, cells for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from include.cli.output import Cell, status_cell
from include.cli.retry_options import spell_retries
from include.documents.execution import code, duration, lateness
from include.documents.state import state
from include.fires import next_fires
from include.model import Job
from include.store.edits import Row
from include.store.rows import job_from_row
from include.times import spell_duration, spell_instant

# How the row is kept in order is nobody's business but the machinery's.
_INTERNAL = (
    "schedule_revision",
    "schedule_changed_at",
    "last_scheduled_for",
    "last_status",
    "last_reason",
    "last_error",
)

LIST_HEADERS = ("id", "name", "kind", "schedule", "state", "last", "when (UTC)", "next (UTC)")
EXECUTION_HEADERS = (
    "scheduled for (UTC)",
    "status",
    "reason",
    "attempt",
    "started (UTC)",
    "late ms",
    "took",
    "code",
    "error",
)


def job_document(row: Row, now: datetime) -> dict[str, Any]:
    """Every column of a job, and what follows from them."""
    job = job_from_row(row)
    columns = {name: value for name, value in row.items() if name not in _INTERNAL}
    return {**columns, "dag_id": job.dag_id, "schedule": _describe(job), "state": state(row, now).partition(" ")[0]}


def listed_document(row: Row, now: datetime) -> dict[str, Any]:
    """A job of a list: `last` is its newest execution, `next` when it fires next; null where there is none."""
    names = ("scheduled_for", "status", "reason", "error")
    last = None if row["last_status"] is None else {name: row[f"last_{name}"] for name in names}
    fires = next_fires(job_from_row(row), now, 1)
    return {**job_document(row, now), "last": last, "next": fires[0] if fires else None}


def listed_cells(row: Row, now: datetime) -> list[Cell | str]:
    job = job_from_row(row)
    fires = next_fires(job, now, 1)
    return [
        str(job.id),
        job.name,
        job.kind,
        _describe(job),
        status_cell(state(row, now)),
        status_cell(row["last_status"] or ""),
        spell_instant(row["last_scheduled_for"]),
        spell_instant(fires[0] if fires else None),
    ]


def execution_document(row: Row) -> dict[str, Any]:
    """An execution with all its attempts; `lateness` is that of its first attempt."""
    return {**row, "lateness": lateness(row), "duration": duration(row), "code": code(row)}


def execution_cells(row: Row) -> list[Cell | str]:
    late, took, last_code = lateness(row), duration(row), code(row)
    return [
        spell_instant(row["scheduled_for"]),
        status_cell(row["status"]),
        row["reason"] or "",
        str(row["attempt"]),
        _started(row),
        "" if late is None else f"{late.total_seconds() * 1000:.0f}",
        "" if took is None else spell_duration(_rounded(took)),
        "" if last_code is None else str(last_code),
        Cell(_error(row), "red"),
    ]


def described(row: Row, now: datetime) -> list[tuple[str, Cell]]:
    """A job's columns for people, in an order that tells a story."""
    job = job_from_row(row)
    window = [f"from {spell_instant(row['starts_at'])} UTC"] if row["starts_at"] else []
    window += [f"before {spell_instant(row['ends_at'])} UTC"] if row["ends_at"] else []
    lines: list[tuple[str, Cell | str]] = [
        ("id", f"{job.id} (DAG {job.dag_id})"),
        ("name", job.name),
        ("kind", job.kind),
        ("owner", job.owner),
        ("state", status_cell(state(row, now))),
        ("schedule", _describe(job)),
        ("time zone", job.schedule.timezone),
        ("window", " ".join(window) or "always"),
        ("jitter", spell_duration(job.schedule.jitter)),
        ("overlap", job.overlap),
        ("misfire", f"{job.misfire}, at most {spell_duration(job.max_lateness)} late"),
        ("retries", spell_retries(job.retry)),
        ("timeout", spell_duration(job.timeout)),
        ("delivery", job.delivery),
        ("disabled", _breaker(job)),
        ("created", f"{spell_instant(row['created_at'])} UTC"),
        ("updated", f"{spell_instant(row['updated_at'])} UTC, revision {job.revision}"),
    ]
    return [(label, cell if isinstance(cell, Cell) else Cell(cell)) for label, cell in lines]


def failing(health: Row) -> str:
    """Its failures in a row, in words."""
    text = f"{health['failures']} in a row, since {spell_instant(health['failing_since'])} UTC: {health['last_error']}"
    return f"{text}; disabled: {health['disabled_reason']}" if health["disabled_at"] is not None else text


def _breaker(job: Job) -> str:
    """When failures take the job off duty."""
    if job.disable_after is None:
        return "never by itself"
    probed = f", then probed every {spell_duration(job.probe_every)}" if job.half_open else ""
    return f"after {job.disable_after} failures in a row{probed}"


def _describe(job: Job) -> str:
    return job.schedule.describe()


def _started(row: Row) -> str:
    """On the day for which it was scheduled, as nearly always, without the date."""
    date, _, time = spell_instant(row["started_at"]).partition(" ")
    return time if spell_instant(row["scheduled_for"]).startswith(date) else f"{date} {time}"


def _error(row: Row) -> str:
    if row["error"] or not isinstance(row["attempts"], list) or not row["attempts"]:
        return row["error"] or ""
    last = row["attempts"][-1]
    return str(last.get("error", "")) if isinstance(last, dict) else str(last)


def _rounded(length: timedelta) -> timedelta:
    """To the millisecond, and above a minute to the second."""
    unit = timedelta(seconds=1) if length >= timedelta(minutes=1) else timedelta(milliseconds=1)
    return round(length / unit) * unit

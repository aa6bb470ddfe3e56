"""Connectors and records as they are shown: documents for scripts, cells for people."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from include.cli.output import Cell, status_cell
from include.documents.state import pull_state
from include.store.edits import Row
from include.store.rows import connector_from_row
from include.times import spell_duration, spell_instant

# How the row is kept in order is nobody's business but the machinery's.
_INTERNAL = ("schedule_revision", "schedule_changed_at")
_EXCERPT = 120
_LIMITED = "rate-limited"

LIST_HEADERS = ("id", "name", "kind", "every", "state", "head", "pulled (UTC)", "failures")
RECORD_HEADERS = ("position", "key", "stored (UTC)", "payload")
READER_HEADERS = ("id", "workflow", "owner", "position", "lag", "behind", "dead letters", "state")


def connector_document(row: Row, now: datetime) -> dict[str, Any]:
    """Every column of a connector, and what follows from them."""
    connector = connector_from_row(row)
    columns = {name: value for name, value in row.items() if name not in _INTERNAL}
    return {**columns, "dag_id": connector.dag_id, "state": pull_state(row, now).partition(" ")[0]}


def listed_cells(row: Row, now: datetime) -> list[Cell | str]:
    return [
        str(row["id"]),
        row["name"],
        row["kind"],
        _every(row["every"]),
        Cell("waits") if pull_state(row, now).startswith(_LIMITED) else _state_cell(row, now),
        str(row["head"]),
        _to_the_second(row["pulled_at"]),
        str(row["failures"] or ""),
    ]


def remarks(row: Row, now: datetime) -> list[str]:
    """What a list says beside its table: until when a connector waits, and what went wrong."""
    said = pull_state(row, now)
    wait = f"{said} UTC" if said.startswith(_LIMITED) else None
    return [remark for remark in (wait, trouble(row)) if remark is not None]


def trouble(row: Row) -> str | None:
    """Why the connector cannot run, or else what went wrong at its last pull."""
    found: str | None = row["error"] or row["last_error"]
    return found


def described(row: Row, now: datetime) -> list[tuple[str, Cell]]:
    """A connector's columns for people, in an order that tells a story."""
    connector = connector_from_row(row)
    head = str(row["head"]) + (f", stored {spell_instant(row['head_at'])} UTC" if row["head_at"] else "")
    pulled = f"{spell_instant(row['pulled_at'])} UTC" if row["pulled_at"] else "not yet"
    failing = f", failing since {spell_instant(connector.failing_since)} UTC" if connector.failing_since else ""
    alert = f"{connector.alert_after} failures" + (f", by {connector.notify.get('kind')}" if connector.notify else "")
    lines: list[tuple[str, Cell | str]] = [
        ("id", f"{connector.id} (DAG {connector.dag_id})"),
        ("name", connector.name),
        ("kind", connector.kind),
        ("owner", connector.owner),
        ("state", _state_cell(row, now)),
        ("every", _every(connector.every) or "not by itself"),
        ("dedupe", row["dedupe"]),
        ("rate limit", connector.rate_limit or "none"),
        ("budget", connector.budget or "none"),
        ("timeout", spell_duration(connector.timeout)),
        ("alert after", alert),
        ("head", head),
        ("cursor", spell_cursor(connector.cursor)),
        ("pulled", pulled),
        ("failures", f"{connector.failures}{failing}"),
        ("created", f"{spell_instant(row['created_at'])} UTC"),
        ("updated", f"{spell_instant(row['updated_at'])} UTC, revision {connector.revision}"),
    ]
    return [(label, cell if isinstance(cell, Cell) else Cell(cell)) for label, cell in lines]


def record_cells(row: Row) -> list[Cell | str]:
    version = f" (version {row['version']})" if row["version"] > 1 else ""
    return [
        str(row["position"]),
        excerpt(row["key"]) + version,
        spell_instant(row["created_at"]),
        excerpt(_compact(row["payload"])),
    ]


def reader_cells(row: Row) -> list[Cell | str]:
    stopped = f"stopped at {row['stopped_at']}" if row["stopped_at"] is not None else None
    return [
        str(row["workflow_id"]),
        row["name"],
        row["owner"],
        str(row["position"]),
        str(row["lag_records"]),
        spell_duration(timedelta(seconds=round(row["lag_seconds"]))) if row["lag_records"] else "",
        str(row["dead_letters"] or ""),
        Cell(stopped, "red") if stopped else status_cell("active" if row["is_active"] else "paused"),
    ]


def spell_cursor(cursor: Any) -> str:
    return "none: from the beginning" if cursor is None else _compact(cursor)


def excerpt(text: str) -> str:
    """As much of a text as a table can bear; all of it is in the JSON."""
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _state_cell(row: Row, now: datetime) -> Cell:
    spelt = pull_state(row, now)
    return Cell(spelt, "red") if spelt.startswith("failing") else status_cell(spelt)


def _to_the_second(instant: datetime | None) -> str:
    return "" if instant is None else spell_instant(instant.replace(microsecond=0))


def _every(every: timedelta | None) -> str:
    return "" if every is None else spell_duration(every)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

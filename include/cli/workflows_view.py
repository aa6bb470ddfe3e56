"""Workflows and how far they are, as they are shown: documents for scripts, cells for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from include.cli.output import Cell, note, status_cell
from include.cli.retry_options import spell_retries
from include.documents.watermark import state
from include.fires import next_fires
from include.store.edits import Row
from include.store.rows import workflow_from_row
from include.times import spell_duration, spell_instant

# How the row is kept in order is nobody's business but the machinery's.
_INTERNAL = ("schedule_revision", "schedule_changed_at")
_STOPPED = "stopped"

LIST_HEADERS = ("id", "name", "owner", "connector", "kind", "schedule", "state", "lag", "behind", "dead", "next (UTC)")
LAG_HEADERS = (
    "id",
    "workflow",
    "owner",
    "connector",
    "position",
    "head",
    "lag",
    "behind",
    "processed",
    "failed",
    "dead",
    "state",
)


def workflow_document(row: Row, now: datetime) -> dict[str, Any]:
    """Every column of a workflow, how far it is, and what follows from them."""
    workflow = workflow_from_row(row)
    columns = {name: value for name, value in row.items() if name not in _INTERNAL}
    fires = next_fires(workflow, now, 1)
    described = {"dag_id": workflow.dag_id, "schedule": workflow.schedule.describe(), "state": _state_word(row, now)}
    return {**columns, **described, "next": fires[0] if fires else None}


def lag_document(row: Row, now: datetime) -> dict[str, Any]:
    """How far a workflow is: `lag_records` and `lag_seconds` are null before it has begun."""
    return {**row, "state": _state_word(row, now)}


def listed_cells(row: Row, now: datetime) -> list[Cell | str]:
    workflow = workflow_from_row(row)
    fires = next_fires(workflow, now, 1)
    return [
        str(workflow.id),
        workflow.name,
        workflow.owner,
        workflow.connector_name,
        workflow.kind,
        workflow.schedule.describe(),
        _state_cell(row, now),
        *_lag_cells(row),
        _dead_cell(row),
        spell_instant(fires[0] if fires else None),
    ]


def lag_cells(row: Row, now: datetime) -> list[Cell | str]:
    position = str(row["position"]) if row["begun"] else ""
    return [
        str(row["workflow_id"]),
        row["name"],
        row["owner"],
        row["connector"],
        position,
        str(row["head"]),
        *_lag_cells(row),
        str(row["processed"]),
        str(row["failed"]),
        _dead_cell(row),
        _state_cell(row, now),
    ]


def described(row: Row, now: datetime) -> list[tuple[str, Cell]]:
    """A workflow's columns for people, in an order that tells a story."""
    workflow = workflow_from_row(row)
    lines: list[tuple[str, Cell | str]] = [
        ("id", f"{workflow.id} (DAG {workflow.dag_id})"),
        ("name", workflow.name),
        ("kind", workflow.kind),
        ("owner", workflow.owner),
        ("connector", f"{workflow.connector_name} ({workflow.connector_id})"),
        ("state", _state_cell(row, now)),
        ("schedule", f"{workflow.schedule.describe()}, begun at {spell_instant(workflow.started_at)} UTC"),
        ("from", row["start_from"]),
        ("filter", row["filter"] or "none: every record"),
        ("batch size", str(workflow.batch_size)),
        ("on error", workflow.on_error),
        ("retries", spell_retries(workflow.retry)),
        ("timeout", spell_duration(workflow.timeout)),
        ("created", f"{spell_instant(row['created_at'])} UTC"),
        ("updated", f"{spell_instant(row['updated_at'])} UTC, revision {workflow.revision}"),
        ("watermark", _where(row)),
        ("processed", f"{row['processed']}, and {row['failed']} failed"),
    ]
    return [(label, cell if isinstance(cell, Cell) else Cell(cell)) for label, cell in lines]


def tell_troubles(rows: Sequence[Row]) -> None:
    """On stderr, a line for each workflow that needs a person."""
    for row in rows:
        if (trouble := trouble_of(row)) is not None:
            note(f"workflow {row.get('workflow_id', row.get('id'))} ({row['name']}): {trouble}")


def trouble_of(row: Row) -> str | None:
    """Why it does not run, and where it has stopped, what to do; None if all is well."""
    if row["error"] is not None:
        return str(row["error"])
    if row["stopped_at"] is None:
        return None
    workflow_id = row.get("workflow_id", row.get("id"))
    return (
        f"stopped at record {row['stopped_at']}: {row['stopped_by']}; `./millrace workflows retry {workflow_id}` tries "
        f"it again, `./millrace workflows skip {workflow_id}` goes on after it"
    )


def _state_word(row: Row, now: datetime) -> str:
    return state(row, now).partition(" ")[0]


def _state_cell(row: Row, now: datetime) -> Cell:
    said = state(row, now)
    return Cell(said, "bold red") if said == _STOPPED else status_cell(said)


def _lag_cells(row: Row) -> list[Cell | str]:
    if row["lag_records"] is None:
        return ["", ""]
    return [str(row["lag_records"]), _behind(row)]


def _behind(row: Row) -> str:
    """To the second, and below ten to the tenth."""
    seconds = row["lag_seconds"]
    return spell_duration(timedelta(seconds=round(seconds, 1 if seconds < 10 else None))) if seconds else ""


def _dead_cell(row: Row) -> Cell:
    return Cell(str(row["dead_letters"]), "red" if row["dead_letters"] else "")


def _where(row: Row) -> str:
    if not row["begun"]:
        return "has not begun"
    behind = f"{row['lag_records']} records ahead, the oldest {_behind(row)} old" if row["lag_records"] else "caught up"
    return f"{row['position']} of {row['head']}, {behind}"

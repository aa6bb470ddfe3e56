"""Timers as they are shown: documents for scripts, cells for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from include.cli.output import Cell
from include.cli.retry_options import spell_retries
from include.documents.timer import lateness
from include.store.edits import Row
from include.store.rows import timer_from_row
from include.store.timers import time_left
from include.times import spell_duration, spell_instant

LIST_HEADERS = ("id", "owner", "status", "due (UTC)", "time left", "attempt", "fired (UTC)", "late ms", "host", "error")

_STYLES = {"pending": "", "firing": "cyan", "fired": "green", "failed": "red", "cancelled": "dim"}


def listed_cells(row: Row, now: datetime) -> list[Cell | str]:
    late = lateness(row)
    return [
        str(row["id"]),
        row["owner"],
        _status_cell(row),
        spell_instant(row["due_at"]),
        spell_left(row, now),
        str(row["attempt"]),
        spell_instant(row["fired_at"]),
        "" if late is None else f"{late.total_seconds() * 1000:.0f}",
        urlsplit(row["url"]).netloc,
        Cell(row["error"] or "", "red"),
    ]


def described(row: Row, now: datetime) -> list[tuple[str, Cell]]:
    """A timer's columns for people, in an order that tells a story."""
    due = f"{spell_instant(row['due_at'])} UTC"
    again = row["status"] == "pending" and row["attempt"] > 0
    lines: list[tuple[str, Cell | str]] = [
        ("id", str(row["id"])),
        ("owner", row["owner"]),
        ("status", _status_cell(row)),
        ("reason", row["reason"] or ""),
        ("due", due),
        ("time left", spell_left(row, now) + (" until it is sent again" if again else "")),
        ("call", f"{row['method']} {row['url']}"),
        ("headers", ", ".join(f"{name}: {value}" for name, value in row["headers"].items())),
        ("signed by", row["conn_id"] or ""),
        ("retries", spell_retries(timer_from_row(row).retry)),
        ("timeout", spell_duration(row["timeout"])),
        ("delivery", row["delivery"]),
        ("created", f"{spell_instant(row['created_at'])} UTC"),
        ("fired", f"{spell_instant(row['fired_at'])} UTC" if row["fired_at"] else ""),
        ("finished", f"{spell_instant(row['finished_at'])} UTC" if row["finished_at"] else ""),
        ("error", Cell(row["error"] or "", "red")),
    ]
    cells = [(label, cell if isinstance(cell, Cell) else Cell(cell)) for label, cell in lines]
    return [(label, cell) for label, cell in cells if cell.text]


def _status_cell(row: Row) -> Cell:
    return Cell(row["status"], _STYLES[row["status"]])


def spell_left(row: Row, now: datetime) -> str:
    """The time left, to the second and rounded up: what is not due yet has some."""
    left = time_left(row, now)
    return "" if left is None else spell_duration(timedelta(seconds=-(-left // timedelta(seconds=1))))

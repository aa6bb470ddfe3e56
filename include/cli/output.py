"""What commands print: tables and lines for people, one JSON document for scripts.

Colours, lines folded to the window and long names cut short are for terminals. Into a pipe or a file goes plain text of
any width, in which nothing is left out.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

_STYLES = {"success": "green", "failed": "red", "error": "bold red", "retrying": "yellow", "running": "cyan"}
_NAMES = frozenset({"name", "job", "connector", "workflow"})
_LONGEST_NAME = 60
_FAINT = ("missed", "skipped", "cancelled", "paused")


class Cell(NamedTuple):
    text: str
    style: str = ""


def status_cell(status: str) -> Cell:
    """A status or a state in its colour."""
    return Cell(status, _STYLES.get(status, "dim" if status.startswith(_FAINT) else ""))


def print_json(document: object) -> None:
    """One document: instants in ISO 8601 and UTC, durations in seconds."""
    print(json.dumps(document, indent=2, default=_spell))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Cell | str]]) -> None:
    cells = [[_clean(cell if isinstance(cell, Cell) else Cell(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _print_rich(headers, cells)
        return
    widths = [
        max(len(row[place].text) for row in [[Cell(h) for h in headers], *cells]) for place in range(len(headers))
    ]
    for row in [[Cell(header) for header in headers], *cells]:
        print("  ".join(cell.text.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_line(text: str = "", style: str = "") -> None:
    """A line for people, on stdout; what it says is never read as markup."""
    if style and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        Console().print(Text(_clean(Cell(text)).text, style), soft_wrap=True)
        return
    print(_clean(Cell(text)).text)


def note(text: str) -> None:
    """A remark beside the result, on stderr, so that it is in nobody's way."""
    print(_clean(Cell(text)).text, file=sys.stderr)


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        # Where the window is narrow, names and errors are folded, and instants stay in one piece.
        table.add_column(header, overflow="fold", no_wrap=header.endswith("(UTC)"))
    for row in rows:
        table.add_row(*(Text(_cut(header, cell.text), cell.style) for header, cell in zip(headers, row, strict=True)))
    Console().print(table)


def _cut(header: str, text: str) -> str:
    """A name that is too long for a table cut short: it would take the room that all others need."""
    return f"{text[: _LONGEST_NAME - 1]}…" if header in _NAMES and len(text) > _LONGEST_NAME else text


def _clean(cell: Cell) -> Cell:
    """In one line, and without characters that steer a terminal: names and errors come from anywhere."""
    text = " ".join(cell.text.splitlines())
    return Cell(
        "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) == "Cc" else c for c in text), cell.style
    )


def _spell(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"{type(value).__name__} has no form in JSON")

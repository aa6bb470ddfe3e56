"""Attempts as commands show them, whatever plain SQL has put among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from include.cli.output import Cell
from include.documents.attempt import lines_of
from include.times import spell_duration, spell_instant

ATTEMPT_HEADERS = ("attempt", "at (UTC)", "took", "code", "error", "request")


def attempt_rows(attempts: Any) -> Sequence[Sequence[Cell | str]]:
    """A line for each attempt; what is none has its text in the place of an error."""
    return [_cells(attempt) for attempt in (attempts if isinstance(attempts, list) else [attempts])]


def _cells(attempt: Any) -> list[Cell | str]:
    if not isinstance(attempt, Mapping):
        return ["", "", "", "", Cell(str(attempt), "red"), ""]
    return [
        str(attempt.get("attempt", "")),
        _instant(attempt.get("at")),
        _duration(attempt.get("ms")),
        str(attempt.get("code", "")),
        Cell(str(attempt.get("error", "")), "red"),
        "; ".join(lines_of(attempt.get("request"))),
    ]


def _instant(written: Any) -> str:
    try:
        return "" if written is None else spell_instant(datetime.fromisoformat(written))
    except (TypeError, ValueError, OverflowError):
        return str(written)


def _duration(ms: Any) -> str:
    try:
        return "" if ms is None else spell_duration(timedelta(milliseconds=round(ms)))
    except (TypeError, ValueError, OverflowError):
        return str(ms)

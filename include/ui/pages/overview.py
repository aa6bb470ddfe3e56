"""How everything is doing, on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from include.documents.stats import MOST_DEAD_LETTERS
from include.times import utcnow
from include.ui.page import PageApi, draw, page_router
from include.ui.templates import number

router = page_router()


@dataclass(frozen=True, slots=True)
class _Range:
    """What the page looks back at; at most some hundred points are drawn."""

    label: str
    length: timedelta
    step: str


_RANGES = {
    "1h": _Range("last hour", timedelta(hours=1), "minute"),
    "6h": _Range("last 6 hours", timedelta(hours=6), "minute"),
    "24h": _Range("last 24 hours", timedelta(days=1), "hour"),
    "7d": _Range("last 7 days", timedelta(days=7), "hour"),
    "30d": _Range("last 30 days", timedelta(days=30), "day"),
}
_USUAL = "24h"
_EXECUTED = ("success", "failed")
_PER = (("s", 1), ("min", 60), ("h", 3600), ("day", 86400))
_WHOLE = 100
_WARNINGS = 20
# What goes well is drawn at the bottom; a status that is not here yet has its place above the others.
_COLOURS = {"success": "good", "skipped": "quiet", "missed": "warn", "cancelled": "odd", "failed": "bad"}


@router.get("/")
async def overview_page(request: Request, api: PageApi, range: str = _USUAL) -> Response:
    """What needs attention, totals, what became of what was due, lateness, lag, what is next, and what fails now."""
    chosen = range if range in _RANGES else _USUAL
    looked = _RANGES[chosen]
    now = utcnow()
    stats = await api.get("/stats", since=(now - looked.length).isoformat(), until=now.isoformat(), step=looked.step)
    warnings = await api.get("/warnings", limit=_WARNINGS)
    by_status = stats["executions"]["by_status"]
    return draw(
        request,
        "overview.html",
        stats=stats,
        warnings=warnings,
        by_status=by_status,
        since=stats["since"].partition(":00Z")[0],
        rate=_rate(sum(by_status.get(status, 0) for status in _EXECUTED), looked.length),
        waiting=_waiting(stats["dead_letters"]),
        executions=_executions(stats["series"]),
        lateness=_lateness(stats["series"]),
        ranges=_RANGES,
        chosen=chosen,
        is_empty=not any(stats[rows]["total"] for rows in ("jobs", "connectors", "workflows"))
        and not any(stats["timers"].values()),
    )


def _rate(count: int, length: timedelta) -> str:
    """How many in which time, such that the number is at least one where that can be."""
    per_second = count / length.total_seconds()
    unit, seconds = next((one for one in _PER if per_second * one[1] >= 1), _PER[-1])
    found = per_second * seconds
    return f"{number(found) if found >= _WHOLE else f'{found:.3g}'}/{unit}"


def _waiting(letters: Mapping[str, int]) -> str:
    """How many dead letters there are; of each source, so many are counted at most."""
    return number(sum(letters.values())) + ("+" if MOST_DEAD_LETTERS in letters.values() else "")


def _executions(series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many were due in each step, by what became of them, as a chart's data."""
    found = {status for point in series for status in point["executions"]}
    ordered = [*(status for status in _COLOURS if status in found), *sorted(found - set(_COLOURS))]
    return {
        "at": _instants(series),
        "series": [
            {
                "name": status,
                "colour": _COLOURS.get(status, "quiet"),
                "values": [point["executions"].get(status, 0) for point in series],
            }
            for status in ordered or ["success"]
        ],
    }


def _lateness(series: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How long after their instants first attempts began, as a chart's data: gaps where there were none."""
    lines = (("p99", "warn"), ("p50", "line"))
    return {
        "at": _instants(series),
        "series": [
            {"name": name, "colour": colour, "values": [point["lateness"][name] for point in series]}
            for name, colour in lines
        ],
    }


def _instants(series: Sequence[Mapping[str, Any]]) -> list[float]:
    return [datetime.fromisoformat(point["at"].replace("Z", "+00:00")).timestamp() for point in series]

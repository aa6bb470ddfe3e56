"""What is due and has not begun, as the app knows it."""

from __future__ import annotations

from fastapi import FastAPI

from include.shifts.unfired import UnfiredWatch


def watch_of(app: FastAPI) -> UnfiredWatch:
    """The one watch of the app: health and metrics tell of the same."""
    if not hasattr(app.state, "unfired"):
        app.state.unfired = UnfiredWatch(app.state.settings.ledger_days)
    found: UnfiredWatch = app.state.unfired
    return found

"""Timers: those to come, with a countdown, and what became of the others."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

"""Workflows: how far they are, what they could not process, and where to begin again."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

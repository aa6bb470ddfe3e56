"""Connectors: their state, what they pull, and what is wrong with them."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

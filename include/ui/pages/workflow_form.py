"""A form for a new workflow, and for one that is there."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

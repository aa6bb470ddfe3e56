"""A form for a new connector, and for one that is there, with a preview before it is saved."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

"""Who changed what."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

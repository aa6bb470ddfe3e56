"""One job: its settings, what became of it, and why it did not run."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

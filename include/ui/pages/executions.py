"""What became of all jobs: by status, with permanent failures to redrive."""

from __future__ import annotations

from include.ui.page import page_router

router = page_router()

"""/metrics"""

from __future__ import annotations

from include.api.route import api_router

router = api_router(tags=["operations"])

"""Where there is no page."""

from __future__ import annotations

from fastapi.responses import Response

from include.api.login import CallerDep
from include.ui.api import ProblemError
from include.ui.page import page_router

router = page_router()


@router.api_route("/{path:path}", methods=["GET", "POST"])
async def there_is_no_page(path: str, caller: CallerDep) -> Response:
    """A page that says so, for those who have logged in."""
    raise ProblemError(404, "There is no page here.")

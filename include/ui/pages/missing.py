"""Where there is no page."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from include.api.login import CallerDep
from include.ui.api import ProblemError
from include.ui.page import page_router, url_of

router = page_router()


@router.get("")
async def to_the_overview(request: Request, caller: CallerDep) -> Response:
    """The address of the overview, where its slash was left out."""
    return RedirectResponse(url_of(request, "/"), 307)


@router.api_route("/{path:path}", methods=["GET", "POST"])
async def there_is_no_page(path: str, caller: CallerDep) -> Response:
    """A page that says so, for those who have logged in."""
    raise ProblemError(404, "There is no page here.")

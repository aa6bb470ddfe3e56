"""Where there is no page."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.routing import Match

from include.api.login import CallerDep
from include.ui.api import ProblemError
from include.ui.page import PageRoute, page_router, refusal, url_of

router = page_router()


@router.get("")
async def to_the_overview(request: Request, caller: CallerDep) -> Response:
    """The address of the overview, where its slash was left out."""
    return RedirectResponse(url_of(request, "/"), 307)


@router.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def there_is_no_page(path: str, request: Request, caller: CallerDep) -> Response:
    """A page that says so, for those who have logged in: there is none, or it is not for this."""
    if not (methods := _methods(request)):
        raise ProblemError(404, "There is no page here.")
    said = "This is no page to look at." if request.method == "GET" else "This page takes nothing of the kind."
    answer = refusal(request, ProblemError(405, f"{said} Go to where you came from, and use its buttons."))
    answer.headers["Allow"] = ", ".join(sorted(methods))
    return answer


def _methods(request: Request) -> set[str]:
    """By which methods there is something at the address of a request that came by another."""
    routes = (route for route in request.app.routes if isinstance(route, PageRoute))
    found = (route for route in routes if route.matches(request.scope)[0] == Match.PARTIAL)
    return {method for route in found for method in route.methods}

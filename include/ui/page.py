"""What is the same of every page: who may see it, how it is drawn, and what is shown where something is wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse

from include.api.login import CallerDep
from include.api.route import BoundedRoute
from include.documents.invalid import problems_of
from include.errors import MillraceError, RefusedError
from include.times import utcnow
from include.ui.api import Api, ProblemError
from include.ui.templates import template

log = logging.getLogger(__name__)

# Nothing from elsewhere, nothing inline; framed by Airflow's own UI only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SAID = "millrace_said"
_LONGEST_SAID = 500


async def _api(request: Request, caller: CallerDep) -> Api:
    return Api(request, caller)


PageApi = Annotated[Api, Depends(_api)]


class PageRoute(BoundedRoute):
    """A route that draws a page, or does what a form of a page asks for. What goes wrong is said in a page, too."""

    is_strict = False  # forms are no JSON, and a filter that a page does not know does no harm there

    def __init__(self, *args: Any, methods: Collection[str] | None = None, **options: Any) -> None:
        as_well = {"HEAD"} if "GET" in (methods or ()) else set()
        super().__init__(*args, methods={*(methods or ()), *as_well}, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def drawn(request: Request) -> Response:
            try:
                return await handle(request)
            except (ProblemError, MillraceError, RequestValidationError) as error:
                return refusal(request, _problem(error))
            except Exception:
                log.exception("the page %s cannot be drawn", request.url.path)
                said = "Something went wrong on our side, and the log of the API server says what."
                return refusal(request, ProblemError(500, said))

        return drawn


def page_router() -> APIRouter:
    """A router of pages."""
    return APIRouter(route_class=PageRoute, default_response_class=HTMLResponse)


def draw(request: Request, name: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """The template as a page, with what it shows; and what the form before has said, once."""
    said = _said_before(request)
    text = template(name).render(
        request=request,
        me=getattr(request.state, "millrace_caller", None),
        url=lambda path="/", **query: url_of(request, path, **query),
        airflow=lambda path: _airflow_root(request) + path,
        path=request.url.path.removeprefix(url_of(request, "")),
        said=said,
        now=utcnow(),
        **shown,
    )
    response = HTMLResponse(text, status, _HEADERS)
    if said:
        response.delete_cookie(_SAID, path=url_of(request, ""))
    return response


def url_of(request: Request, path: str, **query: Any) -> str:
    """Where a page is: `/jobs/42`, with a query; what is None or empty in that is left out."""
    chosen = urlencode({name: value for name, value in query.items() if value not in (None, "")}, doseq=True)
    return _with_query(f"{request.scope.get('root_path', '')}/ui{path}", chosen)


def done(request: Request, said: str, path: str | None = None) -> Response:
    """After a form did what it was to do: back to the page it was on, or to `path`, which says so."""
    response = RedirectResponse(_before(request) if path is None else url_of(request, path), 303, _HEADERS)
    response.set_cookie(
        _SAID,
        quote(said[:_LONGEST_SAID]),
        max_age=60,
        path=url_of(request, ""),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


def refusal(request: Request, problem: ProblemError) -> Response:
    """What is wrong, and what to do about it: as a page, or, where a form was sent from a page, as a notice in that."""
    is_asked_by_page = "hx-request" in request.headers
    login = _login(request) if problem.status == HTTPStatus.UNAUTHORIZED else None
    if login and not is_asked_by_page:
        return RedirectResponse(login, 303, _HEADERS)
    name = "refused_notice.html" if is_asked_by_page else "refused.html"
    title = HTTPStatus(problem.status).phrase
    response = draw(request, name, problem.status, problem=problem, title=title, login=login)
    if is_asked_by_page:
        response.headers["HX-Reswap"] = "none"
    return response


def _login(request: Request) -> str:
    """Airflow's login, from which one comes back to the page."""
    if "hx-request" in request.headers:
        here = _before(request)
    elif request.method in ("GET", "HEAD"):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        here = url_of(request, "/")
    return f"{_airflow_root(request)}/api/v2/auth/login?{urlencode({'next': here})}"


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RefusedError):
        return ProblemError(error.status, str(error))
    if isinstance(error, RequestValidationError):
        found = problems_of(error.errors())
        return ProblemError(422, "; ".join(f"{place}: {said}" for place, said in found), found)
    return ProblemError(503, str(error))


def _airflow_root(request: Request) -> str:
    """Where Airflow is, seen from the page: Millrace is mounted below it."""
    return str(request.scope.get("root_path", "")).removesuffix("/millrace")


def _before(request: Request) -> str:
    """The page that a form was on, if it was one of ours."""
    try:
        came_from = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer", ""))
    except ValueError:  # no URL at all
        return url_of(request, "/")
    is_ours = came_from.netloc == request.headers.get("host") and came_from.path.startswith(url_of(request, "/"))
    return _with_query(came_from.path, came_from.query) if is_ours else url_of(request, "/")


def _with_query(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path


def _said_before(request: Request) -> str:
    return unquote(request.cookies.get(_SAID, ""))[:_LONGEST_SAID]

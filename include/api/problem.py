"""Every error is answered as problem details (RFC 9457): type, title, status, detail."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from include.documents.invalid import InvalidDocumentError, problems_of
from include.errors import ConfigError, PermanentError, RefusedError, RetryableError, TakenError

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 5
_MOST_IN_DETAIL = 5
_OF_EVERY_ROUTE = (400, 401, 403, 408, 413, 415, 422, 503)
# Whoever is cut off while sending would go on, and what comes would be read as the next request.
_ENDS_CONNECTION = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


class ProblemAtPlace(BaseModel):
    """What is wrong with one part of a request, such as `body.payload.url`."""

    place: str
    detail: str


class Problem(BaseModel):
    """What is wrong, and how to mend it (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[ProblemAtPlace] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the document of the API says of a route's errors; these, and those that every route can answer."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {_MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*_OF_EVERY_ROUTE, *statuses})
    }


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[tuple[str, str]] = (),
) -> JSONResponse:
    """The answer that says what is wrong; `detail` is for whoever sent the request, `errors` are places in it."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [{"place": place, "detail": said} for place, said in errors]
    ending = {"Connection": "close"} if status in _ENDS_CONNECTION else {}
    return JSONResponse(body, status, {**(headers or {}), **ending}, media_type=_MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Have `app` answer our errors, those of the framework, and those that nobody expected."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InvalidDocumentError, _invalid_document)
    app.add_exception_handler(TakenError, _taken)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(PermanentError, _permanent)
    app.add_exception_handler(RetryableError, _retryable)
    app.add_exception_handler(ConfigError, _misconfigured)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)  # noqa: S101 - it is registered for no other
    headers = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else None
    return problem(error.status, str(error), headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for no other
    return _unprocessable(problems_of(error.errors()))


async def _invalid_document(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, InvalidDocumentError)  # noqa: S101 - it is registered for no other
    return _unprocessable([(f"body.{place}" if place else "body", said) for place, said in error.problems])


def _unprocessable(errors: Sequence[tuple[str, str]]) -> JSONResponse:
    detail = "; ".join(f"{place}: {said}" for place, said in errors[:_MOST_IN_DETAIL])
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _taken(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TakenError)  # noqa: S101 - it is registered for no other
    said = str(error)
    errors = [] if error.place is None else [(f"body.{error.place}", said.removeprefix(f"{error.place}: "))]
    return problem(HTTPStatus.CONFLICT, said, errors=errors)


async def _permanent(_: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))


async def _retryable(_: Request, error: Exception) -> JSONResponse:
    seconds = getattr(error, "after_seconds", None) or _RETRY_AFTER_SECONDS
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(math.ceil(seconds))})


async def _misconfigured(request: Request, error: Exception) -> JSONResponse:
    # The reason is for our own people: it names connections and settings.
    log.error("%s %s: %s", request.method, request.url.path, error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "it is not set up properly here; the log of the API says why")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other
    detail = error.detail
    if detail == HTTPStatus(error.status_code).phrase:  # as the framework says it of routes
        detail = (
            f"{detail}: there is no such route, or not by this method; GET /millrace/api/v1/openapi.json lists them"
        )
    return problem(error.status_code, detail, error.headers)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log of the API says which")

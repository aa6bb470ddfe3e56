"""Every error is answered as problem details (RFC 9457): type, title, status, detail."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from include.errors import ConfigError, PermanentError, RefusedError, RetryableError

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = 5
# Whoever is cut off while sending would go on, and what comes would be read as the next request.
_ENDS_CONNECTION = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer that says what is wrong; `detail` is for whoever sent the request."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    ending = {"Connection": "close"} if status in _ENDS_CONNECTION else {}
    return JSONResponse(body, status, {**(headers or {}), **ending}, media_type="application/problem+json")


def answer_problems(app: FastAPI) -> None:
    """Have `app` answer our errors, those of the framework, and those that nobody expected."""
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(PermanentError, _permanent)
    app.add_exception_handler(RetryableError, _retryable)
    app.add_exception_handler(ConfigError, _misconfigured)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)  # noqa: S101 - it is registered for no other
    return problem(error.status, str(error))


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
    return problem(error.status_code, error.detail, error.headers)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of ours; the log of the API says which")

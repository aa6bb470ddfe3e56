"""How the predecessors' calls are refused: what is wrong with a request is a 400 here, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from include.api.route import BoundedRoute
from include.documents.invalid import InvalidDocumentError, problems_of
from include.errors import RefusedError
from include.store.edits import LARGEST_ID

_INTEGER = re.compile(r"-?[0-9]+")
_ENOUGH_DIGITS = 20

Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class PredecessorRoute(BoundedRoute):
    """A route that says 400 where the rest of the API says 422, and overlooks what the predecessors did."""

    is_strict = False

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def refusing(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise RefusedError(400, _spell(problems_of(error.errors()))) from error
            except InvalidDocumentError as error:
                raise RefusedError(400, _spell(error.problems)) from error
            except RefusedError as error:
                if error.status != 422:
                    raise
                raise RefusedError(400, str(error)) from error

        return refusing


class ErrorBody(BaseModel):
    """What is wrong, as one of the predecessors said it."""

    error: str


class ErrorBodyRoute(PredecessorRoute):
    """Such a route that says what is wrong as `{"error": "..."}`."""

    said_so = frozenset({400, 404, 409})

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def saying(request: Request) -> Response:
            try:
                return await handle(request)
            except RefusedError as error:
                if error.status not in self.said_so:
                    raise
                return JSONResponse({"error": str(error)}, error.status)

        return saying


def row_id(text: str | None, said: str) -> int:
    """The id that somebody has written; `RefusedError` (400) with what is `said` if it is no integer.

    One that no row can have is the nearest that none has, so that it is not found.
    """
    if text is None or _INTEGER.fullmatch(text) is None:
        raise RefusedError(400, said)
    return max(-1, min(int(text[:_ENOUGH_DIGITS]), LARGEST_ID))


def _spell(found: list[tuple[str, str]]) -> str:
    return "; ".join(f"{place}: {said}" if place else said for place, said in found)

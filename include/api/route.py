"""Every route of the API reads its body with care: of callers who have logged in, so many bytes, in so much time.

What blocks is done in a thread, when it is its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_dependant
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from include.api.json_body import JsonRequest, read_json
from include.api.login import caller_of
from include.api.threads import threads_of
from include.deadline import within
from include.errors import RefusedError

_MOST_BYTES = 1024 * 1024
_MOST_SECONDS = 30.0
# Reading more keeps everybody else waiting for longer than a thread costs.
_MOST_AT_ONCE = 256 * 1024


class BoundedRoute(APIRoute):
    """A route whose body is JSON of at most 1 MiB, and arrives within 30 s. A query that it does not know, it refuses.

    Where it asks who calls, it does so first: nobody's body is read who has not logged in.
    """

    most_bytes = _MOST_BYTES
    is_strict = True  # else anything goes for JSON and for a query

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        asks, blocks = _depends(self.dependant, caller_of), not iscoroutinefunction(self.endpoint)
        known = frozenset(field.alias for field in get_flat_dependant(self.dependant).query_params)

        async def bounded(request: Request) -> Response:
            if asks:
                await caller_of(request)
            receive = _counting(request, self.most_bytes)
            request = JsonRequest(request.scope, receive) if self.is_strict else Request(request.scope, receive)
            try:
                body = await within(_MOST_SECONDS, request.body())
            except asyncio.TimeoutError:
                raise RefusedError(408, f"the body did not arrive within {_MOST_SECONDS:g} s") from None
            except ClientDisconnect:
                raise RefusedError(400, "the connection was closed before the body had arrived") from None
            if isinstance(request, JsonRequest):
                _check_query(request, known)
                if body and self.body_field is not None:
                    request.parsed = await _read(request, body)
            if not blocks:
                return await handle(request)
            async with threads_of(request).turn():
                return await handle(request)

        return bounded


class LargeRoute(BoundedRoute):
    """A route for whole configurations: 16 MiB."""

    most_bytes = 16 * _MOST_BYTES


async def _read(request: Request, body: bytes) -> Any:
    content_type = request.headers.get("content-type", "")
    if len(body) <= _MOST_AT_ONCE:
        return read_json(content_type, body)
    return await threads_of(request).run(lambda: read_json(content_type, body))


def _check_query(request: Request, known: frozenset[str]) -> None:
    """A filter that is misspelt would let everything through."""
    for name in request.query_params:
        if name not in known:
            there = f"there are: {', '.join(sorted(known))}" if known else "there is none"
            raise RefusedError(422, f"query: there is no parameter {name[:100]!r}; {there}")


def _depends(on: Dependant, call: Callable[..., Any]) -> bool:
    return any(inner.call is call or _depends(inner, call) for inner in on.dependencies)


def _counting(request: Request, most_bytes: int) -> Callable[[], Coroutine[Any, Any, Message]]:
    left = most_bytes

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise RefusedError(413, f"the body is larger than {most_bytes // 1024} KiB")
        return message

    return receive


def api_router(**options: Any) -> APIRouter:
    """A router of such routes."""
    return APIRouter(route_class=BoundedRoute, **options)

"""Connectors are tried out here, in the API's process, without being in anybody's way.

What a page holds, and by which paths it is read, is up to whoever asks: it is worked on in a thread, and so few of them
that the API goes on whatever they do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from include import registry
from include.api.answer import answer, response
from include.api.problem import Problem
from include.deadline import within
from include.documents.fields import Shown
from include.egress import egress_of
from include.errors import ConfigError, RefusedError, RetryableError
from include.model import Connection, Connector
from include.settings import Settings
from include.shifts import preview as previews
from include.shifts.storable import storable
from include.shifts.threaded import in_thread

_AT_ONCE = 4
# A preview ends after a minute by itself; what does not is left behind.
_SECONDS = 75.0
_turns = threading.Semaphore(_AT_ONCE)


class Exchange(Shown):
    """A request as it was sent, and what came back; no secret is in it."""

    method: str
    url: str
    headers: dict[str, str]
    seconds: float
    status: int | None = Field(description="null: nothing came back; `error` says why.")
    bytes: int | None
    error: str | None


class SampleRecord(Shown):
    """A record, as it would be stored."""

    key: str | None = Field(description="null: its content is its key.")
    payload: Any


class Sample(Shown):
    """A page: how many records it has, and the first few of them."""

    count: int
    records: list[SampleRecord]
    about: dict[str, Any] = Field(description="How the page came about: where its records were, how pages follow.")
    cursor: Any = Field(description="Where a pull would go on after it.")


class Preview(Shown):
    """What a pull would do."""

    cursor: Any = Field(description="Where it began; null: at the beginning.")
    requests: list[Exchange]
    pages: list[Sample]
    next_cursor: Any
    caught_up: bool = Field(description="Whether there are no more pages at present.")
    warnings: list[str] = Field(
        description="Settings that the records do not bear out, such as a `primary_key` that none of them has."
    )
    error: str | None
    pushed_to: str | None = Field(
        description="Where records are pushed to, if the kind does not pull; `{id}` in it is the id that it will have."
    )


async def answer_preview(request: Request, connector: Connector, pages: int) -> Response:
    """What a pull of the connector brings, up to so many pages; nothing is stored.

    If it fails, problem details (422), with what came before that as `preview`. `RefusedError` (504) if it never ends,
    `RetryableError` while too many others are at it.
    """
    settings: Settings = request.app.state.settings
    connection = await _connection(request, connector)
    try:
        made = await within(_SECONDS, in_thread(lambda: _in_turn(settings, connector, connection, pages)))
    except asyncio.TimeoutError:
        raise RefusedError(504, f"the preview did not end within {_SECONDS:g} s") from None
    return _answer(made)


async def _connection(request: Request, connector: Connector) -> Connection | None:
    """The connection that the connector names, if it is one that pulls."""
    kind = registry.source(connector.kind)
    conn_id = getattr(kind.parse(connector.config), "conn_id", None)
    if conn_id is None or kind.pull is None:
        return None
    try:
        found: Connection = await request.app.state.find_connection(conn_id)
    except ConfigError as error:
        raise RefusedError(422, str(error)) from None
    return found


def _in_turn(settings: Settings, connector: Connector, connection: Connection | None, pages: int) -> previews.Preview:
    if not _turns.acquire(blocking=False):
        raise RetryableError(f"{_AT_ONCE} previews are under way: ask again later")
    try:
        return asyncio.run(_look(settings, connector, connection, pages))
    finally:
        _turns.release()


async def _look(
    settings: Settings, connector: Connector, connection: Connection | None, pages: int
) -> previews.Preview:
    http = egress_of(settings)
    try:
        return await previews.preview(connector, connection=connection, http=http, pages=pages)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:  # a generator of somebody's own yields it
        raise RefusedError(422, f"what the source gave are no records, or no JSON: {error}") from None
    finally:
        await http.close()


def _answer(made: previews.Preview) -> Response:
    try:
        document: Mapping[str, Any] = storable(asdict(made))
    except ValueError as error:
        raise RefusedError(422, f"what the source gave cannot be stored: {error}") from None
    if made.error is None:
        return response(answer(Preview, document))
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    problem = Problem(title=status.phrase, status=status, detail=document["error"]).model_dump(exclude_none=True)
    shown = Preview.model_validate(document).model_dump(mode="json")
    return JSONResponse({**problem, "preview": shown}, status, media_type="application/problem+json")

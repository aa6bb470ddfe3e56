"""Where records are pushed to: POST /hooks/NAME, with the name of a connector.

A delivery proves itself, as its connector lays down; there is no log-in. A name that no connector has, or one that is
not pushed to, is a 404, which tells strangers that a name is taken: that is worth less to them than knowing a mistyped
URL from a wrong secret is to senders.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from include.api.body import read_body
from include.api.problem import problems
from include.deadline import within
from include.errors import RefusedError, RetryableError
from include.model import Connection, Connector, Delivery
from include.registry import source
from include.store.log import RecordLog

FindConnection = Callable[[str], Awaitable[Connection]]

# A delivery is in memory as bytes, as objects and as SQL; the database takes so many at a time and no more.
_AT_ONCE = 16
_STORE_SECONDS = 30.0
# A sender that is told to wait longer may give the delivery up.
_LONGEST_WAIT_SECONDS = 300.0

router = APIRouter()


@dataclass(frozen=True)
class Intake:
    """What it takes to take deliveries in."""

    log: RecordLog
    find: FindConnection
    most_bytes: int
    most_seconds: float
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))


def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


@router.post("/hooks/{name:path}", status_code=202, responses=problems(404, 409), tags=["hooks"])
async def receive(name: str, request: Request, intake: Annotated[Intake, Depends(_intake)]) -> JSONResponse:
    """Store what is pushed; answer 202 with the position of each record, in their order, once they are safe.

    The same delivery again gets the same answer and is stored once. `stored` is how many records that is: fewer than
    there are positions if some are the same.
    """
    connector = await _connector(intake, name)
    headers = {header: ", ".join(request.headers.getlist(header)) for header in request.headers}
    body = await read_body(request, most_bytes=intake.most_bytes, most_seconds=intake.most_seconds)
    try:
        positions = await within(_STORE_SECONDS, _store(intake, connector, headers, body))
    except asyncio.TimeoutError:
        raise RetryableError("too much to do at present: send it again later") from None
    return JSONResponse({"positions": positions, "stored": len(set(positions))}, 202)


async def _connector(intake: Intake, name: str) -> Connector:
    """The connector of that name, if it takes deliveries now."""
    # PostgreSQL cannot look for a name with NUL in it.
    connector = None if "\0" in name else await intake.log.connector_named(name)
    if connector is None or source(connector.kind).receive is None:
        raise RefusedError(404, "there is no connector of this name that records can be pushed to")
    left_seconds = 0.0 if connector.is_active else math.inf
    if connector.paused_until is not None:
        left_seconds = max(left_seconds, (connector.paused_until - datetime.now(timezone.utc)).total_seconds())
    if left_seconds > 0:
        raise RetryableError(
            "the connector is paused: send it again later", after_seconds=min(left_seconds, _LONGEST_WAIT_SECONDS)
        )
    return connector


async def _store(intake: Intake, connector: Connector, headers: Mapping[str, str], body: bytes) -> list[int]:
    """Verify a delivery, read its records and store them; the position of each."""
    kind = source(connector.kind)
    assert kind.receive is not None  # noqa: S101 - else it would have been a 404
    config = kind.parse(connector.config)
    conn_id = getattr(config, "conn_id", None)
    connection = None if conn_id is None else await intake.find(conn_id)
    async with intake.turns:
        received = await kind.receive(Delivery(config, headers, body, connection, datetime.now(timezone.utc)))
        return await intake.log.deliver(connector.id, received.id, received.records)

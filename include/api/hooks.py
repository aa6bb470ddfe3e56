"""Where records are pushed to: POST /hooks/ID, with the id of a connector.

A delivery proves itself, as its connector lays down; there is no log-in. Who proves nothing does not learn what there
is: an address that no connector has, one that is not pushed to, one that is paused or set up wrong, and a wrong
signature are all answered alike, and after the same time. The log says which it was.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from include.api.body import read_body
from include.api.problem import problems
from include.deadline import within
from include.errors import ConfigError, RefusedError, RetryableError
from include.model import Connection, Connector, Delivery
from include.registry import source
from include.store.log import RecordLog

log = logging.getLogger(__name__)

FindConnection = Callable[[str], Awaitable[Connection]]

# A delivery is in memory as bytes, as objects and as SQL; the database takes so many at a time and no more.
_AT_ONCE = 16
_STORE_SECONDS = 30.0
# A sender that is told to wait longer may give the delivery up.
_LONGEST_WAIT_SECONDS = 300.0
# To look a secret up takes longer than to see that there is no connector, and that would tell.
_UNPROVEN_SECONDS = 0.25
_UNPROVEN = "nothing here takes this delivery: the address is wrong, or it is not signed with the connector's secret"
_LONGEST_LOGGED = 200  # characters of an address
_BUSY = "too much to do at present: send it again later"

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


class _UnprovenError(Exception):
    """Nothing is known of the sender; the message is for our own people."""


@router.post("/hooks/{address:path}", status_code=202, responses=problems(409), tags=["hooks"])
async def receive(address: str, request: Request, intake: Annotated[Intake, Depends(_intake)]) -> JSONResponse:
    """Store what is pushed; answer 202 with the position of each record, in their order, once they are safe.

    The same delivery again gets the same answer and is stored once. `stored` is how many records that is: fewer than
    there are positions if some are the same. A delivery that does not prove itself is a 401, in the same words as one
    to an address that there is not.
    """
    headers = {header: ", ".join(request.headers.getlist(header)) for header in request.headers}
    body = await read_body(request, most_bytes=intake.most_bytes, most_seconds=intake.most_seconds)
    began = time.monotonic()
    try:
        positions = await within(_STORE_SECONDS, _store(intake, address, headers, body))
    except asyncio.TimeoutError:
        raise RetryableError(_BUSY) from None
    except _UnprovenError as error:
        log.warning("what was pushed to /hooks/%s is not taken: %s", quote(address[:_LONGEST_LOGGED]), error)
        positions = None
    del body  # or strangers would have it kept while their answer waits
    if positions is None:
        await asyncio.sleep(began + _UNPROVEN_SECONDS - time.monotonic())
        raise RefusedError(401, _UNPROVEN)
    return JSONResponse({"positions": positions, "stored": len(set(positions))}, 202)


async def _store(intake: Intake, address: str, headers: Mapping[str, str], body: bytes) -> list[int]:
    """Verify a delivery, read its records and store them; the position of each."""
    connector = await intake.log.connector_at(address)
    if connector is None:
        raise _UnprovenError("no connector has this id, or this name")
    with _before_proof(connector):
        kind = source(connector.kind)
        if kind.receive is None:
            raise _UnprovenError(f"connector {connector.id} is not pushed to")
        config = kind.parse(connector.config)
        conn_id = getattr(config, "conn_id", None)
        connection = None if conn_id is None else await intake.find(conn_id)
    async with intake.turns:
        with _before_proof(connector):
            received = await kind.receive(Delivery(config, headers, body, connection, datetime.now(timezone.utc)))
        _check_on_duty(connector)
        return await intake.log.deliver(connector.id, received.id, received.records)


@contextmanager
def _before_proof(connector: Connector) -> Iterator[None]:
    """What goes wrong here is told to nobody who might be a stranger; what a genuine delivery is refused for is."""
    try:
        yield
    except ConfigError as error:
        raise _UnprovenError(f"connector {connector.id} is not set up properly: {error}") from error
    except RetryableError as error:
        log.warning("connector %d cannot take anything at present: %s", connector.id, error)
        raise RetryableError(_BUSY) from error
    except RefusedError as error:
        if error.status != HTTPStatus.UNAUTHORIZED:
            raise
        raise _UnprovenError(f"connector {connector.id}: {error}") from error


def _check_on_duty(connector: Connector) -> None:
    """`RetryableError` while the connector is paused."""
    left_seconds = 0.0 if connector.is_active else math.inf
    if connector.paused_until is not None:
        left_seconds = max(left_seconds, (connector.paused_until - datetime.now(timezone.utc)).total_seconds())
    if left_seconds > 0:
        raise RetryableError(
            "the connector is paused: send it again later", after_seconds=min(left_seconds, _LONGEST_WAIT_SECONDS)
        )

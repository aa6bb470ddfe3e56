"""/metrics: what a Prometheus server scrapes. No login, and so no names: rows are told apart by their ids.

With `MILLRACE_METRICS_TOKEN` it demands that token. Each figure is described in docs/operations.md.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated

import psycopg
from fastapi import Header, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Metric
from prometheus_client import exposition as plain
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from include.api.metric_families import families
from include.api.problem import problems
from include.api.remembered import Remembered
from include.api.route import api_router
from include.api.unfired import watch_of
from include.errors import RefusedError, RetryableError
from include.settings import Settings
from include.shifts.unfired import UnfiredWatch
from include.store import health
from include.store.db import connect
from include.store.metrics import Meter

router = api_router(tags=["operations"])

_BELIEVED_SECONDS = 5.0
_MOST_SECONDS = 20.0
_CLASSPATH = "include.orchestration.trigger.ShiftTrigger"
_BUNDLE = "millrace"
_CONTENT = {
    "text/plain": {"schema": {"type": "string"}},
    "application/openmetrics-text": {"schema": {"type": "string"}},
}


class Scrape(Collector):
    """The metrics as they were once, in the formats that somebody has asked for."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._families = list(found)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._texts: dict[str, bytes] = {}

    def collect(self) -> Iterable[Metric]:
        return self._families

    async def text(self, content_type: str, generate: Callable[[CollectorRegistry], bytes]) -> bytes:
        """The metrics as a text; it is made once."""
        if content_type not in self._texts:
            self._texts[content_type] = await asyncio.to_thread(generate, self._registry)
        return self._texts[content_type]


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "The metrics.", "content": _CONTENT}, **problems(401)},
)
async def metrics(
    request: Request,
    accept: Annotated[str, Header()] = "",
    authorization: Annotated[str, Header()] = "",
) -> Response:
    """Everything that Prometheus may want to know, as it was at most 5 s ago.

    In the text format of Prometheus, or in OpenMetrics where `Accept` asks for it. With `MILLRACE_METRICS_TOKEN` set,
    that token is to be sent as `Authorization: Bearer …`.
    """
    settings: Settings = request.app.state.settings
    _check_token(settings.metrics_token, authorization)
    try:
        scrape = await _remembered(request).get(_MOST_SECONDS)
    except asyncio.TimeoutError:
        raise RetryableError("the database takes too long: ask again later") from None
    if "application/openmetrics-text" in accept:
        content_type = openmetrics.CONTENT_TYPE_LATEST
        return Response(await scrape.text(content_type, openmetrics.generate_latest), media_type=content_type)
    content_type = plain.CONTENT_TYPE_PLAIN_0_0_4
    return Response(await scrape.text(content_type, plain.generate_latest), media_type=content_type)


def _check_token(wanted: str | None, authorization: str) -> None:
    scheme, _, token = authorization.partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else ""
    if wanted is not None and not hmac.compare_digest(given.encode(), wanted.encode()):
        raise RefusedError(401, "send the token of MILLRACE_METRICS_TOKEN as `Authorization: Bearer …`")


def _remembered(request: Request) -> Remembered[Scrape]:
    state = request.app.state
    if not hasattr(state, "scrapes"):
        settings: Settings = state.settings
        meter = Meter(_CLASSPATH, _BUNDLE, settings.metrics_jobs)
        work = partial(_scrape, settings.database_url, meter, watch_of(request.app))
        state.scrapes = Remembered(work, _BELIEVED_SECONDS)
    found: Remembered[Scrape] = state.scrapes
    return found


def _scrape(database_url: str, meter: Meter, unfired: UnfiredWatch) -> Scrape:
    """Read everything: all of it, or `RetryableError`."""
    began = time.monotonic()
    try:
        with connect(database_url, via="api") as db:
            db.execute("set statement_timeout = '10s'")
            readings = meter.read(db)
            signs = health.signs_of_life(db)
            now = health.now(db)
            oldest = unfired.oldest(db)
    except psycopg.Error as error:
        raise RetryableError(f"the database does not answer: {type(error).__name__}") from error
    return Scrape(families(readings, signs, now, oldest, time.monotonic() - began))

"""A `rest` connector in front of a server on the loopback, driven as a shift drives it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any

import pytest_asyncio
from aiohttp import web
from pydantic import JsonValue

from include.egress import Egress
from include.model import Connection, Page, Source
from include.registry import source
from tests.fake_http import Handler, Server

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)

Answer = Callable[[web.Request, Any], Any]


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


class Puller:
    """Pulls from one server; the cursor goes through JSON, as it does in the database."""

    def __init__(self, egress: Egress, server: Server, connection: Connection | None = None, **config: Any) -> None:
        self.kind = source("rest")
        self.server = server
        self.connection = connection
        self.egress = egress
        named = {} if connection is None else {"conn_id": connection.id}
        self.config = {"base_url": server.url("/v1"), "path": "items", **named, **config}
        self.pages: list[Page] = []

    async def pull(self, cursor: JsonValue = None, most: int | None = None) -> list[Page]:
        """Pull to the end, or so many pages. What came before an error is in `pages`."""
        self.pages = pages = []
        config = self.kind.parse(self.config)
        given = Source(config, json.loads(json.dumps(cursor)), self.egress, self.connection, NOW, 10)
        async with aclosing(self.kind.pull(given)) as pulled:
            async for page in pulled:
                pages.append(page)
                if len(pages) == most:
                    break
        return pages

    @property
    def cursor(self) -> JsonValue:
        """Where the last pull stopped."""
        return self.pages[-1].cursor


def payloads(pages: Sequence[Page]) -> list[JsonValue]:
    return [record.payload for page in pages for record in page.records]


def keys(pages: Sequence[Page]) -> list[str | None]:
    return [record.key for page in pages for record in page.records]


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(first, first + count)]


def answering(answer: Answer) -> Handler:
    """A handler that answers what a function makes of the request and its JSON body: a response, or else JSON."""

    async def handle(request: web.Request) -> web.StreamResponse:
        given = answer(request, await request.json() if request.content_type == "application/json" else None)
        return given if isinstance(given, web.StreamResponse) else web.json_response(given)

    return handle


def sequence(*answers: Any) -> Handler:
    """A handler that gives one answer after another, and the last one for ever."""
    left = list(answers)
    return answering(lambda _request, _body: left.pop(0) if len(left) > 1 else left[0])


def reply(status: int = 200, body: Any = None, **headers: str) -> web.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=json.dumps(body).encode(), headers=named, content_type="application/json")

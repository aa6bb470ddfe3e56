"""A `feed` connector in front of a server on the loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
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
from tests.fake_http import Handler, Server, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The real way out, allowed to reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),), concurrency=10)
    yield egress
    await egress.close()


def feed(text: str | bytes, status: int = 200, **headers: str) -> Handler:
    """Serve a body; it was not modified if the request knows its ETag."""
    body = text.encode() if isinstance(text, str) else text
    headers = {"Content-Type": "application/xml", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def handle(request: web.Request) -> web.StreamResponse:
        if "ETag" in headers and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304)
        return web.Response(status=status, body=body, headers=headers)

    return handle


def item(text: str) -> str:
    return f"<rss version='2.0'><channel><title>x</title>{text}</channel></rss>"


async def pull(
    egress: Egress, server: Server, cursor: JsonValue = None, connection: Connection | None = None, **config: Any
) -> Page | None:
    """One pull, from the configuration as it is in the row; the cursor goes through JSON, as it does there."""
    kind = source("feed")
    named = {} if connection is None else {"conn_id": connection.id}
    parsed = kind.parse({"url": server.url("/blog/feed.xml?token=hush"), **named, **config})
    assert kind.runs_on == "triggerer"
    given = Source(parsed, json.loads(json.dumps(cursor)), egress, connection, NOW, 10)
    async with aclosing(kind.pull(given)) as pages:
        found = [page async for page in pages]
    assert len(found) <= 1
    return found[0] if found else None


async def pulled(egress: Egress, text: str | bytes, **headers: str) -> Page:
    async with serving(feed(text, **headers)) as server:
        page = await pull(egress, server)
    assert page is not None
    json.dumps(page.cursor)
    return page


def payload(page: Page, index: int = 0) -> dict[str, Any]:
    found = page.records[index].payload
    assert isinstance(found, dict)
    return found

"""The API over real HTTP: uvicorn on the loopback, as Airflow's API server runs it, on a real database."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timezone

import aiohttp
import uvicorn
from psycopg.types.json import Jsonb
from standardwebhooks import Webhook

from include.api.app import create_app
from include.errors import ConfigError
from include.model import Connection
from include.settings import Settings
from include.store.db import DictConnection

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONNECTIONS = {
    "signed": Connection("signed", password=SECRET),
    "token": Connection("token", password="a-token"),
    "empty": Connection("empty"),
}


@dataclass
class Api:
    """Where the API listens, and a client for it."""

    port: int
    client: aiohttp.ClientSession

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def push(self, address: str | int, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        """Push a body; signed, unless other headers are given."""
        given = signed(body) if headers is None else headers
        async with self.client.post(self.url(f"/hooks/{address}"), data=io.BytesIO(body), headers=given) as response:
            return Answer(response.status, response.headers, await response.json(content_type=None))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: dict[str, object]


def signed(body: bytes, message_id: str = "msg_1") -> dict[str, str]:
    """The headers of Standard Webhooks, as of now."""
    now = datetime.now(timezone.utc)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(message_id, now, body.decode()),
    }


async def find(conn_id: str) -> Connection:
    """The connections of these tests, as Airflow would find its own."""
    if conn_id not in CONNECTIONS:
        raise ConfigError(f"Airflow has no connection {conn_id!r}")
    return CONNECTIONS[conn_id]


def add_connector(
    db: DictConnection,
    name: str = "in",
    *,
    owner: str = "admin",
    kind: str = "webhook",
    conn_id: str = "signed",
    **config: object,
) -> int:
    """Insert a connector that is pushed to, and return its id."""
    row = db.execute(
        "insert into connector (name, owner, kind, config) values (%s, %s, %s, %s) returning id",
        (name, owner, kind, Jsonb({"conn_id": conn_id, **config})),
    ).fetchone()
    assert row is not None
    return int(str(row["id"]))


@asynccontextmanager
async def serving(database_url: str, *, hook_kib: int = 1024, most_seconds: float = 30.0) -> AsyncIterator[Api]:
    """Serve the API on a free port; `Api.client` is closed with it."""
    app = create_app(Settings(database_url=database_url, hook_kib=hook_kib), find=find, most_seconds=most_seconds)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, ws="none", lifespan="on", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                assert not running.done(), "the server did not start"
                await asyncio.sleep(0.01)
            async with aiohttp.ClientSession() as client:
                yield Api(listener.getsockname()[1], client)
        finally:
            server.should_exit = True
            await running

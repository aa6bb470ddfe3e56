"""Real servers on the loopback, for tests of what goes out: no mock stands between the client and the wire."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request as it arrived; header names in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """Where a server listens and what it received, in order."""

    port: int
    scheme: str = "http"
    received: list[Received] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


def redirect(to: str, status: int = 302) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Location": to})

    return handle


@asynccontextmanager
async def serving(
    routes: dict[str, Handler] | Handler = ok, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """Serve on 127.0.0.1 by path, or everything by one handler."""

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.read()
        server.received.append(Received(request.method, request.path, request.rel_url.raw_query_string, headers, body))
        return await (routes[request.path] if isinstance(routes, dict) else routes)(request)

    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server = Server(runner.addresses[0][1], "https" if tls else "http")
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(reply: bytes, *, then_wait: bool = False) -> AsyncIterator[Server]:
    """Answer every request with these bytes as they are, then close; or, with `then_wait`, leave the client waiting."""
    leave = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
            if then_wait:
                await leave.wait()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went first
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield Server(listener.sockets[0].getsockname()[1])
    finally:
        leave.set()
        listener.close()
        await listener.wait_closed()

"""How often a request is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from include.egress import Egress
from include.errors import RetryableError
from tests.way_out import LOOPBACK

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Counting:
    """A server that keeps its connections, and closes one instead of an answer where the path is `/lost`."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.arrived.append(head.split()[1].decode())
                if self.arrived[-1] == "/lost":
                    break
                writer.write(OK)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went first
        finally:
            writer.close()


@asynccontextmanager
async def counting() -> AsyncIterator[Counting]:
    counting = Counting()
    listener = await asyncio.start_server(counting.serve, "127.0.0.1", 0)
    counting.port = listener.sockets[0].getsockname()[1]
    try:
        yield counting
    finally:
        listener.close()
        await listener.wait_closed()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "POST"])
async def test_a_request_that_is_lost_is_sent_once(method: str) -> None:
    """`fresh`: no connection is used twice, and a request whose answer is lost has arrived exactly once."""
    async with counting() as server:
        way_out = Egress(allow=LOOPBACK, fresh=True)
        for _ in range(2):
            await way_out.request(method, f"http://127.0.0.1:{server.port}/", timeout_seconds=5)
        with pytest.raises(RetryableError, match="without a reply"):
            await way_out.request(method, f"http://127.0.0.1:{server.port}/lost", timeout_seconds=5)
        await way_out.close()
    assert (server.arrived, server.connections) == (["/", "/", "/lost"], 3)


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
async def test_a_kept_connection_may_be_closed_any_time(method: str, times: int) -> None:
    """By default connections are kept, and what may be repeated is sent again where one of them is dead."""
    async with counting() as server:
        way_out = Egress(allow=LOOPBACK)
        for _ in range(2):
            await way_out.request(method, f"http://127.0.0.1:{server.port}/", timeout_seconds=5)
        assert server.connections == 1
        with pytest.raises(RetryableError, match="without a reply"):
            await way_out.request(method, f"http://127.0.0.1:{server.port}/lost", timeout_seconds=5)
        await way_out.close()
    assert server.arrived == ["/", "/", *["/lost"] * times]


async def test_a_server_that_is_down_is_told_as_such() -> None:
    """With `fresh` too, what failed before anything was sent is named as what it is."""
    async with counting() as server:
        pass
    way_out = Egress(allow=LOOPBACK, fresh=True)
    with pytest.raises(RetryableError, match="connection refused"):
        await way_out.request("GET", f"http://127.0.0.1:{server.port}/", timeout_seconds=5)
    await way_out.close()

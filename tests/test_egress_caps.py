"""What comes back is bounded: body, head and time."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from functools import cache

import pytest
from aiohttp import web

from include.egress import BODY_CAP, MAX_REDIRECTS, Egress
from include.errors import RetryableError
from tests.fake_http import sending, serving
from tests.way_out import LOOPBACK, egress

__all__ = ["egress"]


@cache
def _zipped(size: int) -> bytes:
    return gzip.compress(b"x" * size)


@pytest.mark.parametrize(
    ("size", "zipped"),
    [(0, False), (BODY_CAP, False), (BODY_CAP + 1, False), (10, True), (BODY_CAP, True), (20_000_000, True)],
)
async def test_the_body_is_read_up_to_the_cap(egress: Egress, size: int, zipped: bool) -> None:
    """At most the cap is kept, counted after decompression; `truncated` says whether there was more."""

    async def handle(_request: web.Request) -> web.StreamResponse:
        if zipped:
            return web.Response(body=_zipped(size), headers={"Content-Encoding": "gzip"})
        return web.Response(body=b"x" * size)

    async with serving(handle) as server:
        reply = await egress.request("GET", server.url(), timeout_seconds=30)
    assert (len(reply.body), reply.truncated) == (min(size, BODY_CAP), size > BODY_CAP)


async def test_a_body_without_end_is_left(egress: Egress) -> None:
    """A stream that never ends gives its first part, and the connection is dropped."""
    left = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
        finally:
            left.set()

    async with serving(handle) as server:
        reply = await egress.request("GET", server.url(), timeout_seconds=30)
        await left.wait()
    assert (len(reply.body), reply.truncated) == (BODY_CAP, True)


async def test_a_short_body_in_chunks_is_read_to_its_end(egress: Egress) -> None:
    """A body of unknown length is whole, and its connection serves the next call too."""
    peers = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await response.write(b"abc")
        return response

    async with serving(handle) as server:
        for _ in range(3):
            reply = await egress.request("GET", server.url(), timeout_seconds=5)
            assert (reply.body, reply.truncated) == (b"abcabcabc", False)
    assert len(peers) == 1


async def test_head_has_no_body(egress: Egress) -> None:
    """The length that a HEAD announces is not waited for."""
    async with sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n") as server:
        reply = await egress.request("HEAD", server.url(), timeout_seconds=5)
    assert (reply.status, reply.body, reply.truncated) == (200, b"", False)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_the_time_limit_covers_head_and_body(egress: Egress, reply: bytes) -> None:
    """A server that stops, before its reply or in the middle of the body, is left when the time is up."""
    async with sending(reply, then_wait=True) as server:
        with pytest.raises(RetryableError, match=r"timed out after 0\.2 s"):
            await egress.request("GET", server.url(), timeout_seconds=0.2)


async def test_the_time_limit_covers_all_redirects(egress: Egress) -> None:
    """Redirects do not start the clock again: none is followed once the time is up."""

    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response(status=302, headers={"Location": "/"})

    async with serving(slow) as server:
        with pytest.raises(RetryableError, match=r"timed out after 0\.5 s"):
            await egress.request("GET", server.url(), timeout_seconds=0.5)
        assert len(server.received) < MAX_REDIRECTS


async def test_the_time_limit_covers_the_wait_for_a_connection() -> None:
    """A call that gets no turn within its time is worth another try; `concurrency` bounds the connections."""
    async with sending(b"", then_wait=True) as server:
        egress = Egress(allow=LOOPBACK, concurrency=1)
        first = asyncio.create_task(egress.request("GET", server.url(), timeout_seconds=30))
        await asyncio.sleep(0)
        with pytest.raises(RetryableError, match="timed out"):
            await egress.request("GET", server.url(), timeout_seconds=0.2)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await egress.close()


# -- bodies that grow --------------------------------------------------------------------------------------------------


def _bomb(encoding: str) -> tuple[bytes, bytes]:
    """The beginning of a compressed stream, and a part of a kilobyte that can be repeated and stands for a megabyte."""
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_unpacks_without_end_is_left(egress: Egress, encoding: str) -> None:
    """Of a bomb no more is unpacked than what is kept and what is under way, and its connection is dropped."""
    left = asyncio.Event()
    first, again = _bomb(encoding)

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        try:
            await response.write(first)
            while True:
                await response.write(again * 64)
        finally:
            left.set()

    async with serving(handle) as server:
        tracemalloc.start()
        try:
            reply = await egress.request("GET", server.url(), timeout_seconds=30)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await left.wait()
    assert (reply.body, reply.truncated) == (bytes(BODY_CAP), True)
    assert most < 8 << 20, f"{most} bytes for a body of {BODY_CAP}"


async def test_a_bomb_in_one_piece_is_cut(egress: Egress) -> None:
    """A small body with a length, which unpacks to a hundred megabytes, is cut as well."""
    first, again = _bomb("gzip")

    async def packed(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=first + again * 100, headers={"Content-Encoding": "gzip"})

    async with serving(packed) as server:
        tracemalloc.start()
        try:
            reply = await egress.request("GET", server.url(), timeout_seconds=30, body_cap=1000)
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (reply.body, reply.truncated) == (bytes(1000), True)
    assert most < 8 << 20, f"{most} bytes for a body of 1000"


# -- heads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 200 " + b"O" * 1000,
        b"HTTP/1.1 200 OK\r\nX-Name: " + b"a" * 1000,
        b"HTTP/1.1 200 OK\r\nX" + b"-" * 1000,
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: a\r\n" * 100,
        b"a" * 1000,
    ],
)
async def test_a_head_without_end_is_left(egress: Egress, endless: bytes) -> None:
    """A status line, a field or a list of fields that never ends is given up early, not read until the time is up."""

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        part = endless
        try:
            while True:
                writer.write(part)
                await writer.drain()
                part = endless[-990:] if b"\r\nX-Many" in endless else endless[-1:] * 1000
        except ConnectionError:
            writer.close()

    listener = await asyncio.start_server(pour, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(RetryableError, match="not valid HTTP"):
        await egress.request("GET", f"http://127.0.0.1:{port}/", timeout_seconds=30)
    listener.close()
    await listener.wait_closed()


@pytest.mark.parametrize(("fields", "is_read"), [(100, True), (129, False)])
async def test_a_head_has_so_many_fields(egress: Egress, fields: int, is_read: bool) -> None:
    """A head of usual size is read; one of more than 128 fields is not."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X-Many: a\r\n" * fields + b"\r\n"
    async with sending(head) as server:
        if is_read:
            reply = await egress.request("GET", server.url(), timeout_seconds=5)
            assert len(reply.headers) == fields + 1
        else:
            with pytest.raises(RetryableError, match="not valid HTTP"):
                await egress.request("POST", server.url(), timeout_seconds=5)

"""Just enough HTTP to be called: keep-alive and pipelining, parsed by hand.

What is called here shares the machine with what calls it and is measured, so it must cost little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, cast

_HEAD_END = b"\r\n\r\n"
_LONGEST_REQUEST = 1_000_000
_BACKLOG = 4096  # a burst opens thousands of connections at one instant
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}


class Request(NamedTuple):
    """One request and where it ends in the bytes that it was read from."""

    target: str
    webhook_id: str
    closes: bool
    end: int


Reply = Callable[[bytes], None]
# Given a request and when its first byte came; it replies once, at once or later.
Handler = Callable[[Request, float, Reply], None]


class BadRequest(Exception):
    """What came is no HTTP that we understand."""


def parse(data: bytes | bytearray, start: int) -> Request | None:
    """The request that begins at `start`; None if it is not all there yet."""
    head_end = data.find(_HEAD_END, start)
    if head_end < 0:
        if len(data) - start > _LONGEST_REQUEST:
            raise BadRequest
        return None
    head = bytes(data[start:head_end])
    words = head.split(b"\r\n", 1)[0].split(b" ")
    lower = head.lower()
    if len(words) != 3 or b"\r\ntransfer-encoding:" in lower:
        raise BadRequest
    try:
        length = int(_header(head, lower, b"content-length") or 0)
    except ValueError:
        raise BadRequest from None
    end = head_end + len(_HEAD_END) + length
    if not 0 <= length <= _LONGEST_REQUEST:
        raise BadRequest
    if end > len(data):
        return None
    webhook_id = _header(head, lower, b"webhook-id") or _header(head, lower, b"idempotency-key")
    return Request(words[1].decode("latin-1"), webhook_id.decode("latin-1"), b"\r\nconnection: close" in lower, end)


def _header(head: bytes, lower: bytes, name: bytes) -> bytes:
    at = lower.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    end = lower.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()


def response(status: int, body: bytes, content_type: str = "text/plain") -> bytes:
    """A whole response, ready to be sent."""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def json_response(value: object) -> bytes:
    return response(200, json.dumps(value).encode(), "application/json")


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are handled in the order in which they came."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # by its methods; uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        # The first byte counts: a call that begins too early is early, however long it takes.
        now = time.time()
        if not self._buffer:
            self._began = now
        self._buffer += data
        position = 0
        try:
            while request := parse(self._buffer, position):
                position = request.end
                self._handle(request, self._began, self._reply_and_close if request.closes else self._reply)
                self._began = now
        except BadRequest:
            self._reply_and_close(response(400, b""))
            position = len(self._buffer)
        del self._buffer[:position]

    def _reply(self, whole: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(whole)

    def _reply_and_close(self, whole: bytes) -> None:
        self._reply(whole)
        if self._transport is not None:
            self._transport.close()


def add_leash(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--leashed", action="store_true", help="end when standard input is closed")


def serve(handle: Handler, *, leashed: bool) -> None:
    """Serve until SIGTERM, or until the leash is let go; say the port on standard output first."""
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with suppress(PermissionError):  # root can: what measures should not wait for what is measured
        os.nice(-10)
    asyncio.run(_serve(handle, leashed))


async def _serve(handle: Handler, leashed: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if leashed:
        loop.add_reader(sys.stdin.fileno(), stopped.set)  # nobody writes to it, so it can only have been closed
    server = await loop.create_server(lambda: Connection(handle), "127.0.0.1", 0, backlog=_BACKLOG)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stopped.wait()
    server.close()

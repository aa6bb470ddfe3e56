"""The sink: an HTTP server that answers every call at once and remembers when it came.

It is a process of its own, so that what it measures is what a receiver sees: nothing in it waits for the system under
test, and nothing in the system knows of it. Requests are parsed by hand, just enough for keep-alive and pipelining,
since the sink shares the machine with what it measures.

`GET /count` says how many calls came, `GET /dump?from=N` lists them from number N on, one line each:
arrival (seconds since the epoch), job, due (microseconds since the epoch), webhook-id, path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast
from urllib.parse import parse_qs, urlsplit

_HEAD_END = b"\r\n\r\n"
_LONGEST_REQUEST = 1_000_000
_BACKLOG = 4096  # a burst opens thousands of connections at one instant


class Request(NamedTuple):
    """One request and where it ends in the bytes that it was read from."""

    target: str
    webhook_id: str
    closes: bool
    end: int


class BadRequest(Exception):
    """What came is no HTTP that the sink understands."""


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
    webhook_id = _header(head, lower, b"webhook-id").decode("latin-1")
    return Request(words[1].decode("latin-1"), webhook_id, b"\r\nconnection: close" in lower, end)


def _header(head: bytes, lower: bytes, name: bytes) -> bytes:
    at = lower.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    begin = at + len(name) + 3
    end = lower.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()


def occurrence(webhook_id: str) -> tuple[str, str]:
    """The job and the due instant (microseconds) that a webhook-id names; two empty strings if it names none."""
    parts = webhook_id.split("_")
    if len(parts) == 3 and parts[0] == "job" and parts[1].isdecimal() and parts[2].isdecimal():
        return parts[1], parts[2]
    return "", ""


class Memory:
    """Every call, in the order of arrival."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, str, str]] = []

    def dump(self, first: int = 0) -> bytes:
        lines = [
            ",".join((repr(arrival), *occurrence(webhook_id), webhook_id, target))
            for arrival, webhook_id, target in self.calls[first:]
        ]
        return "".join(line + "\n" for line in lines).encode()


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered in the order in which they came."""

    def __init__(self, memory: Memory, latency_seconds: float, failure_share: float) -> None:
        self._memory = memory
        self._latency_seconds = latency_seconds
        self._failure_share = failure_share
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
                self._handle(request)
                self._began = now
        except BadRequest:
            self._answer(_response(400, b""), closes=True)
            position = len(self._buffer)
        del self._buffer[:position]

    def _handle(self, request: Request) -> None:
        if request.target == "/count":
            body = json.dumps({"calls": len(self._memory.calls)}).encode()
            self._answer(_response(200, body), closes=request.closes)
        elif request.target.split("?")[0] == "/dump":
            first = parse_qs(urlsplit(request.target).query).get("from", ["0"])[0]
            self._answer(_response(200, self._memory.dump(int(first))), closes=request.closes)
        else:
            self._memory.calls.append((self._began, request.webhook_id, request.target))
            failed = self._failure_share > 0 and random.random() < self._failure_share
            response = _FAILED if failed else _DONE
            if self._latency_seconds > 0:
                loop = asyncio.get_running_loop()
                loop.call_later(self._latency_seconds, self._answer, response, request.closes)
            else:
                self._answer(response, request.closes)

    def _answer(self, response: bytes, closes: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(response)
        if closes:
            self._transport.close()


def _response(status: int, body: bytes) -> bytes:
    reason = {200: "OK", 400: "Bad Request", 500: "Internal Server Error"}[status]
    return f"HTTP/1.1 {status} {reason}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


_DONE = _response(200, b"ok")
_FAILED = _response(500, b"")


async def serve(memory: Memory, options: argparse.Namespace) -> None:
    """Serve until SIGTERM, or until the leash is let go; say the port on standard output first."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if options.leashed:
        loop.add_reader(sys.stdin.fileno(), stopped.set)  # nobody writes to it, so it can only have been closed
    server = await loop.create_server(
        lambda: Connection(memory, options.latency_ms / 1000, options.failures), "127.0.0.1", 0, backlog=_BACKLOG
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stopped.wait()
    server.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sink", description="Answer calls, remember when they came.")
    parser.add_argument("--latency-ms", type=float, default=0, help="answer so much later")
    parser.add_argument("--failures", type=float, default=0, help="the share of calls that fail with 500, 0 to 1")
    parser.add_argument("--file", type=Path, help="where to write the calls at the end")
    parser.add_argument("--leashed", action="store_true", help="end when standard input is closed")
    options = parser.parse_args()
    with suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with suppress(PermissionError):  # root can: what measures should not wait for what is measured
        os.nice(-10)
    memory = Memory()
    asyncio.run(serve(memory, options))
    if options.file:
        options.file.write_bytes(memory.dump())
    return 0


if __name__ == "__main__":
    sys.exit(main())

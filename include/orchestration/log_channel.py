"""The way of a triggerer's log lines, made so long and so calm that neither of its ends waits for the other.

In Airflow 3.3.2 the process in which triggers run writes its log into a socket, and stands still while that is full.
Its supervisor, which reads it, stands still in turn while it sends some hundred triggers at once into another socket,
which the first one does not read then. So each waited for the other, for good, when hundreds of shifts were taken over.

The supervisor also takes at most 4096 bytes per round, and goes through a whole round for them: it asks the database
for the ids of all its triggers, and for those that nobody needs. With 10,000 triggers a round is 50 ms of its processor
and 25 ms of PostgreSQL's. So lines are gathered for two seconds, passed on no faster than that bears, and, when there
are more than memory is kept for, lost: the ledger has what they say. docs/decisions/0023-idle.md

Airflow closes the log of a task when it hears, by another socket, that its trigger has ended; so a trigger waits for
its lines to be `passed_on` before it ends.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import socket
import stat
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from threading import Condition, Event, Thread

import structlog

from include.deadline import within

_CHUNK_BYTES = 65_536
_MOST_BYTES = 8 * 2**20
_BYTES_PER_SECOND = 65_536  # 40 runs a second; what is more would keep the supervisor of 10,000 triggers busy for good
_GATHER_SECONDS = 2.0
_HURRY_SECONDS = 0.1
_PASSED_ON_SECONDS = 5.0
_FLUSH_SECONDS = 5.0
_MARK = b"\0passed on?\n"  # in the stream of lines, after those that somebody asks for; JSON has no such byte


@cache
def lengthen_log() -> LogChannel | None:
    """Put memory between this process and its supervisor, once, if it is one that writes its log into a socket."""
    descriptor = log_socket()
    if descriptor is None:
        return None
    channel = LogChannel(descriptor)
    atexit.register(channel.end)
    return channel


def log_socket() -> int | None:
    """The socket into which Airflow has this process write its log; None if it does not."""
    output = getattr(structlog.get_config().get("logger_factory"), "io", None)
    try:
        descriptor: int = output.fileno()  # type: ignore[union-attr]  # None has none: see below
        return descriptor if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else None
    except (AttributeError, OSError, ValueError):
        return None


class LogChannel:
    """Memory between those who write lines into a socket, and who reads them from its other end.

    Lines arrive in their order, within two seconds, or later where more than `bytes_per_second` are written; what goes
    beyond `most_bytes` is lost, and a line says how many were. If the other end is closed, writing fails as before.
    """

    def __init__(
        self, descriptor: int, *, most_bytes: int = _MOST_BYTES, bytes_per_second: int = _BYTES_PER_SECOND
    ) -> None:
        self._descriptor = descriptor
        self._bytes_per_second = bytes_per_second
        self._far_end = os.dup(descriptor)
        written, self._near_end = socket.socketpair()
        os.dup2(written.fileno(), descriptor, inheritable=False)
        written.close()
        self._lines = _Lines(most_bytes)
        self._asking: deque[asyncio.Future[None]] = deque()
        self._threads = [
            Thread(target=self._gather, name="log gatherer", daemon=True),
            Thread(target=self._pass_on, name="log writer", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def passed_on(self, *, hurry: bool) -> None:
        """Return when whoever reads has all that was written before, or after five seconds.

        Without `hurry` this is when the next lines are passed on anyway.
        """
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking.append(asked)  # of one loop, and so in the order of the marks
        with suppress(OSError, asyncio.TimeoutError):
            os.write(self._descriptor, _MARK)
            if hurry:
                self._lines.hurry.set()
            await within(_PASSED_ON_SECONDS, asyncio.shield(asked))

    def end(self) -> None:
        """Pass on what there is, and have lines take the short way again."""
        os.dup2(self._far_end, self._descriptor, inheritable=False)
        for thread in self._threads:
            thread.join(_FLUSH_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            os.close(self._far_end)

    def _gather(self) -> None:
        rest = b""
        with self._near_end:
            while chunk := self._near_end.recv(_CHUNK_BYTES):
                whole, newline, rest = (rest + chunk).rpartition(b"\n")
                whole += newline
                if len(rest) > _CHUNK_BYTES:  # no line of a log is so long
                    whole, rest = whole + rest, b""
                self._lines.put(whole.replace(_MARK, b""), marks=whole.count(_MARK))
        self._lines.put(rest)
        self._lines.end()

    def _pass_on(self) -> None:
        most = self._bytes_per_second * _GATHER_SECONDS
        left, at = most, time.monotonic()
        try:
            while self._lines.wait():
                chunk, marks = self._lines.take(int(left))
                while chunk:
                    written = os.write(self._far_end, chunk)
                    left, chunk = left - written, chunk[written:]
                self._answer(marks)
                self._lines.rest(behind=left < _CHUNK_BYTES)
                now = time.monotonic()
                left, at = min(left + (now - at) * self._bytes_per_second, most), now
        except OSError:  # nobody reads any more
            with suppress(OSError):
                self._near_end.shutdown(socket.SHUT_RDWR)

    def _answer(self, marks: int) -> None:
        for _ in range(marks):
            asked = self._asking.popleft()
            with suppress(RuntimeError):  # its loop is closed
                asked.get_loop().call_soon_threadsafe(_set, asked)


def _set(asked: asyncio.Future[None]) -> None:
    if not asked.done():
        asked.set_result(None)


class _Lines:
    """Lines between two threads: whole ones, so many bytes of them at most, and marks between them."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept = bytearray()
        self._put = 0
        self._taken = 0
        self._marks: deque[tuple[int, int]] = deque()  # how many, and the bytes that were put before them
        self._lost = 0
        self._changed = Condition()
        self._ended = False
        self.hurry = Event()

    def put(self, lines: bytes, *, marks: int = 0) -> None:
        """Keep some lines, or, if there is no room, their number; and marks, after them."""
        with self._changed:
            if len(self._kept) + len(lines) > self._most_bytes:
                self._lost += lines.count(b"\n")
            elif lines:
                self._keep(self._loss() + lines)
            if marks:
                self._marks.append((marks, self._put))
            self._changed.notify()

    def end(self) -> None:
        """Nothing more is put."""
        with self._changed:
            self._keep(self._loss())
            self._ended = True
            self.hurry.set()
            self._changed.notify()

    def wait(self) -> bool:
        """Until there is something to take. False: there will be nothing any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._kept or self._marks or self._ended)
            return bool(self._kept or self._marks)

    def take(self, most_bytes: int) -> tuple[bytes, int]:
        """What comes next, and how many marks come with it."""
        with self._changed:
            taken = bytes(self._kept if self._ended else self._kept[: max(most_bytes, 0)])
            del self._kept[: len(taken)]
            self._taken += len(taken)
            marks = 0
            while self._marks and self._marks[0][1] <= self._taken:
                marks += self._marks.popleft()[0]
            return taken, marks

    def rest(self, *, behind: bool) -> None:
        """Let lines gather: for a moment if there are many, or somebody is in a hurry; not at all at the end."""
        if self._ended:
            return
        if behind:
            time.sleep(_HURRY_SECONDS)
        elif self.hurry.wait(_GATHER_SECONDS) and not self._ended:
            time.sleep(_HURRY_SECONDS)
            self.hurry.clear()

    def _keep(self, lines: bytes) -> None:
        self._kept += lines
        self._put += len(lines)

    def _loss(self) -> bytes:
        """A line, as Airflow expects one, about those that were lost since the last such line."""
        if not self._lost:
            return b""
        said = f"{self._lost} lines of this triggerer's log were lost: more were written than can be passed on"
        self._lost = 0
        now = datetime.now(timezone.utc).isoformat()
        return json.dumps({"timestamp": now, "level": "warning", "logger": __name__, "event": said}).encode() + b"\n"

"""The way of a triggerer's log lines, made so long that who writes one never waits for whoever reads them.

In Airflow 3.3.2 the process in which triggers run writes its log into a socket, and stands still while that is full.
Its supervisor, which reads it, stands still in turn while it sends some hundred triggers at once into another socket,
which the first one does not read then. So each waited for the other, for good, when hundreds of shifts were taken over.
"""

from __future__ import annotations

import atexit
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import Queue
from threading import Thread

import structlog

_CHUNK_BYTES = 4096
_MOST_CHUNKS = 20_000
_FLUSH_SECONDS = 5.0


@cache
def lengthen_log() -> None:
    """Put memory between this process and its supervisor, once, if it is one that writes its log into a socket."""
    descriptor = log_socket()
    if descriptor is not None:
        atexit.register(put_memory_behind(descriptor))


def log_socket() -> int | None:
    """The socket into which Airflow has this process write its log; None if it does not."""
    output = getattr(structlog.get_config().get("logger_factory"), "io", None)
    try:
        descriptor: int = output.fileno()  # type: ignore[union-attr]  # None has none: see below
        return descriptor if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else None
    except (AttributeError, OSError, ValueError):
        return None


def put_memory_behind(descriptor: int) -> Callable[[], None]:
    """Have what is written to the socket pass through memory; return what ends that once all has arrived.

    If the other end is closed, writing fails as before.
    """
    far_end = os.dup(descriptor)
    written, near_end = socket.socketpair()
    os.dup2(written.fileno(), descriptor, inheritable=False)
    written.close()
    chunks: Queue[bytes] = Queue(_MOST_CHUNKS)
    threads = [
        Thread(target=_gather, args=(near_end, chunks), name="log gatherer", daemon=True),
        Thread(target=_pass_on, args=(chunks, far_end, near_end), name="log writer", daemon=True),
    ]
    for thread in threads:
        thread.start()

    def end() -> None:
        os.dup2(far_end, descriptor, inheritable=False)
        for thread in threads:
            thread.join(_FLUSH_SECONDS)
        os.close(far_end)

    return end


def _gather(near_end: socket.socket, chunks: Queue[bytes]) -> None:
    with near_end:
        while chunk := near_end.recv(_CHUNK_BYTES):
            chunks.put(chunk)
    chunks.put(b"")


def _pass_on(chunks: Queue[bytes], far_end: int, near_end: socket.socket) -> None:
    try:
        while chunk := chunks.get():
            while chunk:
                chunk = chunk[os.write(far_end, chunk) :]
    except OSError:  # nobody reads any more
        with suppress(OSError):
            near_end.shutdown(socket.SHUT_RDWR)
        while chunks.get():
            pass

"""TCP ports on loopback: which are free, and which to take."""

from __future__ import annotations

import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"

# Below the range that the kernel hands to outgoing connections (32768 on Linux, 49152 on macOS): a port from there may
# be the local end of somebody's call at the moment when its server comes back.
_LOWEST, _HIGHEST = 15_000, 29_999


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now. It may be taken a moment later."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        # As servers do: the remains of closed connections are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """The preferred port if it is free, else a free one."""
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(100):
        port = random.randint(_LOWEST, _HIGHEST)  # noqa: S311 - not a secret
        if is_free(port):
            return port
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as anything:
        anything.bind((LOOPBACK, 0))
        port = anything.getsockname()[1]
    return int(port)


def next_free_port(start: int, host: str) -> int:
    """The first free port from `start` on, among the next hundred; any free one where all of those are taken."""
    return next((port for port in range(start, min(start + 100, 65_536)) if is_free(port, host)), None) or free_port()

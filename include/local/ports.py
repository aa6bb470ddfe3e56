"""TCP ports on loopback: which are free, and which to take."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"

# Below the range that the kernel hands to outgoing connections (32768 on Linux, 49152 on macOS): a port from there may
# be the local end of somebody's call at the moment when its server comes back.
_LOWEST, _HIGHEST = 15_000, 29_999

_announced: list[socket.socket] = []


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


def announce(port: int) -> bool:
    """Tell the other systems of this machine, as long as this process lives, whose server is going to listen there.

    False: one of them was first. Between the choice of a port and a server that listens lies half a minute, in which
    another system would choose the same. (A name of Linux's own, not a file; elsewhere nobody is told.)
    """
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0millrace: port {port}")
    except OSError as error:
        name.close()
        return error.errno != errno.EADDRINUSE
    _announced.append(name)
    return True


def next_free_port(start: int, host: str) -> int:
    """The first free port from `start` on, among the next hundred, announced; any free one where all are taken."""
    ports = range(start, min(start + 100, 65_536))
    return next((port for port in ports if is_free(port, host) and announce(port)), None) or free_port()

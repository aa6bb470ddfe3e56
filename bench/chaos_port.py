"""A port at which a server would be, and is not: taken as soon as it is free, so that the server cannot come back."""

from __future__ import annotations

import socket
import struct
import threading
import time

from include.local.ports import LOOPBACK

_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class TakenPort:
    """From `take()` to `leave()`, whoever connects is hung up on at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._left = threading.Event()
        self._taken = threading.Event()
        self._thread = threading.Thread(target=self._sit, daemon=True)

    def take(self) -> None:
        """Begin to try for it."""
        self._thread.start()

    def is_taken(self, seconds: float) -> bool:
        """Whether it is, after so long at most."""
        return self._taken.wait(seconds)

    def leave(self) -> None:
        self._left.set()
        self._thread.join()

    def _sit(self) -> None:
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            while not self._bound(listening):
                if self._left.is_set():
                    return
                time.sleep(0.001)
            self._taken.set()
            listening.settimeout(0.1)
            while not self._left.is_set():
                try:
                    peer, _ = listening.accept()
                except TimeoutError:
                    continue
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                peer.close()

    def _bound(self, listening: socket.socket) -> bool:
        try:
            listening.bind((LOOPBACK, self._port))
            listening.listen(64)
        except OSError:
            return False
        return True

"""What wakes the supervisor: a signal to stop, a child that died, the other end of its leash closing."""

from __future__ import annotations

import os
import select
import signal
import socket
from types import FrameType


class Stopped(Exception):
    """Somebody wants the system down while it is still coming up."""


class Attention:
    """Waits that end early. Handlers only take note, so that no child is ever started and then forgotten."""

    def __init__(self, leash: int | None) -> None:
        self.stop = False
        self._leash = leash
        self._bell, bell_end = socket.socketpair()
        self._bell.setblocking(False)
        bell_end.setblocking(False)
        self._bell_end = bell_end  # kept: closing it would silence the bell
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, self._heard)
        signal.set_wakeup_fd(bell_end.fileno(), warn_on_full_buffer=False)

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier if there is something to see to."""
        watched = [self._bell.fileno()] + ([self._leash] if self._leash is not None else [])
        ready, _, _ = select.select(watched, [], [], 0 if self.stop else seconds)
        if self._bell.fileno() in ready:
            self._bell.recv(4096)
        if self._leash is not None and self._leash in ready and not os.read(self._leash, 1):
            self.stop = True
            self._leash = None

    def raise_if_stopped(self) -> None:
        self.wait(0)
        if self.stop:
            raise Stopped

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stop = True

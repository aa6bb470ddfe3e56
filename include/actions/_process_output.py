"""What a command writes: line by line to the log while it comes, and its end for the ledger. Bounded in every way."""

from __future__ import annotations

import logging
from collections.abc import Callable

from include.actions._verdict import EXCERPT_CHARACTERS

LINE_BYTES = 4_096
LOGGED_BYTES = 1 << 20

log = logging.getLogger(__name__)

_TAIL_BYTES = 4 * (EXCERPT_CHARACTERS + 1)
_COST_OF_A_LINE = 64  # or a MiB of empty lines would be a million of them


class OutputLog:
    """Takes output as it comes, in pieces of any size, and keeps no more of it than a line and a tail.

    A line of more than `LINE_BYTES` is logged in parts. After `LOGGED_BYTES`, a line counting as 64 more than it has,
    only the end is kept. `hide` takes out of each text what nobody may see.
    """

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        self._hide = hide
        self.total = 0
        self._line = b""
        self._tail = b""
        self._budget = LOGGED_BYTES

    def add(self, data: bytes) -> None:
        self.total += len(data)
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        if self._budget <= 0:
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._log(line)
        while len(self._line) > LINE_BYTES:
            self._log(self._line[:LINE_BYTES])
            self._line = self._line[LINE_BYTES:]

    def close(self) -> None:
        """Log what came without a line's end, and how much was not logged."""
        if self._line:
            self._log(self._line)
        if self._budget <= 0:
            log.info("%s bytes of output in all; what is missing above was not logged", self.total)

    @property
    def excerpt(self) -> str:
        """The end of the output, at most `EXCERPT_CHARACTERS`."""
        return self._hide(_text(self._tail))[-EXCERPT_CHARACTERS:]

    def _log(self, line: bytes) -> None:
        for start in range(0, max(len(line), 1), LINE_BYTES):
            if self._budget <= 0:
                return
            part = line[start : start + LINE_BYTES]
            self._budget -= len(part) + _COST_OF_A_LINE
            log.info("%s", self._hide(_text(part.removesuffix(b"\r"))))


def _text(data: bytes) -> str:
    """As text that PostgreSQL can store: what is not UTF-8 is replaced, and NUL, too."""
    return data.decode("utf-8", "replace").replace("\x00", "\ufffd")

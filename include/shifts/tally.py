"""What a shift that holds many occurrences says in its log: each failure at once, and a summary a minute."""

from __future__ import annotations

import logging
import time
from collections import Counter

from include.model import Status

log = logging.getLogger(__name__)

_SUMMARY_SECONDS = 60.0


class Tally:
    """Counts executions by status; the ledger has every one of them, the log need not."""

    def __init__(self) -> None:
        self._total: Counter[Status] = Counter()
        self._minute: Counter[Status] = Counter()
        self._said_at = time.monotonic()

    def count(self, status: Status) -> None:
        """Add one execution, and log a summary if the last one is a minute old."""
        self._total[status] += 1
        self._minute[status] += 1
        if time.monotonic() - self._said_at >= _SUMMARY_SECONDS:
            log.info("last minute: %s", _words(self._minute))
            self._minute.clear()
            self._said_at = time.monotonic()

    @property
    def failed(self) -> int:
        return self._total["failed"]

    def __str__(self) -> str:
        return _words(self._total)


def _words(counts: Counter[Status]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing was due"

"""What a shift that holds many occurrences says in its log: some of its failures, and now and then a summary.

Every line costs Airflow's triggerer work that grows with the number of its triggers: docs/decisions/0023-idle.md
"""

from __future__ import annotations

import logging
import time
from collections import Counter

from include.model import Status

log = logging.getLogger(__name__)

_FIRST_SUMMARY_SECONDS = 60.0  # whoever looks at a new job wants to see that it works
_SUMMARY_SECONDS = 1800.0
# Each failure of a job that is due every minute, and of its retries; of a faster one, when it fails for long, four a
# minute.
_COMPLAINTS = 10.0
_COMPLAINT_SECONDS = 15.0


class Tally:
    """Counts executions by status; the ledger has every one of them, the log need not."""

    def __init__(self) -> None:
        self._total: Counter[Status] = Counter()
        self._latest: Counter[Status] = Counter()
        self._said_at = time.monotonic()
        self._summary_after = _FIRST_SUMMARY_SECONDS
        self._complaints_left = _COMPLAINTS
        self._complained_at = self._said_at
        self._unsaid = 0

    def count(self, status: Status) -> None:
        """Add one execution, and log a summary if it is time for one."""
        self._total[status] += 1
        self._latest[status] += 1
        seconds = time.monotonic() - self._said_at
        if seconds >= self._summary_after:
            log.info("last %.0f min: %s%s", seconds / 60, _words(self._latest), self._silence())
            self._latest.clear()
            self._unsaid = 0
            self._said_at = time.monotonic()
            self._summary_after = _SUMMARY_SECONDS

    def complain(self, message: str, *args: object) -> None:
        """Log a failed attempt, or, if there are many, count it for the summary."""
        now = time.monotonic()
        earned = (now - self._complained_at) / _COMPLAINT_SECONDS
        self._complaints_left, self._complained_at = min(self._complaints_left + earned, _COMPLAINTS), now
        if self._complaints_left < 1:
            self._unsaid += 1
            return
        self._complaints_left -= 1
        log.warning(message, *args)

    @property
    def failed(self) -> int:
        return self._total["failed"]

    def __str__(self) -> str:
        return _words(self._total) + self._silence()

    def _silence(self) -> str:
        return f"; {self._unsaid} failed attempts are not in this log" if self._unsaid else ""


def _words(counts: Counter[Status]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing was due"

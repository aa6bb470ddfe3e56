"""Whether a failed attempt is made again, and when. Pure arithmetic: whoever asks does the waiting.

The wait after failure number *n* is `delay * backoff ** (n - 1)`, at most `longest`, and up to the share `jitter`
longer: by a draw that is the same for the same attempt, so that a thousand rows that fail together do not come back
together. A receiver that says how long to wait (`Retry-After`) is not asked earlier.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from include.errors import RetryableError

_LONGEST_SECONDS = 30 * 86_400.0  # whatever a receiver says


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A row's rule. `retries` is the number of attempts after the first; statuses in `never_on` are final."""

    retries: int = 3
    delay: timedelta = timedelta(seconds=2)
    backoff: float = 2.0
    longest: timedelta = timedelta(hours=1)
    jitter: float = 0.1
    never_on: frozenset[int] = frozenset()

    def allows(self, error: Exception, failures: int) -> bool:
        """Whether there is another attempt after this error, which is failure number `failures` (from 1)."""
        if not isinstance(error, RetryableError) or failures > self.retries:
            return False
        return error.code is None or error.code not in self.never_on

    def wait(self, failures: int, salt: str, at_least_seconds: float = 0.0) -> timedelta:
        """How long to wait after failure number `failures` (from 1); `salt` names the attempt."""
        longest = self.longest.total_seconds()
        seconds = min(self.delay.total_seconds() * self.backoff ** min(failures - 1, 64), longest)
        seconds *= 1 + self.jitter * _draw(f"{salt} {failures}")
        return timedelta(seconds=min(max(seconds, at_least_seconds), _LONGEST_SECONDS))


def _draw(text: str) -> float:
    """A number in [0, 1) that is the same for the same text in every process."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64

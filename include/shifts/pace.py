"""Not faster than the row allows: requests wait for their turn before they are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from include.errors import RateLimitedError
from include.model import Http, Reply

Taker = Callable[[float], Awaitable[float]]

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}


class Pace:
    """A limit such as `100/minute`, kept by the generic cell rate algorithm (ITU-T I.371).

    Requests are spread evenly; up to a second's worth may be sent at once.
    """

    def __init__(self, rate_limit: str) -> None:
        count, _, unit = rate_limit.partition("/")
        self._gap_seconds = _SECONDS[unit] / int(count)
        self._slack_seconds = min(1.0, _SECONDS[unit])
        self._next_at = float("-inf")

    def take(self, now: float, longest_seconds: float) -> float:
        """Take one request out of the limit; the seconds to wait before sending it. `now` is a monotonic clock's.

        Where the wait would be longer than `longest_seconds`, nothing is taken: it is for whoever comes then.
        """
        due = max(self._next_at, now - self._slack_seconds)
        wait_seconds = max(due - now, 0.0)
        if wait_seconds <= longest_seconds:
            self._next_at = due + self._gap_seconds
        return wait_seconds

    async def take_now(self, longest_seconds: float) -> float:
        """As `take`, by this process's clock."""
        return self.take(time.monotonic(), longest_seconds)


class OutOfTurnError(RateLimitedError):
    """The row's own limits leave no further request in this pull; the source has nothing to do with it."""


class PacedHttp:
    """A way out that keeps to limits.

    `takers` are the limits: told how long a wait may be, each gives the seconds to wait. A wait that would outlast
    `deadline` (monotonic) is not begun: the pull ends, and goes on when it may.
    """

    def __init__(self, http: Http, takers: list[Taker], deadline: float) -> None:
        self._http = http
        self._takers = takers
        self._deadline = deadline

    async def request(self, method: str, url: str, *, timeout_seconds: float, **others: Any) -> Reply:
        """As `Http.request`, when it is time."""
        for take in self._takers:
            left_seconds = self._deadline - time.monotonic()
            wait_seconds = await take(left_seconds)
            if wait_seconds > left_seconds:
                raise OutOfTurnError("the row's own rate limit is used up", after_seconds=wait_seconds)
            if wait_seconds > 0:
                await asyncio.sleep(wait_seconds)
        return await self._http.request(method, url, timeout_seconds=timeout_seconds, **others)

    async def addresses(self, host: str, port: int) -> list[str]:
        """As `Http.addresses`; to look a name up is no request to the source."""
        return await self._http.addresses(host, port)

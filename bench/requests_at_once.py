"""Requests from many clients at once, as fast as they are answered, or one after another."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.calls import percentile

_TIMEOUT = aiohttp.ClientTimeout(total=30)

# The method, the path and the body of the next request.
Next = Callable[[], tuple[str, str, Any]]


@dataclass
class Answered:
    """What came back within `seconds`: how often each status, the time that each answer took, and the answers."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def rate_per_s(self) -> float:
        return sum(self.statuses.values()) / self.seconds

    def took_at(self, share: float) -> float:
        """The time within which this share of the answers came."""
        return percentile(sorted(self.took), share) or 0.0


def ask(url: str, token: str, request: Next, *, clients: int, seconds: float = 0.0, times: int = 0) -> Answered:
    """Send requests from so many clients for so long, or so many times."""
    return asyncio.run(_ask(url, token, request, clients, seconds, times))


async def _ask(url: str, token: str, request: Next, clients: int, seconds: float, times: int) -> Answered:
    seen = Answered()
    left = times
    began = time.monotonic()

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal left
        while (left > 0) if times else (time.monotonic() - began < seconds):
            left -= 1
            method, path, body = request()
            sent = time.monotonic()
            async with session.request(method, url + path, json=body) as reply:
                seen.bodies.append(await reply.read())
                seen.statuses[reply.status] += 1
                seen.took.append(time.monotonic() - sent)

    headers = {"Authorization": f"Bearer {token}"}
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=_TIMEOUT) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    seen.seconds = time.monotonic() - began
    return seen

"""The threads in which requests of ours may block.

Airflow answers its own requests, those of its workers among them, by the threads of the same pool, of which there are
40: ours are so few that the rest goes on, however much is asked of us, and however slow the database is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

from anyio import CapacityLimiter
from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from include.deadline import within
from include.errors import RetryableError

T = TypeVar("T")

_MOST = 16
_WAIT_SECONDS = 10.0


class Threads:
    """Turns at a thread."""

    def __init__(self) -> None:
        self._turns = CapacityLimiter(_MOST)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """While inside, one more thread may be used; `RetryableError` if none comes free in time."""
        try:
            await within(_WAIT_SECONDS, self._turns.acquire())
        except asyncio.TimeoutError:
            raise RetryableError("too much to do at present: send it again later") from None
        try:
            yield
        finally:
            self._turns.release()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises, in a thread."""
        async with self.turn():
            return await run_in_threadpool(work)


def threads_of(request: Request) -> Threads:
    """The app's."""
    found: Threads = request.app.state.threads
    return found


async def _threads(request: Request) -> Threads:
    return threads_of(request)


ThreadsDep = Annotated[Threads, Depends(_threads)]

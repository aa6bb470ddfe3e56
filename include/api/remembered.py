"""What many may ask for and one at a time works out: an open endpoint cannot be used to load the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from include.deadline import within

T = TypeVar("T")


class Remembered(Generic[T]):
    """What `work` returns, or the error that it raises, for so many seconds. It runs in a thread, never twice at a
    time; who asks meanwhile waits without holding one."""

    def __init__(self, work: Callable[[], T], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._until = 0.0
        self._task: asyncio.Task[T] | None = None

    async def get(self, most_seconds: float) -> T:
        """What is remembered, or works out; `asyncio.TimeoutError` if that takes longer, and it goes on."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._until):
            self._task = asyncio.create_task(self._run())
        return await within(most_seconds, asyncio.shield(self._task))

    async def _run(self) -> T:
        try:
            return await asyncio.to_thread(self._work)
        finally:
            self._until = time.monotonic() + self._seconds

"""A limit on waiting that never loses a cancellation.

`asyncio.wait_for` does before Python 3.12: cancelled in the very moment in which what it waits for is done, it returns
the result and forgets that it was cancelled (CPython issue 86296). A shift that Airflow takes away from this process
must not go on because of that.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

T = TypeVar("T")


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Await `work`; cancel it, and raise `asyncio.TimeoutError`, if it takes longer."""
    try:
        async with timeout(seconds):
            return await work
    except TimeoutError as error:  # another class than asyncio's on Python 3.10
        raise asyncio.TimeoutError from error

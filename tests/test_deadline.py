"""Waiting with a limit: what is cancelled stays cancelled, and what takes too long is ended."""

from __future__ import annotations

import asyncio

import pytest

from include.deadline import within


async def test_a_cancellation_in_the_moment_of_success_is_not_lost() -> None:
    """Cancelled when what it waits for is done already, but not yet returned, the waiter is cancelled all the same."""
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiter = asyncio.create_task(within(10, done))
    await asyncio.sleep(0)
    done.set_result(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_what_takes_too_long_is_ended() -> None:
    """The work is cancelled, and the waiter told so."""
    work = asyncio.ensure_future(asyncio.sleep(60))
    with pytest.raises(asyncio.TimeoutError):
        await within(0.01, work)
    assert work.cancelled()


async def test_a_result_in_time_is_returned() -> None:
    """What is done in time is what is awaited."""
    assert await within(10, asyncio.sleep(0, "done")) == "done"

"""Ordinary functions and generators, run in a thread, as asynchronous ones.

The threads are daemons: code that never returns keeps nobody from ending the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

_Asked = SimpleQueue["asyncio.Future[tuple[T] | None] | None"]  # None: no more will be asked


async def in_thread(call: Callable[[], T]) -> T:
    """Return what the call returns, or raise what it raises; cancelled, it is left behind."""
    async for result in threaded(lambda: iter([call()])):
        return result
    raise AssertionError("a list of one has one")


async def threaded(generate: Callable[[], Iterator[T]]) -> AsyncGenerator[T, None]:
    """Yield what the generator yields; it runs in one thread and only when it is asked."""
    loop = asyncio.get_running_loop()
    asked: _Asked[T] = SimpleQueue()
    threading.Thread(target=_answer, args=(generate, asked, loop), daemon=True, name="generator").start()
    try:
        while True:
            future: asyncio.Future[tuple[T] | None] = loop.create_future()
            asked.put(future)
            answer = await future
            if answer is None:
                return
            yield answer[0]
    finally:
        asked.put(None)


def _answer(generate: Callable[[], Iterator[T]], asked: _Asked[T], loop: asyncio.AbstractEventLoop) -> None:
    items: Iterator[T] | None = None
    while (future := asked.get()) is not None:
        answer: tuple[T] | None = None
        error: Exception | None = None
        try:
            items = generate() if items is None else items
            answer = next(((item,) for item in items), None)
        except Exception as caught:  # whatever it is, it belongs to whoever waits
            error = caught
        except BaseException as caught:  # such as SystemExit, which would end this thread and leave the waiter waiting
            error = RuntimeError(f"the generator raised {type(caught).__name__}")
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, answer, error)
    if isinstance(items, Generator):
        items.close()


def _settle(future: asyncio.Future[tuple[T] | None], answer: tuple[T] | None, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(answer)

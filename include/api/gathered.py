"""Many small requests as few transactions.

What is asked for while a transaction is under way waits for the next one, and goes into it together: nobody waits who
comes alone, and under load a commit, and the way to the database and back, is shared by all who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

from include.errors import MillraceError, RetryableError

Ask = TypeVar("Ask")
Given = TypeVar("Given")

_MOST_WAITING = 1_000
# Of the API's connections, so that something is left for the rest.
_AT_ONCE = 4


class Gathered(Generic[Ask, Given]):
    """`run` answers asks, in their order, all in one transaction; it runs in a thread. Only asks with the same
    `together` are answered together, one transaction after the other, and keep nobody else waiting.

    If it refuses, each ask is answered by itself, so that nobody is refused for what another one has sent.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Ask]], Sequence[Given]],
        *,
        together: Callable[[Ask], Hashable],
        most: int = 100,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._run = run
        self._together = together
        self._most = most
        self._most_waiting = most_waiting
        self._waiting: dict[Hashable, list[tuple[Ask, asyncio.Future[Given | Exception]]]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._threads = CapacityLimiter(_AT_ONCE)

    async def ask(self, ask: Ask) -> Given:
        """The answer; what `run` refuses this ask with is raised. `RetryableError` if too many wait already.

        Who goes away before his turn comes has asked for nothing.
        """
        waiting = self._queue(self._together(ask))
        if len(waiting) >= self._most_waiting:
            raise RetryableError("too much to do at present: send it again later")
        future: asyncio.Future[Given | Exception] = asyncio.get_running_loop().create_future()
        waiting.append((ask, future))
        answer = await future
        if isinstance(answer, MillraceError):
            raise answer
        if isinstance(answer, Exception):  # of everybody in the transaction: each raises one of his own
            raise RuntimeError("what was asked for together has failed") from answer
        return answer

    async def close(self) -> None:
        """Return when all that was asked for has been answered."""
        while self._workers:
            await asyncio.wait(self._workers)

    def _queue(self, key: Hashable) -> list[tuple[Ask, asyncio.Future[Given | Exception]]]:
        """Those who wait to be answered together, and somebody who answers them."""
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = []
            worker = asyncio.create_task(self._work(key))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return waiting

    async def _work(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        part = waiting[:0]
        try:
            while waiting:
                part = [pair for pair in waiting[: self._most] if not pair[1].done()]
                del waiting[: self._most]
                if part:
                    asks = [ask for ask, _ in part]
                    _settle(part, await to_thread.run_sync(self._answers, asks, limiter=self._threads))
        finally:  # nobody waits for ever, whatever has ended it
            del self._waiting[key]
            cut_off = RetryableError("it was cut off, and may have been done or not: look, or send it again later")
            _settle([*part, *waiting], [cut_off] * (len(part) + len(waiting)))

    def _answers(self, asks: Sequence[Ask]) -> Sequence[Given | Exception]:
        try:
            return [answer for _, answer in zip(asks, self._run(asks), strict=True)]
        except RetryableError as error:
            return [error] * len(asks)
        except MillraceError as error:
            return [error] if len(asks) == 1 else [self._answers([ask])[0] for ask in asks]
        except Exception as error:  # a defect of ours
            return [error] * len(asks)


def _settle(
    part: Sequence[tuple[Ask, asyncio.Future[Given | Exception]]], answers: Sequence[Given | Exception]
) -> None:
    for (_, future), answer in zip(part, answers, strict=True):
        if not future.done():  # whoever asked may have gone away
            future.set_result(answer)

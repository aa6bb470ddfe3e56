"""Many small writes as few transactions.

What is asked for while a transaction is under way waits for the next one, and goes into it together: nobody waits who
comes alone, and under load a commit, and the way to the database and back, is shared by all who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from fastapi.concurrency import run_in_threadpool

from include.errors import MillraceError, RetryableError

Ask = TypeVar("Ask")
Given = TypeVar("Given")

_MOST_WAITING = 10_000


class Gathered(Generic[Ask, Given]):
    """`run` answers asks, in their order, all in one transaction; it runs in a thread, one at a time. Only asks with
    the same `together` are answered together.

    If it refuses, each ask is answered by itself, so that nobody is refused for what another one has sent.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Ask]], Sequence[Given]],
        *,
        together: Callable[[Ask], Hashable],
        most: int = 100,
    ) -> None:
        self._run = run
        self._together = together
        self._most = most
        self._waiting: list[tuple[Ask, asyncio.Future[Given]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, ask: Ask) -> Given:
        """The answer; what `run` raises for this ask is raised. `RetryableError` if too many wait already."""
        if len(self._waiting) >= _MOST_WAITING:
            raise RetryableError("too much to do at present: send it again later")
        future: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def close(self) -> None:
        """Return when all that was asked for has been answered."""
        if self._worker is not None:
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while self._waiting:
            part = self._next()
            for (_, future), answer in zip(part, await run_in_threadpool(self._answers, part), strict=True):
                if future.done():  # whoever asked has gone away
                    continue
                if isinstance(answer, BaseException):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    def _next(self) -> Sequence[tuple[Ask, asyncio.Future[Given]]]:
        """Those that can be answered together with the one that has waited longest."""
        key = self._together(self._waiting[0][0])
        part = [pair for pair in self._waiting if self._together(pair[0]) == key][: self._most]
        chosen = {id(future) for _, future in part}
        self._waiting = [pair for pair in self._waiting if id(pair[1]) not in chosen]
        return part

    def _answers(self, part: Sequence[tuple[Ask, object]]) -> Sequence[Given | Exception]:
        asks = [ask for ask, _ in part]
        try:
            return self._run(asks)
        except RetryableError as error:
            return [error] * len(asks)
        except MillraceError as error:
            return [error] if len(asks) == 1 else [self._answer(ask) for ask in asks]
        except Exception as error:  # a defect of ours is everybody's 500, and nobody waits for ever
            return [error] * len(asks)

    def _answer(self, ask: Ask) -> Given | Exception:
        try:
            [answer] = self._run([ask])
        except Exception as error:
            return error
        return answer

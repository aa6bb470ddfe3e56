"""Looking names up, without holding anybody up."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from include.deadline import within

ANY_FAMILY = socket.AddressFamily(socket.AF_UNSPEC)

_THREADS = 16
_KEPT_NAMES = 1000


def look_up(host: str, port: int | None = None) -> list[str]:
    """The addresses of a name as the system knows them, looked up now; `OSError` if there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    # The last of an IPv6 peer is its zone, which a link-local address is useless without.
    texts = [f"{peer[0]}%{peer[3]}" if len(peer) == 4 and peer[3] else str(peer[0]) for *_, peer in found]
    return list(dict.fromkeys(texts))


class SystemResolver(AbstractResolver):
    """The system's own resolver, in threads of its own: slow names take no thread from anything but other names.

    A look-up that takes longer than `timeout_seconds` fails. An answer is kept for `kept_seconds`, a failure is not;
    look-ups of one name at the same time are one.
    """

    def __init__(self, *, timeout_seconds: float = 10.0, kept_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._kept_seconds = kept_seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="look-up")
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}
        self._kept: dict[str, tuple[float, list[str]]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = ANY_FAMILY) -> list[ResolveResult]:
        """The addresses of a host, whatever their family; `OSError` if there are none in time."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._addresses(host)
        ]

    async def close(self) -> None:
        """Begin no more look-ups, and wait for none."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> list[str]:
        until, addresses = self._kept.get(host, (0.0, []))
        if time.monotonic() < until:
            return addresses
        answer = self._under_way.get(host)
        if answer is None:
            answer = asyncio.get_running_loop().run_in_executor(self._threads, look_up, host)
            self._under_way[host] = answer
            answer.add_done_callback(partial(self._answered, host))
        try:
            return await within(self._timeout_seconds, asyncio.shield(answer))
        except asyncio.TimeoutError:
            raise socket.gaierror(socket.EAI_AGAIN, "the look-up timed out") from None

    def _answered(self, host: str, answer: asyncio.Future[list[str]]) -> None:
        """Keep an answer; look at a failure too, for those who asked may have left."""
        del self._under_way[host]
        if answer.cancelled() or answer.exception() is not None:
            return
        self._kept.pop(host, None)  # so that the oldest comes first
        while len(self._kept) >= _KEPT_NAMES:
            del self._kept[next(iter(self._kept))]
        self._kept[host] = (time.monotonic() + self._kept_seconds, answer.result())

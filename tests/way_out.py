"""The way out as tests of it need it, and names that they make up."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network

import aiohttp
import pytest_asyncio
from aiohttp.abc import AbstractResolver, ResolveResult

from include.egress import Egress

LOOPBACK = (ip_network("127.0.0.1/32"),)


@pytest_asyncio.fixture
async def egress() -> AsyncIterator[Egress]:
    """The way out as these tests need it: 127.0.0.1 is allowed, and no other special address."""
    egress = Egress(allow=LOOPBACK, concurrency=10)
    yield egress
    await egress.close()


@pytest_asyncio.fixture
async def strict() -> AsyncIterator[Egress]:
    """The way out as it is by default."""
    egress = Egress()
    yield egress
    await egress.close()


class Names(AbstractResolver):
    """A name server under the test's control; a name that it does not know cannot be resolved."""

    def __init__(self, names: Mapping[str, list[str]]) -> None:
        self._names = names

    def find(self, name: str) -> list[str]:
        return self._names.get(name, [])

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = self.find(host)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0) for address in found
        ]

    async def close(self) -> None:
        pass


class Recorder(Egress):
    """A way out that notes each address that it would connect to, and connects to none."""

    peers: list[str]

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        super()._socket(info).close()
        self.peers.append(str(info[4][0]))
        raise OSError("no test connects to this")


def recorder(names: AbstractResolver | None = None, **options: object) -> Recorder:
    made = Recorder(resolver=names or Names({}), **options)  # type: ignore[arg-type]  # as `Egress` has them
    made.peers = []
    return made


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A real DNS server on the loopback, and the client to ask it with: answers change as a test wants."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address
from typing import cast

from aiohttp.abc import AbstractResolver, ResolveResult

_A, _IN, _TTL = 1, 1, 0
_ANSWER = 0x8180  # a response, recursion desired and available


class DnsServer(asyncio.DatagramProtocol):
    """Answers each question for an A record (RFC 1035 4.1) with the next address, and at last always with the last."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode())
            place += 1 + length
        address = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(".".join(labels))
        question = data[12 : place + 5]
        record = struct.pack("!HHHIH", 0xC00C, _A, _IN, _TTL, 4) + IPv4Address(address).packed
        assert self._transport is not None
        self._transport.sendto(data[:2] + struct.pack("!5H", _ANSWER, 1, 1, 0, 0) + question + record, addr)


class DnsClient(AbstractResolver):
    """Asks a server anew each time, and remembers nothing."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        name = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!HH", _A, _IN)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect(("127.0.0.1", self._port))
            await loop.sock_sendall(asking, question)
            answer = await loop.sock_recv(asking, 512)
        address = str(IPv4Address(answer[-4:]))
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def answering(*answers: str) -> AsyncIterator[DnsServer]:
    """Serve DNS on 127.0.0.1: each question gets the next of these addresses."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DnsServer(list(answers)), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()

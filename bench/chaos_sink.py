"""The sink of `chaos`: takes calls and mails, writes each down, and can be cut off from the network.

The port that it tells is for the bench, and never cut: `GET /ports` says where calls (`http`) and mails (`smtp`) go;
`GET /cut?how=refuse` closes both and breaks off what is under way, `how=hang` takes what comes and answers nothing,
`how=no` ends either, and breaks off what was left unanswered. `GET /dump?from=N` lists what came from number N on, one
line each: when it began (seconds since the epoch), its key, its path.

What calls below `/flaky/` fails at times, `/broken/` always (500), `/picky/` with records at every seventh position
(400). The key is `webhook-id`, `idempotency-key`, or what the `Message-ID` of a mail was made of; the path of a mail is
its subject.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from typing import cast
from urllib.parse import parse_qs, urlsplit

from bench.sink import fails
from bench.wire import Connection, Reply, Request, add_leash, json_response, response

PICKY_ABOUT = 7
_FLAKY = 0.3
_HOST = "127.0.0.1"
_SUBJECT = re.compile(rb"^subject:\s*(/\S*)", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^message-id:\s*<([^@>]+)@", re.IGNORECASE | re.MULTILINE)


class ChaosSink:
    """What came, and whether it is answered."""

    def __init__(self) -> None:
        self.how = "no"
        self.ports = {"http": 0, "smtp": 0}
        self._lines: list[str] = []
        self._seen: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.BaseTransport] = set()

    async def listen(self) -> None:
        """Take calls and mails, at the same ports as before."""
        loop = asyncio.get_running_loop()
        for name, factory in (("http", lambda: _Calls(self)), ("smtp", lambda: _Mails(self))):
            server = await loop.create_server(factory, _HOST, self.ports[name], backlog=1024)
            self.ports[name] = server.sockets[0].getsockname()[1]
            self._servers.append(server)

    async def cut(self, how: str) -> None:
        if how == "refuse":
            self._deafen()
        elif self.how == "refuse":
            await self.listen()
        if how != "hang":
            self._break_off()
        self.how = how

    def _deafen(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _break_off(self) -> None:
        for transport in list(self._open):
            if isinstance(transport, asyncio.Transport):
                transport.abort()

    def opened(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(transport)

    def closed(self, transport: asyncio.BaseTransport) -> None:
        self._open.discard(transport)

    def note(self, began: float, key: str, path: str) -> None:
        self._lines.append(f"{began!r},{key},{path}\n")

    def handle(self, request: Request, began: float, reply: Reply) -> None:
        self.note(began, request.webhook_id, request.target)
        if self.how == "no":
            status = self._verdict(request)
            reply(response(status, b"ok" if status == 200 else b""))

    def _verdict(self, request: Request) -> int:
        first = request.target.split("/")[1]
        if first == "broken":
            return 500
        if first == "picky":
            position = request.webhook_id.rpartition(":")[2]
            return 400 if position.isdecimal() and int(position) % PICKY_ABOUT == 0 else 200
        if first == "flaky":
            self._seen[request.webhook_id] += 1
            return 500 if fails(request.webhook_id, self._seen[request.webhook_id], _FLAKY) else 200
        return 200

    def control(self, request: Request, _began: float, reply: Reply) -> None:
        url = urlsplit(request.target)
        values = {name: given[0] for name, given in parse_qs(url.query).items()}
        if url.path == "/ports":
            reply(json_response(self.ports))
        elif url.path == "/count":
            reply(json_response({"calls": len(self._lines)}))
        elif url.path == "/dump":
            reply(response(200, "".join(self._lines[int(values.get("from", "0")) :]).encode()))
        elif url.path == "/cut" and values.get("how") in ("refuse", "hang", "no"):
            task = asyncio.ensure_future(self.cut(values["how"]))
            task.add_done_callback(lambda done: reply(response(500 if done.exception() else 200, b"")))
        else:
            reply(response(404, b""))


class _Calls(Connection):
    """A connection of callers, which can be broken off."""

    def __init__(self, sink: ChaosSink) -> None:
        super().__init__(sink.handle)
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sink.opened(transport)
        self._whom = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._sink.closed(self._whom)


class _Mails(asyncio.Protocol):
    """Just enough SMTP to be given mails."""

    def __init__(self, sink: ChaosSink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_mail = False
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._began = time.time()
        self._sink.opened(transport)
        self._say(b"220 sink ready")

    def connection_lost(self, _error: Exception | None) -> None:
        self._sink.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_mail else b"\r\n"
            part, found, rest = bytes(self._buffer).partition(end)
            if not found:
                return
            self._buffer[:] = rest
            if self._in_mail:
                self._take(part)
            else:
                self._one(part.split(b" ")[0].upper())

    def _one(self, verb: bytes) -> None:
        self._in_mail = verb == b"DATA"
        self._say({b"DATA": b"354 go ahead", b"QUIT": b"221 bye"}.get(verb, b"250 ok"))

    def _take(self, mail: bytes) -> None:
        self._in_mail = False
        named = _MESSAGE_ID.search(mail)
        about = _SUBJECT.search(mail)
        self._sink.note(self._began, named[1].decode() if named else "", about[1].decode() if about else "/mail")
        self._say(b"250 queued")

    def _say(self, line: bytes) -> None:
        if self._sink.how == "no" and not self._transport.is_closing():
            self._transport.write(line + b"\r\n")


async def _serve(leashed: bool) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if leashed:
        loop.add_reader(sys.stdin.fileno(), stopped.set)  # nobody writes to it, so it can only have been closed
    sink = ChaosSink()
    await sink.listen()
    control = await loop.create_server(lambda: Connection(sink.control), _HOST, 0)
    print(json.dumps({"port": control.sockets[0].getsockname()[1]}), flush=True)
    await stopped.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos_sink", description="Take calls and mails.")
    add_leash(parser)
    asyncio.run(_serve(parser.parse_args().leashed))
    return 0


if __name__ == "__main__":
    sys.exit(main())

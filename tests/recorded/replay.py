"""Plays recorded pages back: a server on the loopback that expects the recorded requests, one after another.

A recording is a folder of `*.http` files, in the order of their names: the request as it went out, an empty line, the
reply, an empty line, its body. `Host` says what the server stands for: links to it, in headers and in JSON, lead to the
loopback. The request must have the other headers that are written; it may have more.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from tests.fake_http import serving

RECORDED = Path(__file__).parent


class Exchange(NamedTuple):
    """A request and its reply."""

    name: str
    method: str
    target: str
    expects: dict[str, str]
    status: int
    headers: dict[str, str]
    body: str

    def difference(self, request: web.Request) -> str | None:
        """What a request has that this one has not, or the other way round."""
        url = urlsplit(self.target)
        asked = request.method, request.path, sorted(request.query.items())
        expected = self.method, url.path, sorted(parse_qsl(url.query, keep_blank_values=True))
        if asked != expected:
            return f"{self.name} is {expected}, asked was {asked}"
        for name, value in self.expects.items():
            if name != "Host" and request.headers.get(name) != value:
                return f"{self.name} has {name}: {value}, asked was with {request.headers.get(name)}"
        return None


@dataclass
class Replay:
    """What is left of a recording of `origin`, and what was asked that is not in it; as a handler, it answers."""

    left: list[Exchange]
    origin: str
    url: str = ""
    amiss: str | None = None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.amiss = self.amiss or (self.left[0].difference(request) if self.left else f"{request.url} is one too many")
        if self.amiss:
            return web.Response(status=501, text="not in the recording")
        exchange = self.left.pop(0)
        headers = {name: value.replace(self.origin, self.url) for name, value in exchange.headers.items()}
        as_json = exchange.headers.get("Content-Type", "").startswith("application/json")
        body = exchange.body.replace(self.origin, self.url) if as_json else exchange.body
        return web.Response(status=exchange.status, headers=headers, body=body.encode())


@asynccontextmanager
async def replaying(folder: Path) -> AsyncIterator[Replay]:
    """Serve a recording; `AssertionError` if it was not asked for exactly as it is, from the first to the last."""
    exchanges = read(folder)
    replay = Replay(exchanges, origin=f"https://{exchanges[0].expects['Host']}")
    async with serving(replay) as server:
        replay.url = server.url("")
        try:
            yield replay
        finally:
            assert replay.amiss is None, replay.amiss
    assert not replay.left, f"nobody asked for {[exchange.name for exchange in replay.left]}"


def read(folder: Path) -> list[Exchange]:
    """The exchanges of a recording, in their order."""
    return [_exchange(file) for file in sorted(folder.glob("*.http"))]


def _exchange(file: Path) -> Exchange:
    request, reply, *body = file.read_text("utf-8").split("\n\n", 2)
    first, *expects = request.splitlines()
    status, *headers = reply.splitlines()
    method, _, target = first.partition(" ")
    code = int(status.split()[1])
    return Exchange(file.stem, method, target, _headers(expects), code, _headers(headers), "".join(body))


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(": ") for line in lines)
    return {name: value for name, _, value in pairs}

"""The demo's echo server: answers every request with what it was, and remembers the last ones.

`/requests` lists them, `/flaky` fails every third time with 503. Run as `python -m include.local.demo PORT`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import count

from aiohttp import web

from include.local.ports import LOOPBACK

_KEPT = 200
_MAX_BYTES = 65_536

_Seen = dict[str, object]
_SEEN: web.AppKey[deque[_Seen]] = web.AppKey("seen")
_FLAKY: web.AppKey[Iterator[int]] = web.AppKey("flaky")


async def _echo(request: web.Request) -> web.Response:
    seen: _Seen = {
        "at": datetime.now(timezone.utc).isoformat(),
        "method": request.method,
        "path": request.path_qs,
        "headers": dict(request.headers),
        "body": (await request.read()).decode("utf-8", "replace"),
    }
    history = request.app[_SEEN]
    history.append(seen)
    return web.json_response(seen)


async def _flaky(request: web.Request) -> web.Response:
    turns = request.app[_FLAKY]
    if next(turns) % 3 == 0:
        return web.json_response({"error": "every third request fails"}, status=503)
    return await _echo(request)


async def _requests(request: web.Request) -> web.Response:
    history = request.app[_SEEN]
    return web.json_response(list(history))


def echo_server() -> web.Application:
    app = web.Application(client_max_size=_MAX_BYTES)
    seen: deque[_Seen] = deque(maxlen=_KEPT)
    turns: Iterator[int] = count(1)
    app[_SEEN] = seen
    app[_FLAKY] = turns
    app.router.add_get("/requests", _requests)
    app.router.add_route("*", "/flaky", _flaky)
    app.router.add_route("*", "/{path:.*}", _echo)
    return app


if __name__ == "__main__":
    web.run_app(echo_server(), host=LOOPBACK, port=int(sys.argv[1]), print=None, access_log=None)

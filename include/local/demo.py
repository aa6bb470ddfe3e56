"""The demo's outside world: a server that answers every request with what it was, and remembers the last ones.

`/requests` lists them, `/flaky` fails every third time with 503, `/news` has a new item every two seconds, for a
connector to pull. Run as `python -m include.local.demo PORT`.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count

from aiohttp import web

from include.local.ports import LOOPBACK

_KEPT = 200
_MAX_BYTES = 65_536

_NEWS_EVERY = timedelta(seconds=2)
_NEWS_KEPT = 10
_TOPICS = ("weather", "sports", "science")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

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


async def _news(request: web.Request) -> web.Response:
    """The items from number `since` on, the last ten at most; an item's number is its time."""
    since = request.query.get("since", "0")
    newest = (datetime.now(timezone.utc) - _EPOCH) // _NEWS_EVERY
    first = max(int(since) if since.isdigit() else 0, newest - _NEWS_KEPT + 1)
    return web.json_response({"items": [_item(number) for number in range(first, newest + 1)]})


def _item(number: int) -> dict[str, object]:
    topic = _TOPICS[number % len(_TOPICS)]
    published_at = _EPOCH + number * _NEWS_EVERY
    return {"id": number, "title": f"{topic} at {published_at:%X}", "topic": topic, "at": published_at.isoformat()}


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
    app.router.add_get("/news", _news)
    app.router.add_route("*", "/flaky", _flaky)
    app.router.add_route("*", "/{path:.*}", _echo)
    return app


if __name__ == "__main__":
    web.run_app(echo_server(), host=LOOPBACK, port=int(sys.argv[1]), print=None, access_log=None)

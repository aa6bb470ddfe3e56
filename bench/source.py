"""The source: an HTTP server with records to pull, which remembers who asked for what, and when.

`GET /items?offset=&limit=` is a page of a list that does not change, `{"items": [...], "total": N}`. `GET /feed/<name>`
is a list that grows: `?since=ID` answers the records after that one, at most `--limit` of them, as
`{"items": [...], "next": ID or null}`. Whoever has seen all gets `--grow` new ones, but not again within `--calm`
seconds. Records are about `--bytes` long and numbered 1, 2, 3 ... (`id`). Those of the list that does not change are
rendered beforehand, so that the source is not what limits the pull.

`GET /count` says how many requests came, and how many records there are. `GET /dump?from=N` lists the requests from
number N on, one line each: arrival (seconds since the epoch), feed (empty: the items), how many records there were.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from bench.wire import Reply, Request, add_leash, json_response, response, serve

_ITEMS = ""
_TEXT = "lorem ipsum dolor sit amet, "


class Feed:
    """A list that grows when it is read to its end; of records only the number is kept, since it tells the rest."""

    def __init__(self) -> None:
        self.size = 0
        self._grown_at = 0.0

    def read(self, since: int, limit: int, grow: int, calm_seconds: float) -> range:
        """The numbers of the records after `since`, with new ones if there were none."""
        now = time.monotonic()
        if since >= self.size and now - self._grown_at >= calm_seconds:
            self.size += grow
            self._grown_at = now
        return range(since + 1, min(since + limit, self.size) + 1)


class Source:
    """Everything that there is to pull, and who has asked for it."""

    def __init__(self, items: int, size: int, *, limit: int, grow: int, calm_seconds: float) -> None:
        self._items = [record(number, size) for number in range(1, items + 1)]
        self._size = size
        self._limit = limit
        self._grow = grow
        self._calm_seconds = calm_seconds
        self._feeds: dict[str, Feed] = {}
        self._asked: list[tuple[float, str, int]] = []  # arrival, feed, its size

    def handle(self, request: Request, began: float, reply: Reply) -> None:
        url = urlsplit(request.target)
        numbers = {name: int(values[0]) for name, values in parse_qs(url.query).items() if values[0].isdecimal()}
        if url.path == "/count":
            records = len(self._items) + sum(feed.size for feed in self._feeds.values())
            reply(json_response({"requests": len(self._asked), "records": records}))
        elif url.path == "/dump":
            reply(response(200, self._dump(numbers.get("from", 0))))
        elif url.path == "/items":
            self._asked.append((began, _ITEMS, len(self._items)))
            first = numbers.get("offset", 0)
            reply(page(self._items[first : first + numbers.get("limit", self._limit)], "total", len(self._items)))
        elif url.path.startswith("/feed/"):
            reply(self._feed_page(url.path.removeprefix("/feed/"), numbers.get("since", 0), began))
        else:
            reply(response(404, b""))

    def _feed_page(self, name: str, since: int, began: float) -> bytes:
        feed = self._feeds.setdefault(name, Feed())
        found = feed.read(since, self._limit, self._grow, self._calm_seconds)
        self._asked.append((began, name, feed.size))
        following = found[-1] if found and found[-1] < feed.size else None
        return page([record(number, self._size) for number in found], "next", following)

    def _dump(self, first: int) -> bytes:
        lines = (f"{arrival!r},{feed},{size}\n" for arrival, feed, size in self._asked[first:])
        return "".join(lines).encode()


def record(number: int, size: int) -> bytes:
    """A record of `size` bytes (or somewhat more, where that is too few), as JSON: for a number always the same."""
    facts = {
        "id": number,
        "name": f"record {number}",
        "state": ("open", "closed", "pending")[number % 3],
        "amount": number * 37 % 10_000 / 100,
        "updated_at": f"2026-05-04T12:{number // 60 % 60:02}:{number % 60:02}Z",
        "author": f"author{number % 997}@example.com",
        "text": "",
    }
    short = json.dumps(facts, separators=(",", ":"))
    facts["text"] = (_TEXT * (size // len(_TEXT) + 1))[: max(size - len(short), 0)]
    return json.dumps(facts, separators=(",", ":")).encode()


def page(records: Sequence[bytes], name: str, value: int | None) -> bytes:
    """A response with these records, and one number besides."""
    body = b'{"items":[%b],"%b":%b}' % (b",".join(records), name.encode(), json.dumps(value).encode())
    return response(200, body, "application/json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.source", description="Have records to pull.")
    parser.add_argument("--items", type=int, default=0, help="how many records /items has")
    parser.add_argument("--bytes", type=int, default=400, help="how long a record is")
    parser.add_argument("--limit", type=int, default=500, help="records a page at most, where the request says nothing")
    parser.add_argument("--grow", type=int, default=20, help="records by which a feed grows when it is read to its end")
    parser.add_argument("--calm", type=float, default=0.5, help="seconds in which it then does not grow again")
    add_leash(parser)
    options = parser.parse_args()
    source = Source(options.items, options.bytes, limit=options.limit, grow=options.grow, calm_seconds=options.calm)
    serve(source.handle, leashed=options.leashed)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Pull records from an HTTP API that gives them as JSON, page by page.

The configuration is an endpoint of dlt's `rest_api`: what is written for the one means the same to the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timezone
from typing import Any

from pydantic import JsonValue

from include.connectors._paths import Path, path
from include.connectors._rest_actions import judge, parsed
from include.connectors._rest_client import Client
from include.connectors._rest_config import Config
from include.connectors._rest_detect import find_paginator, find_rows
from include.connectors._rest_fields import to_json
from include.connectors._rest_incremental import Sieve
from include.connectors._rest_pages import Seen
from include.connectors._rest_place import Place, begin, described, done, paging, read
from include.connectors._rest_request import Request
from include.connectors._wait import spent, wait_seconds
from include.errors import RateLimitedError, RetryableError
from include.model import Page, Record, Reply, Source

# A server that no longer knows the page which we stopped before says one of these.
_LOST = frozenset({400, 404, 410, 422})
_WITHOUT = {
    "primary_key": "what has no key is known by its content, and stored again when that changes",
    "incremental.cursor_path": "each pull will begin where the first one did",
}


async def pull(source: Source[Config]) -> AsyncIterator[Page]:
    """Yield page after page from where the cursor is, until the source has no more.

    A place that the source has lost is given up once for the beginning of the pull; `RetryableError` if that does not
    help. The last page ends a pull; the next one begins with the greatest value of `incremental`, or with all.
    """
    config = source.config
    place, resumed = read(config, source.cursor)
    start = config.incremental.start(place.since) if config.incremental else None
    first, headers = config.request(start)
    client = Client(source, headers)
    anew = False
    while True:
        request = _request(first, place)
        reply = await client.send(request)
        verdict = _verdict(client, config, request, reply, resumed)
        if verdict == "reset":
            if anew:
                raise RetryableError(f"{client.line(request)}: lost our place again after beginning anew")
            place, resumed, anew = begin(config, place.since, place.last), False, True
            continue
        resumed = False
        if verdict == "ignore":
            yield Page((), done(config, place), {"request": client.shown(request), "ignored": reply.status})
            return
        page, place = _page(client, config, place, start, request, reply)
        yield page
        if place.next is None:
            return
        _keep_to_the_limit(client.line(request), reply)


def warnings(config: Config, records: Sequence[Record]) -> list[str]:
    """The paths that lead to nothing in any of these records, and what follows from that."""
    named = [("primary_key", key) for key in config.primary_key or ()]
    if config.incremental is not None:
        named.append(("incremental.cursor_path", config.incremental.cursor_path))
    rows = [record.payload for record in records]
    return [
        f"{setting}: none of these {len(rows)} records has anything at {text}; {_WITHOUT[setting]}"
        for setting, text in named
        if rows and all(path(text).first(row) is None for row in rows)
    ]


def _request(first: Request, place: Place) -> Request:
    if place.paginator is None or place.next is None:
        return first
    return place.paginator.ask(first, place.next)


def _verdict(client: Client, config: Config, request: Request, reply: Reply, resumed: bool) -> str:
    actions = config.response_actions
    if resumed and reply.status in _LOST and not any(action.applies(reply) for action in actions):
        return "reset"
    return judge(reply, client.line(request), actions, client.redact)


def _page(
    client: Client, config: Config, place: Place, start: Any, request: Request, reply: Reply
) -> tuple[Page, Place]:
    """The page that a reply holds, and the place after it, whose `next` is None if it was the last."""
    data = parsed(reply, client.line(request))
    selector = place.data_selector or find_rows(data)
    rows = _rows(path(selector), data)
    paginator, here = place.paginator, place.next
    if paginator is None:
        paginator = find_paginator(reply.headers, data)
        here = paginator.first()
    seen = Seen(reply.headers, data, rows, lambda link: client.follow(request, link))
    following = paginator.after(here, seen)
    last = place.last
    if config.incremental is not None:
        rows, last, past = Sieve(config.incremental, start).sift(rows, place.last)
        following = None if past else following
    place = Place(place.since, last, following, paginator, selector)
    cursor = done(config, place) if following is None else paging(config, place)
    about: dict[str, JsonValue] = {"paginator": paginator.type, "request": client.shown(request)}
    if config.known_paginator is None:
        about["detected"] = {"paginator": described(paginator), "data_selector": selector}
    return Page(_records(rows, [path(key) for key in config.primary_key or ()]), cursor, about), place


def _rows(selector: Path, data: Any) -> Sequence[Any]:
    """What the selector finds; if that is one list, its items."""
    found = selector.find(data)
    value = found[0] if len(found) == 1 else found
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _records(rows: Sequence[Any], keys: Sequence[Path]) -> list[Record]:
    """Each row with its key: a text as it is, all else, and several parts together, as JSON; None if it has none."""
    if not keys:
        return [Record(None, row) for row in rows]
    columns = [key.column(rows) for key in keys]
    if len(columns) == 1:
        texts = [key if type(key) is str else str(key) if type(key) is int else _text(key) for key in columns[0]]
        return [Record(key, row) for key, row in zip(texts, rows, strict=True)]
    return [
        Record(None if all(part is None for part in parts) else to_json(parts), row)
        for parts, row in zip(zip(*columns, strict=True), rows, strict=True)
    ]


def _text(key: Any) -> str | None:
    return None if key is None else to_json(key)


def _keep_to_the_limit(line: str, reply: Reply) -> None:
    """Wait before the next request, if this reply says that it would be one too many, and until when."""
    wait = wait_seconds(reply.headers, datetime.now(timezone.utc)) if spent(reply.headers) else None
    if wait is not None:
        raise RateLimitedError(f"{line}: the limit is spent", code=reply.status, after_seconds=wait)

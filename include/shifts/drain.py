"""One pull: pages from a source into the log, each together with its cursor.

While a page is being stored, the next one is fetched. A pull cannot run away: it is limited in pages, bytes and
seconds, and ends when the source turns in circles. What was stored until then stays; the next pull goes on from there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from include.deadline import within
from include.errors import PermanentError
from include.model import Page, Source
from include.registry import SourceKind
from include.settings import Settings
from include.shifts.threaded import threaded
from include.store.log import RecordLog, as_items


@dataclass
class Drained:
    """What a pull brought. `cut` says why it ended before it had caught up, if it did."""

    pages: int = 0
    stored: int = 0
    bytes: int = 0
    cut: str | None = None

    def __str__(self) -> str:
        line = f"{self.stored} new records, {self.pages} pages"
        return line if self.cut is None else f"{line}; {self.cut}"


async def drain(
    records: RecordLog, connector_id: int, kind: SourceKind, source: Source[Any], settings: Settings, done: Drained
) -> None:
    """Pull until the source has no more, or a limit is reached; `done` counts along, also where this raises."""
    guard = Guard(settings)
    cursor = source.cursor
    async with aclosing(pages_of(kind, source)) as pages:
        fetch = asyncio.ensure_future(anext(pages, None))
        try:
            while (page := await within(guard.seconds_left(), fetch)) is not None:
                items = as_items(page.records)
                guard.check(page.cursor, items)
                fetch = asyncio.ensure_future(anext(pages, None))
                appended = await records.append(connector_id, items, after=cursor, cursor=page.cursor)
                if appended.superseded:
                    done.cut = "somebody else has gone on from this cursor"
                    return
                cursor = page.cursor
                done.pages += 1
                done.stored += appended.stored
                done.bytes += len(items)
                done.cut = guard.limit(done)
                if done.cut is not None:
                    return
        except asyncio.TimeoutError:
            done.cut = f"cut off after {settings.pull_seconds} s; the next pull goes on from there"
        finally:
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)


class Guard:
    """Ends pulls that would never end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ends = time.monotonic() + settings.pull_seconds
        self._seen: set[bytes] = set()

    def seconds_left(self) -> float:
        return max(self._ends - time.monotonic(), 0.001)

    def check(self, cursor: JsonValue, items: str) -> None:
        """Raise `PermanentError` if this pull has been here before: the same cursor, or the same records."""
        for name, text in (("cursor", json.dumps(cursor, sort_keys=True)), ("page", items)):
            if text in ("null", "[]"):
                continue
            digest = hashlib.blake2b(f"{name} {text}".encode(), digest_size=16).digest()
            if digest in self._seen:
                raise PermanentError(f"the source goes in circles: the same {name} came twice in one pull")
            self._seen.add(digest)

    def limit(self, done: Drained) -> str | None:
        """Why the pull has to end here, if it does."""
        for count, most, what in (
            (done.pages, self._settings.pull_pages, "pages"),
            (done.bytes, self._settings.pull_mib * 1024 * 1024, "bytes"),
        ):
            if count >= most:
                return f"cut off after {most} {what}; the next pull goes on from there"
        return None


def pages_of(kind: SourceKind, source: Source[Any]) -> AsyncGenerator[Page, None]:
    """The pages of one pull; those of an ordinary generator are made in a thread."""
    pull = kind.pull
    if kind.runs_on == "worker":
        return threaded(lambda: cast("Callable[[Source[Any]], Iterator[Page]]", pull)(source))
    return cast("Callable[[Source[Any]], AsyncGenerator[Page, None]]", pull)(source)

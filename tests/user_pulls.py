"""Generators of a user, for connectors of kind `python` in tests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from include.model import Connection, Page, Record


def count(cursor: Any, *, up_to: int, breaks_at: int | None = None) -> Iterator[Page]:
    """Two numbers a page; raises before the page that holds `breaks_at`."""
    for number in range((cursor or 0) + 1, up_to + 1, 2):
        if breaks_at in (number, number + 1):
            raise RuntimeError("the source is down")
        numbers = [n for n in (number, number + 1) if n <= up_to]
        yield Page([Record(str(n), {"n": n}) for n in numbers], cursor=numbers[-1])


def hangs(_cursor: Any) -> Iterator[Page]:
    yield Page([Record("1", 1)], cursor=1)
    time.sleep(3600)
    yield Page([], cursor=2)


def odd(_cursor: Any) -> Iterator[Page]:
    """Records that PostgreSQL cannot store as they are."""
    yield Page([Record("nul\x00", {"t\x00": "a\x00b", "list": ["\x00"]}), Record("half", "\ud800")], cursor=1)


def infinite(_cursor: Any) -> Iterator[Page]:
    yield Page([Record("1", float("inf"))], cursor=1)


def with_secret(_cursor: Any, *, connection: Connection) -> Iterator[Page]:
    yield Page([Record("1", connection.login)], cursor=None)


def no_generator(_cursor: Any) -> list[Page]:
    return []


def no_pages(_cursor: Any) -> Iterator[Any]:
    yield {"id": 1}

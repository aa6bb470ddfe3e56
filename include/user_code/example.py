"""Examples of functions of one's own: `example:count` for a connector of kind `python`, `example:greet` for a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import JsonValue

from include.model import Page, Record


def count(cursor: JsonValue, *, up_to: int = 10, page_size: int = 5) -> Iterator[Page]:
    """The numbers from where the last pull stopped up to `up_to`; the cursor is the last number."""
    last = cursor if isinstance(cursor, int) else 0
    for first in range(last + 1, up_to + 1, page_size):
        numbers = range(first, min(first + page_size, up_to + 1))
        yield Page([Record(str(number), {"number": number}) for number in numbers], cursor=numbers[-1])


def greet(name: str, *, occurrence: dict[str, Any]) -> dict[str, JsonValue]:
    """A greeting, for the ledger; what it prints is in the task's log."""
    greeting = f"Hello {name}, it is {occurrence['due']}"
    print(greeting)
    return {"greeting": greeting, "attempt": occurrence["attempt"]}

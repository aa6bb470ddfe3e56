"""A pump: takes what is due out of a queue in the database, and has it done. Several share one queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

Work = Callable[[], Awaitable[None]]


class Queue(Protocol):
    """What a pump empties. What `take` has given to one pump, it gives to no other, unless that one dies."""

    async def take(self, most: int) -> Sequence[Work]:
        """What is due now, at most so many; each is to be called once, and writes down itself what became of it."""

    async def next_at(self) -> datetime | None:
        """When something is due next, as things stand; None: nothing is. `post` rings when that changes."""

"""Hear of changed rows the moment their transaction commits.

Nothing depends on hearing of a change: a claim is judged by the row as it stands. Hearing only makes an edit take
effect on a shift that is asleep, instead of at its next occurrence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from include.store.db import conninfo

log = logging.getLogger(__name__)

_RECONNECT_SECONDS = 1.0


class Changes:
    """Calls `heard(what)` for each notification such as `job:42`, and `heard(None)` when some may have been missed."""

    def __init__(self, database_url: str, heard: Callable[[str | None], None]) -> None:
        self._conninfo = conninfo(database_url, via="listen")
        self._heard = heard
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start to listen, in the background."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as db:
                    await db.execute("listen millrace")
                    self._heard(None)
                    async for notice in db.notifies():
                        self._heard(notice.payload)
            except psycopg.Error as error:
                log.warning("not hearing of changes, connecting again: %s", str(error).strip().splitlines()[:1])
            await asyncio.sleep(_RECONNECT_SECONDS)

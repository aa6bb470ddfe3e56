"""Tell Airflow which connectors have new records: an event of the connector's asset, at most one a second.

In the same database, so it needs no credentials and misses nothing, a plain SQL insert included: what is told is how
far the log has grown since the last time.
"""

from __future__ import annotations

import asyncio
import logging

import psycopg

from include.store.db import conninfo

log = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0


class News:
    """Tells Airflow once a second, in the background; processes take turns."""

    def __init__(self, database_url: str) -> None:
        self._conninfo = conninfo(database_url, via="news")
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start."""
        self._task = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _tell(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as db:
                    while True:
                        await asyncio.sleep(_EVERY_SECONDS)
                        await db.execute("select tell_airflow_of_records()")
            except psycopg.errors.UndefinedFunction:
                log.info("Airflow's tables are not in this database: there is nobody to tell of new records")
                return
            except psycopg.Error as error:
                log.warning("cannot tell Airflow of new records, trying again: %s", str(error).splitlines()[:1])
            await asyncio.sleep(_EVERY_SECONDS)

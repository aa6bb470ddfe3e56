"""Pull the rows of a table or a query in another PostgreSQL database.

With `cursor_column`, a column that grows such as `updated_at` or `id`, a pull reads the rows that are new since the
last one: from its greatest value on, that value included, so that a row which shares it is found however late it
comes; what comes twice is stored once. Without it every pull reads all rows.

A row counts from the moment its transaction commits. One that commits late, with a value below the greatest one read by
then, is found only if it lies within `lag` of that: make `lag` as long as the longest transaction that writes there (or
as large as the numbers that may be drawn meanwhile). Rows whose cursor is null are never read. An index on the cursor
column and the primary key, in this order, makes pages cheap. A value such as `infinity` would be the last one ever:
leave it out in the query.

The payload is the row as PostgreSQL's `row_to_json` spells it: times in ISO 8601 and UTC, intervals in ISO 8601,
`bytea` in hex, whole numbers of any size as numbers. A fraction that a double would round is a text with all its
digits. The record's key is the primary key as text, or a JSON list of texts where it has several columns.

The query is its owner's own SQL: it runs with the rights of the connection, in read-only transactions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from include.connectors._postgres_config import Config, Place, read_cursor, write_cursor
from include.connectors._postgres_session import session
from include.connectors._postgres_table import Table
from include.errors import ConfigError
from include.model import Page, Source


async def pull(source: Source[Config]) -> AsyncIterator[Page]:
    """Yield pages in the order of the cursor column and the primary key; go on with a pull that was cut off.

    What is written meanwhile is left to the next pull: so however long a pull takes, `lag` is about writers only.
    """
    config = source.config
    if source.connection is None:
        raise ConfigError(f"there is no connection {config.conn_id!r}; add it in Airflow or write another conn_id")
    async with session(source.connection, source.timeout_seconds) as database:
        table = Table(config, database)
        await table.look()
        place = read_cursor(config, source.cursor)
        if place.after is None and config.cursor_column is not None:
            place = replace(place, until=await table.greatest(place))
            if place.until is None:
                return
        while True:
            records, after = await table.page(place)
            place = Place(last=place.until) if after is None else replace(place, after=after)
            yield Page(records, write_cursor(config, place))
            if after is None:
                return

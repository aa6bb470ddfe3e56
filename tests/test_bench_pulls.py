"""The scenarios' connectors fit the bench's source: they pull all that it has, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from ipaddress import ip_network
from typing import Any

import pytest
from pydantic import JsonValue

from bench.rows import NewConnector
from bench.scenario import all_scenarios
from bench.source_process import Source
from include import model, registry
from include.egress import Egress

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    way_out = Egress(allow=(ip_network("127.0.0.0/8"),))
    yield way_out
    await way_out.close()


async def pulled(wish: NewConnector, egress: Egress, cursor: JsonValue = None) -> tuple[list[str | None], JsonValue]:
    """The keys of one pull, and the cursor after it."""
    kind = registry.source("rest")
    config = kind.parse(wish.config)
    source = model.Source(config, cursor, egress, connection=None, now=NOON, timeout_seconds=10)
    keys: list[str | None] = []
    pull: Any = kind.pull
    async for page in pull(source):
        keys += [record.key for record in page.records]
        cursor = page.cursor
    return keys, cursor


async def test_ingest_pulls_every_item_once(egress: Egress) -> None:
    """In the order of the source, and with a request for each page and no more."""
    ingest = all_scenarios()["ingest"].module
    with closing(Source(items=50, page=10)) as source:
        wish = ingest._wish(source, ingest.Options(records=50, page=10))
        keys, _ = await pulled(wish, egress)
        assert len(source.asked()) == 5
    assert keys == [str(number) for number in range(1, 51)]


async def test_connectors_pull_what_is_new_in_one_request(egress: Egress) -> None:
    """A pull has what a feed has grown by, and asks once, so that the next request is the next pull."""
    connectors = all_scenarios()["connectors"].module
    with closing(Source(grow=20, calm=0)) as source:
        wish = connectors._wish(source, 3, timedelta(seconds=30))
        cursor: JsonValue = None
        for first in (1, 21, 41):
            keys, cursor = await pulled(wish, egress, cursor)
            assert keys == [str(number) for number in range(first, first + 20)]
        assert [(asked.feed, asked.size) for asked in source.asked()] == [
            ("connector-3", 20),
            ("connector-3", 40),
            ("connector-3", 60),
        ]

"""A connector that fails: backing off, saying so, probing, and recovering by itself."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from include.shifts import pull
from include.shifts.shift import Ending
from include.store.db import DictConnection
from include.store.rows import PROBE_EVERY, connector_from_row
from tests.fake_http import Server
from tests.shift_stage import opened_post, stage, until
from tests.test_shift_pull import add_rest, keys, listing, pull_once, row, shift_for


class Source:
    """A source that can be broken and mended, and remembers what it is told of it."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.told: list[dict[str, Any]] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/told":
            self.told.append(json.loads(await request.read()))
            return web.Response()
        return web.Response(status=500) if self.broken else await listing(2)(request)

    def notify(self, server: Server) -> dict[str, Any]:
        return {"kind": "webhook", "payload": {"url": server.url("/told")}}


async def test_after_failures_in_a_row_the_run_ends_red_and_somebody_is_told(
    database_url: str, db: DictConnection
) -> None:
    """The row has the last error and since when; `notify` is called once; the run fails in Airflow."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        connector = add_rest(db, server, alert_after=1, notify=source.notify(server))
        ending = await pull.stand(shift_for(connector), post)
    assert ending.state == "failed"
    found = row(db, connector)
    assert found["failures"] == 1
    assert found["failing_since"] is not None
    assert "500" in found["last_error"]
    [told] = source.told
    assert told["type"] == "connector.failing"
    assert told["data"]["connector"] == "source"
    assert "500" in told["data"]["error"]


async def test_failures_back_off(database_url: str, db: DictConnection) -> None:
    """The first failure is followed by a pause that is longer than `every`; the next ones by longer pauses still."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        connector = add_rest(db, server)
        duty = asyncio.create_task(pull.stand(shift_for(connector), post))
        await until(lambda: row(db, connector)["failures"] == 1)
        await asyncio.sleep(2.5)  # more than two occurrences
        assert row(db, connector)["failures"] == 1
        duty.cancel()
        await asyncio.gather(duty, return_exceptions=True)


async def test_a_failing_connector_is_probed_by_runs_of_their_own(database_url: str, db: DictConnection) -> None:
    """While it fails its schedule is that of probes; each is one pull, and one that succeeds ends it: all told."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        connector = add_rest(db, server, alert_after=1, notify=source.notify(server))
        await pull.stand(shift_for(connector), post)
        failing = connector_from_row(row(db, connector))
        assert failing.schedule.every == PROBE_EVERY
        assert (await pull.stand(shift_for(connector), post)).state == "failed"
        assert len(source.told) == 1
        source.broken = False
        assert await pull.stand(shift_for(connector), post) == Ending("success", "1 pulls, 2 new records")
    assert [told["type"] for told in source.told] == ["connector.failing", "connector.recovered"]
    found = row(db, connector)
    assert (found["failures"], found["failing_since"], found["last_error"]) == (0, None, None)
    assert connector_from_row(found).schedule_changed_at > failing.schedule_changed_at
    assert keys(db) == [1, 2]


async def test_mending_the_row_ends_the_probing(database_url: str, db: DictConnection) -> None:
    """A changed configuration is pulled by its own schedule again, at once."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        connector = add_rest(db, server, alert_after=1)
        await pull.stand(shift_for(connector), post)
        db.execute("update connector set config = jsonb_set(config, '{path}', '\"elsewhere\"')")
    mended = connector_from_row(row(db, connector))
    assert mended.failing_since is None
    assert mended.schedule.every == mended.every


async def test_nobody_there_to_be_told_is_no_further_failure(database_url: str, db: DictConnection) -> None:
    """A notification that cannot be delivered is logged; the connector's state is what it is."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        notify = {"kind": "webhook", "payload": {"url": "http://127.0.0.1:1/"}}
        connector = add_rest(db, server, alert_after=1, notify=notify)
        assert (await pull.stand(shift_for(connector), post)).state == "failed"
    assert row(db, connector)["failures"] == 1


async def test_a_template_in_a_notice(database_url: str, db: DictConnection) -> None:
    """`notify` is any action; its payload may name the connector, the event and the error."""
    source = Source(broken=True)
    async with stage(database_url, source) as (post, server):
        body = {"text": "{{ connector.name }} is {{ event }}"}
        notify = {"kind": "http", "payload": {"url": server.url("/told"), "method": "POST", "json": body}}
        connector = add_rest(db, server, alert_after=1, notify=notify)
        await pull.stand(shift_for(connector), post)
    assert source.told == [{"text": "source is failing"}]


async def test_a_configuration_that_is_wrong_counts_as_a_failure(database_url: str, db: DictConnection) -> None:
    """A kind or a setting that makes no sense ends in an error on the row, and in no exception."""
    async with opened_post(database_url) as post:
        db.execute("insert into connector (name, kind, config) values ('a', 'nosuch', '{}'), ('b', 'rest', '{}')")
        unknown, empty = await pull_once(post, 1), await pull_once(post, 2)
    assert "unknown kind 'nosuch'" in unknown.line
    assert "base_url" in empty.line

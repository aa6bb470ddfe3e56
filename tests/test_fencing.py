"""A process that was frozen, or whose lease ran out, touches nothing that others have taken over."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from include.store.db import DictConnection
from include.store.turns import Ask
from tests.log_rows import add_connector, add_workflow, append, progress
from tests.shift_stage import opened_post, stage, until
from tests.test_ledger import ledger, wish
from tests.test_shift_workflow import positions, process
from tests.test_store import add_job


async def test_a_claim_from_before_a_freeze_is_void(database_url: str, db: DictConnection) -> None:
    """Frozen for longer than its lease, a process may not send what it had claimed, also when the lease is renewed."""
    job_id = add_job(db)
    async with ledger(database_url, lease_seconds=5) as frozen:
        before = await frozen.claim(await wish(frozen, job_id))
        assert frozen.holds_lease(before.lease)
        time.sleep(5.5)  # noqa: ASYNC251 - the whole process stands still
        assert not frozen.holds_lease(before.lease)
        await until(lambda: frozen.lease > before.lease)
        assert not frozen.holds_lease(before.lease)
        assert frozen.holds_lease(frozen.lease)


async def test_a_lease_does_not_outlive_a_suspend(
    database_url: str, db: DictConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a machine is suspended, Python's monotonic clock stands still; its leases run out all the same."""
    job_id = add_job(db)
    async with ledger(database_url, lease_seconds=60) as suspended:
        claim = await suspended.claim(await wish(suspended, job_id))
        assert suspended.holds_lease(claim.lease)
        read = time.clock_gettime
        monkeypatch.setattr(time, "clock_gettime", lambda which: read(which) + 61 * (which == time.CLOCK_BOOTTIME))
        assert not suspended.holds_lease(claim.lease)


async def test_the_turn_of_the_dead_is_taken_and_that_of_the_living_is_not(
    database_url: str, db: DictConnection
) -> None:
    """While its owner lives, a turn is nobody else's; it is given back, or free when the lease has run out."""
    async with opened_post(database_url) as one, opened_post(database_url, lease_seconds=60) as other:
        first, second = Ask("workflow", 1, 1), Ask("workflow", 1, 2)
        assert (await one.turns.take(first)).mine
        assert (await one.turns.take(first)).mine  # asking twice is harmless
        assert not (await other.turns.take(second)).mine
        await one.turns.end(first)
        assert (await other.turns.take(second)).before == 1
        assert not (await one.turns.take(first)).mine
        db.execute("delete from lease where owner = %s", (other.ledger.owner,))
        assert (await one.turns.take(first)).mine


async def test_two_of_one_process_share_a_row_one_after_another(database_url: str, db: DictConnection) -> None:
    """Asked at the same instant, in one statement, exactly one gets the turn."""
    async with opened_post(database_url) as post:
        turns = await asyncio.gather(*(post.turns.take(Ask("connector", 1, claim)) for claim in range(1, 6)))
    assert sum(turn.mine for turn in turns) == 1


async def test_a_workflow_that_was_taken_over_moves_nothing(database_url: str, db: DictConnection) -> None:
    """Its lease gone in the middle of a call, a process finishes that call and no more: only that record is sent twice,
    with the same key."""
    hold = asyncio.Event()

    async def first_waits(_request: web.Request) -> web.StreamResponse:
        if len(server.received) == 1:
            await hold.wait()
        return web.Response()

    connector = add_connector(db)
    append(db, connector, [1, 2, 3])
    async with stage(database_url, first_waits) as (frozen, server), opened_post(database_url) as other:
        workflow = add_workflow(db, connector, server.url())
        late = asyncio.create_task(process(frozen, workflow))
        await until(lambda: server.received)
        db.execute("delete from lease where owner = %s", (frozen.ledger.owner,))
        assert (await process(other, workflow)).line == "3 records processed, 0 failed"
        hold.set()
        await late
    assert positions(server) == [1, 1, 2, 3]
    assert (progress(db, workflow)["position"], progress(db, workflow)["processed"]) == (3, 3)

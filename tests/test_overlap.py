"""Executions of one job overlap as its row says: in one shift, between shifts and runs by hand, and across machines."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web

from include.shifts.bell import utcnow
from include.store.db import DictConnection
from tests.fake_http import Handler
from tests.shift_stage import add, executions, opened_post, stage, stand, until
from tests.test_ledger import die, ledger, result, wish
from tests.test_store import add_job

SECOND = timedelta(seconds=1)


class Gate:
    """A server's handler that answers when it is told to, and knows how many calls were open at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.at_once = 0
        self.most = 0

    async def handle(self, _request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await self.open.wait()
        self.at_once -= 1
        return web.Response(text="ok")

    @property
    def handler(self) -> Handler:
        return self.handle


async def test_of_two_claims_at_the_same_moment_one_is_granted(database_url: str, db: DictConnection) -> None:
    """Two processes that claim two occurrences of one job in the same milliseconds do not both get theirs."""
    async with ledger(database_url) as first, ledger(database_url) as second:
        for number in range(40):
            job_id = add_job(db, f"job {number}")
            now = datetime.now(timezone.utc)
            made = [await wish(owner, job_id, now + place * SECOND) for place, owner in enumerate((first, second))]
            claims = await asyncio.gather(first.claim(made[0]), second.claim(made[1]))
            assert sorted(claim.verdict for claim in claims) == ["mine", "skipped"]


async def test_of_two_claims_in_one_batch_one_is_granted(database_url: str, db: DictConnection) -> None:
    """What one process asks in one statement is judged one after another as well."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        now = datetime.now(timezone.utc)
        made = [await wish(owner, job_id, now + place * SECOND) for place in range(3)]
        claims = await asyncio.gather(*map(owner.claim, made))
    assert sorted(claim.verdict for claim in claims) == ["mine", "skipped", "skipped"]


async def test_one_waits_whoever_asks(database_url: str, db: DictConnection) -> None:
    """With `queue`, one execution waits for the one under way, in the ledger for all to see; a third is skipped."""
    job_id = add_job(db, overlap="queue")
    async with ledger(database_url) as first, ledger(database_url) as second, ledger(database_url) as third:
        now = datetime.now(timezone.utc)
        under_way = await wish(first, job_id, now)
        waiting = await wish(second, job_id, now + SECOND)
        claim = await first.claim(under_way)
        assert (await second.claim(waiting)).verdict == "busy"
        assert (await second.claim(waiting)).verdict == "busy"
        assert (await third.claim(await wish(third, job_id, now + 2 * SECOND))).verdict == "skipped"
        assert [(row["status"], row["reason"], row["attempt"]) for row in executions(db)] == [
            ("running", None, 1),
            ("retrying", "waits for the execution before it", 0),
            ("skipped", "the execution before it was still running", 0),
        ]
        await first.finish(result(under_way, claim))
        granted = await second.claim(waiting)
        assert (granted.verdict, granted.attempt) == ("mine", 1)


async def test_one_whose_owner_died_while_it_waited_is_taken_over(database_url: str, db: DictConnection) -> None:
    """An execution that waited is not lost with the process that it waited in, and still waits where it is taken up."""
    job_id = add_job(db, overlap="queue")
    async with ledger(database_url) as first, ledger(database_url) as second, ledger(database_url) as third:
        now = datetime.now(timezone.utc)
        under_way = await wish(first, job_id, now)
        claim = await first.claim(under_way)
        await second.claim(await wish(second, job_id, now + SECOND))
        die(db, second)
        taken = await wish(third, job_id, now + SECOND)
        assert (await third.claim(taken)).verdict == "busy"
        await first.finish(result(under_way, claim))
        assert (await third.claim(taken)).verdict == "mine"


@pytest.mark.parametrize(("overlap", "most", "statuses"), [
    ("skip", 1, ["skipped", "success"]),
    ("queue", 1, ["success", "success"]),
    ("allow", 2, ["success", "success"]),
])  # fmt: skip
async def test_a_run_by_hand_overlaps_as_the_row_says(
    database_url: str, db: DictConnection, overlap: str, most: int, statuses: list[str]
) -> None:
    """A run by hand while an execution is under way, on another machine even, keeps to the rule."""
    gate = Gate()
    async with stage(database_url, gate.handler) as (post, server), opened_post(database_url) as other:
        job_id = add(db, server, every="1 hour", overlap=overlap)
        first = asyncio.create_task(stand(post, job_id, utcnow(), "first", by_hand=True))
        await until(lambda: gate.at_once == 1)
        second = asyncio.create_task(stand(other, job_id, utcnow(), "second", by_hand=True))
        await until(lambda: len(executions(db)) == 2)
        if overlap == "allow":
            await until(lambda: gate.at_once == 2)
        gate.open.set()
        await asyncio.gather(first, second)
    assert gate.most == most
    assert sorted(row["status"] for row in executions(db)) == statuses


async def test_an_execution_between_two_attempts_is_under_way(database_url: str, db: DictConnection) -> None:
    """What waits for its retry counts: another occurrence of the job does not slip in between."""
    answers = iter([503, 200])

    async def handle(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=next(answers))

    async with stage(database_url, handle) as (post, server):
        job_id = add(db, server, every="1 hour", retry_delay="1 minute")
        due = utcnow()
        ending = await stand(post, job_id, due, "first", by_hand=True)
        assert ending.state == "retry"
        assert (await stand(post, job_id, utcnow(), "second", by_hand=True)).state == "skipped"
        assert (await stand(post, job_id, due, "first", by_hand=True, try_number=2)).state == "success"
    reasons: list[Any] = [(row["status"], row["reason"]) for row in executions(db)]
    assert reasons == [("success", None), ("skipped", "the execution before it was still running")]

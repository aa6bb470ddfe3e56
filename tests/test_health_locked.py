"""Outcomes never wait for a person who has a job locked; its failures are counted later, in order, and all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from include.deadline import within
from include.store.db import DictConnection
from include.store.notices import Outbox
from tests.health_rows import clean, details, events, health, job, outcomes, sender, told_job
from tests.shift_stage import until
from tests.test_store import one

__all__ = ["clean"]

pytestmark = pytest.mark.usefixtures("clean")

EDIT = "update job set timeout = timeout + interval '1 s' where id = %s"


@contextmanager
def locked(database_url: str, *ids: int, by: str = EDIT) -> Iterator[psycopg.Connection[Any]]:
    """A person has begun to edit these jobs, and has not committed yet."""
    with psycopg.connect(database_url) as person:
        for job_id in ids:
            person.execute(by.encode(), (job_id,))
        yield person


@pytest_asyncio.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    """What counts, once a second, what could not be counted at once."""
    outbox = Outbox(database_url)
    yield outbox
    await outbox.close()


def queued(db: DictConnection) -> int:
    return int(one(db, "select count(*) as rows from outcome_queue")["rows"])


@pytest.mark.parametrize(
    "by",
    [
        EDIT,
        "update job set name = name || '!' where id = %s",
        "select 1 from job where id = %s for update",
        "update job set is_active = false where id = %s",
    ],
)
async def test_no_outcome_waits_for_an_open_transaction(
    database_url: str, db: DictConnection, outbox: Outbox, by: str
) -> None:
    """What a statement writes of a locked job and of others is written at once; the job's failure is counted after."""
    ids = [told_job(db, name) for name in "abc"]
    async with outcomes(database_url) as ledger:
        await ledger.write(ids[0], says="failed")
        with locked(database_url, *ids[:2], by=by):
            await within(30, ledger.write(*ids, says="failed"))
            failed = one(db, "select count(*) as rows from execution where status = 'failed'")["rows"]
            assert (failed, queued(db)) == (4, 2)
            assert [health(db, job_id)["failures"] for job_id in (ids[0], ids[2])] == [1, 1]
    await outbox.count_queued()
    assert [health(db, job_id)["failures"] for job_id in ids] == [2, 1, 1]
    assert sorted(events(db)) == ["failure"] * 3
    assert queued(db) == 0


async def test_the_next_outcome_counts_what_came_before_it(database_url: str, db: DictConnection) -> None:
    """As if one statement had written them all: what failed before a success is over, what failed after it counts."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        with locked(database_url, job_id):
            for code, says in enumerate(("failed", "failed", "success", "failed", "failed"), 500):
                await ledger.write(job_id, says=says, code=code)
        assert queued(db) == 5
        await ledger.write(job_id, says="failed", code=505)
    found = health(db, job_id)
    assert (found["failures"], found["last_error"]) == (3, "POST example.com 505")
    assert details(db) == ["3 failures in a row: POST example.com 505"]
    assert queued(db) == 0


async def test_a_success_ends_the_failures_that_are_still_to_be_counted(database_url: str, db: DictConnection) -> None:
    """A job that is well again is not told of as failing, whoever had it locked meanwhile."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        with locked(database_url, job_id):
            await ledger.write(job_id, says=["failed"] * 2)
        await ledger.write(job_id, says="success")
    assert health(db, job_id)["failures"] == 0
    assert (events(db), queued(db)) == ([], 0)


async def test_a_recovery_waits_too(database_url: str, db: DictConnection, outbox: Outbox) -> None:
    """A success after failures is counted when the lock is gone, and not before."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="failed")
        with locked(database_url, job_id):
            await ledger.write(job_id, says="success")
            await outbox.count_queued()
            assert health(db, job_id)["failures"] == 1
        await outbox.count_queued()
    assert health(db, job_id)["failures"] == 0
    assert events(db) == ["failure", "recovery"]


async def test_what_is_counted_later_disables_too(database_url: str, db: DictConnection, outbox: Outbox) -> None:
    """`disable_after` and 410 Gone pause the row as soon as the person is done with it."""
    often, gone, well = (told_job(db, name, disable_after=3) for name in ("often", "gone", "well"))
    async with outcomes(database_url) as ledger:
        with locked(database_url, often, gone, well):
            for _ in range(3):
                await ledger.write(often, says="failed")
            await ledger.write(gone, says="failed", code=410)
            await ledger.write(well, says=["failed", "success"])
    await outbox.count_queued()
    assert [job(db, job_id)["is_active"] for job_id in (often, gone, well)] == [False, False, True]
    assert events(db, often) == ["failure", "disabled"]
    assert health(db, gone)["disabled_reason"] == "410 Gone"


async def test_a_process_on_duty_counts_by_itself(database_url: str, db: DictConnection) -> None:
    """Whoever sends notices looks for it, though no other outcome of the job comes."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger, sender(database_url) as (notices, _):
        with locked(database_url, job_id):
            await ledger.write(job_id, says="failed")
        notices.open()
        await until(lambda: queued(db) == 0)
    assert health(db, job_id)["failures"] == 1


async def test_what_is_queued_of_a_job_that_is_deleted_is_forgotten(
    database_url: str, db: DictConnection, outbox: Outbox
) -> None:
    """Nobody is told, nothing is left, and others are counted."""
    deleted, kept = told_job(db, "deleted"), told_job(db, "kept")
    async with outcomes(database_url) as ledger:
        with locked(database_url, deleted, kept) as person:
            person.execute("delete from job where id = %s", (deleted,))
            await ledger.write(deleted, kept, says="failed")
            await outbox.count_queued()
            assert queued(db) == 2
    await outbox.count_queued()
    assert queued(db) == 0
    assert db.execute("select job_id, failures from job_health").fetchall() == [{"job_id": kept, "failures": 1}]
    assert events(db) == ["failure"]


async def test_whatever_is_locked_when_the_count_is_right(
    database_url: str, db: DictConnection, outbox: Outbox
) -> None:
    """After random outcomes, locks and counts each job has failed as often in a row as it has by the ledger."""
    draw = random.Random(23)
    ids = [told_job(db, f"job {number}") for number in range(4)]
    async with outcomes(database_url) as ledger:
        for _ in range(12):
            with locked(database_url, *draw.sample(ids, draw.randint(0, 4))):
                for _ in range(draw.randint(1, 4)):
                    some = draw.sample(ids, draw.randint(1, 4))
                    says = draw.choices(["failed", "success"], [2, 1], k=draw.randint(1, 2))
                    await ledger.write(*some, says=says)
                    if draw.random() < 0.3:
                        await outbox.count_queued()
    await outbox.count_queued()
    streaks = db.execute(
        "select j.id, (select count(*) from execution e where e.job_id = j.id and e.scheduled_for > coalesce("
        " (select max(scheduled_for) from execution s where s.job_id = j.id and s.status = 'success'), '-infinity'))"
        " as failures from job j order by j.id"
    ).fetchall()
    counted = "select j.id, coalesce(h.failures, 0) as failures from job j left join job_health h on h.job_id = j.id"
    assert db.execute(f"{counted} order by j.id".encode()).fetchall() == streaks
    assert len({row["failures"] for row in streaks}) > 1


async def test_processes_and_people_at_the_same_jobs_lose_no_failure(
    database_url: str, db: DictConnection, outbox: Outbox
) -> None:
    """Several ledgers, a process that counts, and people who lock jobs in any order: nobody is locked out for good."""
    ids = [told_job(db, f"job {number}", disable_after=5, half_open=True) for number in range(8)]

    async def work(ids: list[int], hours: int) -> None:
        async with outcomes(database_url) as ledger:
            ledger.instant += timedelta(hours=hours)
            for _ in range(10):
                await ledger.write(*ids, says="failed", manual=True)

    async def edit(ids: list[int]) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as person:
            for first, second in pairwise(ids):
                await person.execute(EDIT.encode(), (min(first, second),))
                await outbox.count_queued()
                await person.execute(EDIT.encode(), (max(first, second),))
                await asyncio.sleep(0.01)
                await person.commit()

    await within(60, asyncio.gather(work(ids, 1), work(ids[::-1], 2), work(ids, 3), edit(ids), edit(ids[::-1])))
    await outbox.count_queued()
    rows = db.execute("select failures from job_health").fetchall()
    assert [row["failures"] for row in rows] == [30] * len(ids)
    assert queued(db) == 0

"""How jobs are: failures in a row, counted with whatever writes the ledger, and told when something changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from include.store.db import DictConnection
from include.store.ledger import Result
from include.store.notices import Outbox
from tests.health_rows import DUE, WEBHOOK, clean, details, events, health, job, outcomes, told_job
from tests.test_store import add_job, one

__all__ = ["clean"]

pytestmark = pytest.mark.usefixtures("clean")


def streak(db: DictConnection, job_id: int) -> tuple[int, bool]:
    row = health(db, job_id)
    return row["failures"], row["told"]


async def test_a_job_that_is_well_has_no_row(database_url: str, db: DictConnection) -> None:
    """Successes leave no trace outside the ledger."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says=["success"] * 3)
    assert one(db, "select count(*) as rows from job_health") == {"rows": 0}
    assert events(db) == []


async def test_failures_in_a_row_are_counted_across_statements(database_url: str, db: DictConnection) -> None:
    """Each failed execution counts, in one statement or several; the first is told, and not the others."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="failed")
        since = health(db, job_id)["failing_since"]
        await ledger.write(job_id, says=["failed"] * 3, code=503)
    found = health(db, job_id)
    assert (found["failures"], found["last_error"], found["failing_since"]) == (4, "POST example.com 503", since)
    assert events(db) == ["failure"]
    assert details(db) == ["POST example.com 500"]


async def test_a_success_ends_the_row_of_failures(database_url: str, db: DictConnection) -> None:
    """The count is back at nothing, and that it has recovered is told once."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says=["failed"] * 2)
        await ledger.write(job_id, says="success")
        await ledger.write(job_id, says="success")
    found = health(db, job_id)
    assert (found["failures"], found["failing_since"], found["last_error"], found["told"]) == (0, None, None, False)
    assert events(db) == ["failure", "recovery"]
    assert details(db)[1] == "it succeeded, after 2 failed"


@pytest.mark.parametrize(
    ("says", "failures", "told"),
    [
        (["failed", "success"], 0, ["recovery"]),
        (["success", "failed"], 1, ["recovery", "failure"]),
        (["failed", "success", "failed", "failed"], 2, ["recovery", "failure"]),
        (["success", "failed", "success"], 0, ["recovery"]),
    ],
)
async def test_within_one_statement_the_order_of_the_occurrences_counts(
    database_url: str, db: DictConnection, says: list[str], failures: int, told: list[str]
) -> None:
    """Only failures after the last success count, whatever comes before it in the same statement."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says=["failed"] * 3)
        await ledger.write(job_id, says=says)
    assert streak(db, job_id) == (failures, failures > 0)
    assert events(db) == ["failure", *told]


async def test_an_outcome_that_is_written_twice_counts_once(database_url: str, db: DictConnection) -> None:
    """A batch is sent again when its answer was lost; that changes no count, in whichever order."""
    job_id = told_job(db)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="failed")
        row = one(db, "select scheduled_for, claim from execution")
        again = Result(job_id, row["scheduled_for"], row["claim"], 1, "failed", DUE, DUE, {"attempt": 1}, error="x")
        assert await ledger.ledger.finish(Result(**{**_fields(again), "error": "POST example.com 500"}))
        assert streak(db, job_id) == (1, True)
        db.execute("update execution set discarded_at = now()")
        assert streak(db, job_id) == (1, True)


def _fields(result: Result) -> dict[str, object]:
    return {name: getattr(result, name) for name in Result.__slots__}


async def test_after_says_how_many_failures_are_told(database_url: str, db: DictConnection) -> None:
    """With `after` 3 the third in a row is told; a shorter run of failures is told neither when it begins nor ends."""
    job_id = told_job(db, notify={**WEBHOOK, "after": 3})
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says=["failed", "failed"])
        await ledger.write(job_id, says="success")
        assert events(db) == []
        await ledger.write(job_id, says=["failed", "failed"])
        await ledger.write(job_id, says="failed")
        await ledger.write(job_id, says="failed")
    assert events(db) == ["failure"]
    assert details(db) == ["3 failures in a row: POST example.com 500"]


async def test_a_redriven_execution_counts_once(database_url: str, db: DictConnection) -> None:
    """One that was sent again and failed again is no further failure; one that succeeded ends the row of them."""
    job_id = told_job(db)
    again = "update execution set status = 'running', base_attempt = 1, finished_at = null"
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says="failed")
    db.execute(again)
    db.execute("update execution set status = 'failed', finished_at = now()")
    assert streak(db, job_id) == (1, True)
    db.execute(again)
    db.execute("update execution set status = 'success', finished_at = now()")
    assert streak(db, job_id) == (0, False)


async def test_hundreds_of_outcomes_of_many_jobs_in_one_statement(database_url: str, db: DictConnection) -> None:
    """Each job of a batch is judged by its own outcomes."""
    ids = [told_job(db, f"job {number}") for number in range(60)]
    async with outcomes(database_url) as ledger:
        await ledger.write(*ids, says=["failed", "failed"])
        await ledger.write(*ids[:30], says="success")
        rows = db.execute("select job_id, failures from job_health order by job_id").fetchall()
    assert [row["failures"] for row in rows] == [0] * 30 + [2] * 30
    assert sorted(events(db)) == ["failure"] * 60 + ["recovery"] * 30


async def test_processes_that_write_about_the_same_jobs_do_not_lock_each_other_out(
    database_url: str, db: DictConnection
) -> None:
    """Several ledgers, the same jobs in different orders, and a person who edits and deletes them: all goes through."""
    ids = [told_job(db, f"job {number}", disable_after=2, half_open=True) for number in range(10)]

    async def work(ids: list[int], hours: int) -> None:
        async with outcomes(database_url) as ledger:
            ledger.instant += timedelta(hours=hours)
            for says in ["failed", "success"] * 5:
                await ledger.write(*ids, says=says, manual=True)

    async def edit() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            for _ in range(20):
                await other.execute("update job set paused_until = null, is_active = true where id = %s", (ids[3],))
                await other.execute("update job set timeout = timeout + interval '1 s' where id = %s", (ids[5],))

    await asyncio.gather(work(ids, 1), work(ids[::-1], 2), edit())
    outbox = Outbox(database_url)
    await outbox.count_queued()
    await outbox.close()
    rows = db.execute("select failures from job_health").fetchall()
    assert [row["failures"] for row in rows] == [0] * 10


async def test_a_job_that_was_deleted_meanwhile_is_no_error(database_url: str, db: DictConnection) -> None:
    """The outcome of its last execution is written all the same, and its health is gone with it."""
    kept, deleted = told_job(db, "kept"), told_job(db, "deleted")
    async with outcomes(database_url) as ledger:
        await ledger.write(kept, deleted, says="failed")
        db.execute("update execution set status = 'running', finished_at = null")
        db.execute("delete from job where id = %s", (deleted,))
        db.execute("update execution set status = 'failed', finished_at = now()")
    assert one(db, "select job_id, failures from job_health") == {"job_id": kept, "failures": 2}


async def test_what_does_not_make_sense_is_refused(db: DictConnection) -> None:
    """A notify that nobody could act on is no row, of a job or an owner, and the message says what to write."""
    for notify, says in (
        ('{"kind": "webhook", "on": ["failing"]}', "an event that there is not"),
        ('{"kind": "webhook", "on": "failure"}', "on is no list"),
        ('{"kind": 5}', "kind is missing, or no kind"),
        ('{"payload": {}}', "kind is missing"),
        ('{"kind": "webhook", "payload": []}', "payload is no object"),
        ('{"kind": "webhook", "after": 0}', "after is no whole number from 1"),
        ('{"kind": "webhook", "to": "me"}', '{"to": "me"} is none of its fields'),
        ("[]", "it is no object|job_notify_check"),
    ):
        with pytest.raises(psycopg.errors.CheckViolation, match=says):
            add_job(db, notify=notify)
        with pytest.raises(psycopg.errors.CheckViolation, match="notify: ") as refused:
            db.execute("insert into owner_notify (owner, notify) values ('ann', %s)", (notify,))
        assert '{"kind": "webhook"' in str(refused.value.diag.message_hint)
    for notify in ('{"on": []}', '{"kind": "slack"}', '{"kind": "email", "payload": {}, "on": ["missed"], "after": 2}'):
        add_job(db, notify, notify=notify)


async def test_failures_do_not_touch_the_job(database_url: str, db: DictConnection) -> None:
    """As long as nothing is disabled a failure is no edit: no revision, no audit."""
    job_id = told_job(db, disable_after=5)
    before = job(db, job_id)
    async with outcomes(database_url) as ledger:
        await ledger.write(job_id, says=["failed"] * 3)
        await ledger.write(job_id, says="success")
    assert job(db, job_id) == before
    assert one(db, "select count(*) as rows from audit") == {"rows": 1}

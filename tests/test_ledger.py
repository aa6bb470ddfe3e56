"""The ledger under concurrency and crashes: at most one row per occurrence, and one owner at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from include.store.db import DictConnection, connect
from include.store.ledger import Claim, Ledger, Result, Wish
from tests.test_store import add_job, one

DUE = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@asynccontextmanager
async def ledger(database_url: str, lease_seconds: float = 100) -> AsyncIterator[Ledger]:
    """A ledger with a lease, as each triggerer process has one."""
    opened = Ledger(database_url, lease_seconds=lease_seconds)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def wish(ledger: Ledger, job_id: int, due: datetime = DUE, **changes: object) -> Wish:
    board = await ledger.board(job_id, "run")
    assert board is not None
    made = Wish(
        job_id=job_id,
        due=due,
        schedule_revision=board.job.schedule_revision,
        run_id="run",
        try_number=1,
        manual=False,
        claim=secrets.randbits(62),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def result(wish: Wish, claim: Claim, status: str = "success", **changes: object) -> Result:
    made = Result(
        job_id=wish.job_id,
        due=wish.due,
        claim=wish.claim,
        attempt=claim.attempt,
        status=status,  # type: ignore[arg-type]
        started_at=DUE,
        finished_at=DUE,
        entry={"attempt": claim.attempt},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def die(db: DictConnection, ledger: Ledger) -> None:
    """As if the process had been killed and its lease had run out."""
    db.execute("delete from lease where owner = %s", (ledger.owner,))


async def test_two_owners_of_one_shift_make_one_row_and_one_send(database_url: str, db: DictConnection) -> None:
    """Of many claims for one occurrence, by several processes at once, exactly one is granted."""
    job_id = add_job(db)
    async with ledger(database_url) as first, ledger(database_url) as second:
        wishes = [(owner, await wish(owner, job_id)) for owner in (first, second) for _ in range(20)]
        claims = await asyncio.gather(*(owner.claim(made) for owner, made in wishes))
    assert sorted(claim.verdict for claim in claims) == ["held"] * 39 + ["mine"]
    assert one(db, "select count(*) as rows from execution") == {"rows": 1}


async def test_nothing_is_said_to_have_started_before_it_was_due(database_url: str, db: DictConnection) -> None:
    """Claims are made a moment ahead of the instant; what is under way shows no start before that instant."""
    job_id = add_job(db)
    due = datetime.now(timezone.utc) + timedelta(minutes=1)
    async with ledger(database_url) as owner:
        assert (await owner.claim(await wish(owner, job_id, due))).verdict == "mine"
    assert one(db, "select status, started_at from execution") == {"status": "running", "started_at": due}


async def test_attempts_that_somebody_edited_keep_no_outcome_from_being_written(
    database_url: str, db: DictConnection
) -> None:
    """Outcomes are written many at once: one row whose attempts are no list any more does not fail the others."""
    async with ledger(database_url) as owner:
        wishes = [await wish(owner, add_job(db, name=name)) for name in ("edited", "other")]
        claims = await asyncio.gather(*map(owner.claim, wishes))
        db.execute("update execution set attempts = '{}' where job_id = %s", (wishes[0].job_id,))
        assert all(await asyncio.gather(*(owner.finish(result(*pair)) for pair in zip(wishes, claims, strict=True))))
    assert [row["attempts"] for row in db.execute("select attempts from execution")] == [[{"attempt": 1}]] * 2


async def test_asking_twice_is_answered_alike(database_url: str, db: DictConnection) -> None:
    """A claim whose answer was lost with the connection is granted again to the same shift, as the same attempt."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        first, second = await owner.claim(made), await owner.claim(made)
    assert (first.verdict, first.attempt) == (second.verdict, second.attempt) == ("mine", 1)


async def test_an_outcome_is_written_once(database_url: str, db: DictConnection) -> None:
    """Writing an outcome twice, as after a lost answer, adds no second attempt; the row is final."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        done = result(made, await owner.claim(made), output={"code": 200})
        assert await owner.finish(done)
        assert await owner.finish(done)
        again = await owner.claim(await wish(owner, job_id))
    assert (again.verdict, again.status) == ("settled", "success")
    row = one(db, "select status, attempts, output, claimed_by from execution")
    assert row == {"status": "success", "attempts": [{"attempt": 1}], "output": {"code": 200}, "claimed_by": None}


async def test_an_owner_that_lives_keeps_its_claim(database_url: str, db: DictConnection) -> None:
    """While a lease is renewed, nobody else gets the occurrence, however often they ask."""
    job_id = add_job(db)
    async with ledger(database_url, lease_seconds=2) as alive, ledger(database_url) as other:
        await alive.claim(await wish(alive, job_id))
        lease = "select until from lease where owner = %s"
        first = one(db, lease, alive.owner)["until"]
        while one(db, lease, alive.owner)["until"] <= first + timedelta(seconds=2):  # until it has outlived its term
            await asyncio.sleep(0.01)
        assert (await other.claim(await wish(other, job_id))).verdict == "held"


async def test_a_dead_owner_is_taken_over_and_its_outcome_is_void(database_url: str, db: DictConnection) -> None:
    """When the lease is gone another shift makes the next attempt; the old owner, waking up, changes nothing."""
    job_id = add_job(db)
    async with ledger(database_url) as old, ledger(database_url) as new:
        old_wish, new_wish = await wish(old, job_id), await wish(new, job_id)
        old_claim = await old.claim(old_wish)
        die(db, old)
        new_claim = await new.claim(new_wish)
        assert (new_claim.verdict, new_claim.attempt) == ("mine", 2)
        assert not await old.finish(result(old_wish, old_claim, "failed"))
        assert await new.finish(result(new_wish, new_claim))
    row = one(db, "select status, attempt, attempts from execution")
    assert (row["status"], row["attempt"], len(row["attempts"])) == ("success", 2, 2)
    assert row["attempts"][0]["error"] == "the process that was sending it died"


async def test_at_most_once_is_not_sent_again_after_a_crash(database_url: str, db: DictConnection) -> None:
    """Nobody knows whether it was sent: the execution fails, with that as its reason, and is not tried again."""
    job_id = add_job(db, delivery="at_most_once")
    async with ledger(database_url) as old, ledger(database_url) as new:
        await old.claim(await wish(old, job_id))
        die(db, old)
        assert (await new.claim(await wish(new, job_id))).verdict == "lost"
        assert (await new.claim(await wish(new, job_id))).verdict == "settled"
    row = one(db, "select status, reason, finished_at is not null as finished from execution")
    assert row == {"status": "failed", "reason": "unknown outcome", "finished": True}


async def test_a_retry_goes_to_the_same_run_only(database_url: str, db: DictConnection) -> None:
    """An execution that waits for Airflow's next try is left alone by other runs and taken by its own."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        await owner.finish(result(made, await owner.claim(made), "retrying", release=True, error="503"))
        other = await owner.claim(await wish(owner, job_id, run_id="another"))
        own = await owner.claim(await wish(owner, job_id, try_number=2))
    assert other.verdict == "held"
    assert (own.verdict, own.attempt) == ("mine", 2)


async def test_clearing_a_finished_run_adds_attempts_to_its_row(database_url: str, db: DictConnection) -> None:
    """Airflow's "clear" gives a run another try: the occurrence is executed again, in the same row."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        await owner.finish(result(made, await owner.claim(made), "failed", error="404"))
        assert (await owner.claim(await wish(owner, job_id))).verdict == "settled"
        cleared = await wish(owner, job_id, try_number=2)
        claim = await owner.claim(cleared)
        assert (claim.verdict, claim.attempt) == ("mine", 2)
        await owner.finish(result(cleared, claim))
    row = one(db, "select status, attempts, error from execution")
    assert (row["status"], len(row["attempts"]), row["error"]) == ("success", 2, None)


async def test_the_row_as_it_stands_decides(database_url: str, db: DictConnection) -> None:
    """A job that was deleted, paused or rescheduled since its shift read it does not fire by the old row."""
    deleted, paused, rescheduled = (add_job(db, name, every="1 minute") for name in "abc")
    async with ledger(database_url) as owner:
        wishes = [await wish(owner, job_id) for job_id in (deleted, paused, rescheduled)]
        db.execute("delete from job where id = %s", (deleted,))
        db.execute("update job set is_active = false where id = %s", (paused,))
        db.execute("update job set every = '2 minutes' where id = %s", (rescheduled,))
        claims = [await owner.claim(made) for made in wishes]
    assert [claim.verdict for claim in claims] == ["deleted", "skipped", "rescheduled"]
    rows = db.execute("select job_id, status, reason from execution").fetchall()
    assert rows == [{"job_id": paused, "status": "skipped", "reason": "paused"}]


async def test_a_claim_tells_the_newest_revision(database_url: str, db: DictConnection) -> None:
    """An edited payload is noticed at the claim, whether or not anybody heard of the edit."""
    job_id = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id)
        db.execute("update job set payload = '{}' where id = %s", (job_id,))
        claim = await owner.claim(made)
    assert claim.verdict == "mine"
    assert one(db, "select revision from job") == {"revision": claim.revision}


@pytest.mark.parametrize(
    ("overlap", "verdict", "status"),
    [("skip", "skipped", "skipped"), ("queue", "busy", "retrying"), ("allow", "mine", "running")],
)
async def test_the_overlap_rule_holds_across_processes(
    database_url: str, db: DictConnection, overlap: str, verdict: str, status: str | None
) -> None:
    """What another process has under way counts: skip writes a row with the reason, queue waits, allow goes on."""
    job_id = add_job(db, overlap=overlap)
    async with ledger(database_url) as first, ledger(database_url) as second:
        now = datetime.now(timezone.utc)
        await first.claim(await wish(first, job_id, now))
        later = await second.claim(await wish(second, job_id, now + timedelta(seconds=1)))
    assert later.verdict == verdict
    rows = db.execute("select status from execution where scheduled_for > %s", (now,)).fetchall()
    assert rows == ([] if status is None else [{"status": status}])


async def test_what_a_dead_owner_left_does_not_block_a_job_for_ever(database_url: str, db: DictConnection) -> None:
    """An execution whose owner died long ago is no overlap."""
    job_id = add_job(db)
    async with ledger(database_url) as first, ledger(database_url) as second:
        now = datetime.now(timezone.utc)
        await first.claim(await wish(first, job_id, now))
        db.execute("update lease set until = now() - interval '2 minutes' where owner = %s", (first.owner,))
        assert (await second.claim(await wish(second, job_id, now + timedelta(seconds=1)))).verdict == "mine"


async def test_missed_occurrences_are_named_once(database_url: str, db: DictConnection) -> None:
    """Each missed occurrence has a row with a reason; one that was executed keeps its own."""
    job_id = add_job(db)
    dues = [DUE + timedelta(days=day) for day in range(3)]
    async with ledger(database_url) as owner:
        made = await wish(owner, job_id, dues[1])
        await owner.finish(result(made, await owner.claim(made)))
        for _ in range(2):
            await owner.miss(job_id, dues, run_id="run", reason="nobody was there")
    rows = db.execute("select status, reason from execution order by scheduled_for").fetchall()
    assert [row["status"] for row in rows] == ["missed", "success", "missed"]
    assert one(db, "select count(*) as rows from execution_other") == {"rows": 0}


async def test_a_value_that_cannot_be_stored_fails_alone(database_url: str, db: DictConnection) -> None:
    """One outcome that PostgreSQL refuses (a NUL in JSON) takes none of its batch with it."""
    job_ids = [add_job(db, name) for name in "ab"]
    async with ledger(database_url) as owner:
        wishes = [await wish(owner, job_id) for job_id in job_ids]
        claims = [await owner.claim(made) for made in wishes]
        outputs: list[dict[str, object]] = [{"text": "\x00"}, {"text": "fine"}]
        written = await asyncio.gather(
            *(owner.finish(result(m, c, output=o)) for m, c, o in zip(wishes, claims, outputs, strict=True)),
            return_exceptions=True,
        )
    assert isinstance(written[0], psycopg.Error)
    assert written[1] is True


async def test_a_restarted_connection_loses_nothing(database_url: str, db: DictConnection) -> None:
    """When every connection is cut, claims and outcomes are asked again and answered."""
    job_id = add_job(db, overlap="allow")
    async with ledger(database_url) as owner:
        base = await wish(owner, job_id)

        async def execute(number: int) -> bool:
            made = replace(base, due=DUE + timedelta(seconds=number), claim=number)
            return await owner.finish(result(made, await owner.claim(made)))

        for burst in range(5):
            tasks = [asyncio.create_task(execute(burst * 40 + number)) for number in range(40)]
            await asyncio.sleep(0.01)
            db.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace-shift'"
            )
            assert all(await asyncio.gather(*tasks))
    row = one(db, "select count(*) as rows, bool_and(status = 'success') as good, max(attempt) as most from execution")
    assert row == {"rows": 200, "good": True, "most": 1}


@pytest.mark.fresh_database
async def test_an_open_ledger_has_days_ahead(database_url: str, db: DictConnection) -> None:
    """Opening makes the partitions of the coming week, so that executions never pile up in the default one."""
    db.execute("drop table execution cascade")
    for sql in ("create table execution (job_id bigint, scheduled_for timestamptz) partition by range (scheduled_for)",
                "create table execution_other partition of execution default"):  # fmt: skip
        db.execute(sql.encode())
    async with ledger(database_url):
        ahead = one(db, "select count(*) as days from pg_inherits where inhparent = 'execution'::regclass")
    assert ahead == {"days": 10}


async def test_closing_gives_the_lease_back(database_url: str, db: DictConnection) -> None:
    """A process that stops in order lets others take over at once."""
    async with ledger(database_url):
        assert one(db, "select count(*) as rows from lease") == {"rows": 1}
    assert one(db, "select count(*) as rows from lease") == {"rows": 0}


async def test_nothing_is_planned_anew_for_each_claim(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes longer with every day that the ledger keeps: 20 ms with 38 of them, for a claim that takes 2."""
    monkeypatch.setattr("include.store.ledger._REPLAN_SECONDS", 600)
    async with ledger(database_url) as books:
        with connect(database_url) as db:
            job_ids = [add_job(db, name=f"job {number}") for number in range(10)]
        for job_id in job_ids:
            asked = await wish(books, job_id)
            await books.finish(result(asked, await books.claim(asked)))
        for batch in (books._boards, books._claims, books._results):
            plans = await (await batch._connection()).execute(
                "select sum(generic_plans) as kept, sum(custom_plans) as made from pg_prepared_statements"
            )
            [row] = await plans.fetchall()
            assert row["kept"] >= len(job_ids)
            assert row["made"] == 0

"""What waits for another execution of its job is judged anew whenever it asks: the row may have changed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from include.shifts import job as job_shift
from include.shifts.bell import utcnow
from include.shifts.shift import Shift
from include.store.db import DictConnection
from tests.shift_stage import add, executions, of, stage, stand, until
from tests.test_ledger import die, ledger, result, wish
from tests.test_overlap import Gate
from tests.test_store import add_job, one

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
WAITS = "waits for the execution before it"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ("update job set is_active = false", "skipped"),
        ("update job set paused_until = now() + interval '1 hour'", "skipped"),
        ("update job set ends_at = now() + interval '1 day'", "rescheduled"),
        ("update job set every = '2 seconds'", "rescheduled"),
        ("update job set payload = '{}'", "busy"),
        ("delete from job", "deleted"),
    ],
)
async def test_what_waits_is_not_granted_because_its_row_changed(
    database_url: str, db: DictConnection, change: str, verdict: str
) -> None:
    """An edit, a pause or a deletion while one waits never sets it off beside the one that is under way."""
    job_id = add_job(db, overlap="queue", every="1 second")
    async with ledger(database_url) as first, ledger(database_url) as second:
        now = utcnow()
        assert (await first.claim(await wish(first, job_id, now))).verdict == "mine"
        waiting = await wish(second, job_id, now + SECOND)
        assert (await second.claim(waiting)).verdict == "busy"
        db.execute(change.encode())
        assert (await second.claim(waiting)).verdict == verdict
    assert one(db, "select count(*) as sent from execution where attempt > 0") == {"sent": 1}


@pytest.mark.parametrize("change", ["ends_at = now() + interval '1 day'", "overlap = 'skip'"])
async def test_what_waits_is_sent_after_an_edit_that_leaves_it_due(
    database_url: str, db: DictConnection, change: str
) -> None:
    """Of a row that was edited, and is due then all the same, the execution that waits goes out when its turn comes."""
    job_id = add_job(db, overlap="queue", every="1 second")
    async with ledger(database_url) as owner:
        now = utcnow()
        under_way, waiting = await wish(owner, job_id, now), await wish(owner, job_id, now + SECOND)
        claim = await owner.claim(under_way)
        await owner.claim(waiting)
        db.execute(f"update job set {change}".encode())
        await owner.finish(result(under_way, claim))
        as_edited = await wish(owner, job_id, now + SECOND, claim=waiting.claim)
        assert (await owner.claim(as_edited)).verdict == "mine"


@pytest.mark.e2e
async def test_an_edit_of_a_fast_row_sends_nothing_beside_what_is_under_way(
    database_url: str, db: DictConnection
) -> None:
    """A shift whose row gets an end while one execution is under way and another waits sends them one by one."""
    gate = Gate()
    async with stage(database_url, gate.handler) as (post, server):
        job_id = add(db, server, every="1 second", overlap="queue", starts_at=utcnow().replace(microsecond=0))
        shift = asyncio.create_task(stand(post, job_id, utcnow()))
        await until(lambda: any(row["reason"] == WAITS for row in executions(db)))
        db.execute("update job set ends_at = now() + interval '1 day'")
        await asyncio.sleep(0.7)  # in which the one that waits asks again
        gate.open.set()
        await until(lambda: sum(row["status"] == "success" for row in executions(db)) >= 2)
        db.execute("delete from job")
        await shift
    assert gate.most == 1


@pytest.mark.e2e
async def test_what_waits_at_a_change_of_shifts_is_sent_once_and_alone(database_url: str, db: DictConnection) -> None:
    """Relieved while one execution is under way and another waits, the old shift ends both, and the new one neither."""
    gate = Gate()
    async with stage(database_url, gate.handler) as (post, server):
        job_id = add(db, server, every="1 second", overlap="queue", starts_at=utcnow().replace(microsecond=0))
        old = asyncio.create_task(stand(post, job_id, utcnow(), "old"))
        await until(lambda: any(row["reason"] == WAITS for row in executions(db)))
        new = asyncio.create_task(stand(post, job_id, utcnow(), "new"))
        await until(lambda: any(row["dag_run_id"] == "new" for row in executions(db)))
        gate.open.set()
        await until(lambda: sum(row["status"] == "success" for row in executions(db)) >= 3)
        db.execute("delete from job")
        await asyncio.gather(old, new)
        keys = [request.headers["webhook-id"] for request in server.received]
    assert gate.most == 1
    assert len(keys) == len(set(keys))
    assert [row["status"] for row in of(db, job_id)[:2]] == ["success", "success"]


async def test_a_takeover_waits_for_what_has_begun_meanwhile(database_url: str, db: DictConnection) -> None:
    """An execution that was let go of is not taken up beside another one of the job, which began since."""
    job_id = add_job(db, overlap="skip")
    async with ledger(database_url) as first, ledger(database_url) as second, ledger(database_url) as third:
        now = utcnow()
        let_go, begun, taken = [
            await wish(owner, job_id, due)
            for owner, due in ((first, now), (second, now + SECOND), (third, now))
        ]  # fmt: skip
        await first.claim(let_go)
        await first.abandon(job_id, claim=let_go.claim)
        claim = await second.claim(begun)
        assert claim.verdict == "mine"
        assert (await third.claim(taken)).verdict == "busy"
        await second.finish(result(begun, claim))
        assert (await third.claim(taken)).verdict == "mine"


async def test_an_execution_of_an_old_occurrence_is_under_way_like_any_other(
    database_url: str, db: DictConnection
) -> None:
    """Made up for days late, as max_lateness allows, an execution is overlapped by none of the row's new ones."""
    job_id = add_job(db, misfire="all", max_lateness="7 days", every="1 day")
    async with ledger(database_url) as owner:
        now = utcnow()
        assert (await owner.claim(await wish(owner, job_id, now - 3 * DAY))).verdict == "mine"
        assert (await owner.claim(await wish(owner, job_id, now))).verdict == "skipped"


@pytest.mark.parametrize("seconds", [1, 3])
async def test_one_waits_and_no_second(database_url: str, db: DictConnection, seconds: int) -> None:
    """While one waits, another is skipped, whether it is due before or after the one that waits, by hand or not."""
    job_id = add_job(db, overlap="queue")
    async with ledger(database_url) as owner:
        now = utcnow()
        await owner.claim(await wish(owner, job_id, now))
        assert (await owner.claim(await wish(owner, job_id, now + 2 * SECOND))).verdict == "busy"
        by_hand = await wish(owner, job_id, now + seconds * SECOND, manual=True)
        assert (await owner.claim(by_hand)).verdict == "skipped"


@pytest.mark.parametrize("overlap", ["skip", "queue"])
async def test_the_patient_wait_whatever_the_rule(database_url: str, db: DictConnection, overlap: str) -> None:
    """Where all that was missed is made up for, none is skipped for another: each waits, and they go in order."""
    job_id = add_job(db, overlap=overlap)
    async with ledger(database_url) as owner:
        now = utcnow()
        made = [await wish(owner, job_id, now + n * SECOND, patient=True) for n in range(3)]
        claims = [await owner.claim(each) for each in made]
        assert [claim.verdict for claim in claims] == ["mine", "busy", "busy"]
        await owner.finish(result(made[0], claims[0]))
        assert (await owner.claim(made[2])).verdict == "busy"
        claim = await owner.claim(made[1])
        assert claim.verdict == "mine"
        await owner.finish(result(made[1], claim))
        assert (await owner.claim(made[2])).verdict == "mine"


async def test_one_left_waiting_by_the_dead_is_not_sent_while_the_row_is_paused(
    database_url: str, db: DictConnection
) -> None:
    """Its process gone, its row paused: whoever finds it sends it neither beside another execution nor after it."""
    job_id = add_job(db, overlap="queue", every="1 hour")
    async with ledger(database_url) as first, ledger(database_url) as dead, ledger(database_url) as third:
        now = utcnow()
        await first.claim(await wish(first, job_id, now))
        await dead.claim(await wish(dead, job_id, now + SECOND))
        die(db, dead)
        db.execute("update job set is_active = false")
        assert (await third.claim(await wish(third, job_id, now + SECOND))).verdict == "skipped"
    assert [(row["status"], row["reason"], row["attempt"]) for row in executions(db)][1] == ("skipped", "paused", 0)


@pytest.mark.parametrize("ended_by", ["deletion", "run"])
async def test_what_waits_ends_with_its_job_and_with_its_run(
    database_url: str, db: DictConnection, ended_by: str
) -> None:
    """A deleted job, or a run that a person ends in Airflow, leaves no execution that waits for ever."""
    gate = Gate()
    async with stage(database_url, gate.handler) as (post, server):
        job_id = add(db, server, every="1 hour", overlap="queue")
        under_way = asyncio.create_task(stand(post, job_id, utcnow(), "first", by_hand=True))
        await until(lambda: gate.at_once == 1)
        shift = Shift(job_id, utcnow(), "second", 1, by_hand=True)
        waiting = asyncio.create_task(job_shift.stand(shift, post))
        await until(lambda: len(executions(db)) == 2)
        if ended_by == "deletion":
            db.execute("delete from job")
            assert (await waiting).state == "skipped"
        else:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await job_shift.end(shift, post)
        gate.open.set()
        await under_way
        assert len(server.received) == 1
    rows = executions(db)
    assert (rows[1]["status"], rows[1]["claimed_by"]) == ("cancelled", None)

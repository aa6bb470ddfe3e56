"""The tally counts what the ledger and the timers say, whatever has become of them and in whichever order."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store import stats, timers
from include.store.db import DictConnection, connect, queries
from include.store.ledger import Claim, Ledger, Wish
from tests.test_ledger import die, ledger, result, wish
from tests.test_store import add_job, one
from tests.test_timers import outcome, pump_of
from tests.timer_rows import add_timer

START = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)  # not folded yet
SECOND = timedelta(seconds=1)
_LETTERS = {name: text.encode() for name, text in queries("dead_letters").items()}


def tallied(db: DictConnection, source: str) -> dict[Any, int]:
    """How many the tally has of each minute, owner, status and bucket of lateness."""
    rows: list[dict[str, Any]] = db.execute(
        "select at, owner, status, late, sum(executions)::int as sum from tally where source = %s"
        " group by 1, 2, 3, 4 having sum(executions) <> 0",
        (source,),
    ).fetchall()
    return {(row["at"], row["owner"], row["status"], row["late"]): row["sum"] for row in rows}


def tallied_lateness(db: DictConnection, source: str) -> dict[Any, tuple[int, timedelta]]:
    """By minute, owner and bucket: how many first attempts, and how late these began together."""
    rows: list[dict[str, Any]] = db.execute(
        "select at, owner, late, sum(ended)::int as ended, (sum(late_seconds) * 1000000)::bigint as microseconds"
        " from tally where source = %s and late > 0 group by 1, 2, 3",
        (source,),
    ).fetchall()
    return {
        (row["at"], row["owner"], row["late"]): (row["ended"], timedelta(microseconds=row["microseconds"]))
        for row in rows
    }


def recount(db: DictConnection, source: str) -> tuple[dict[Any, int], dict[Any, tuple[int, timedelta]], int]:
    """The same from the rows themselves; and attempts up to each row's last end."""
    statement = {
        "job": "select e.*, e.scheduled_for as due, e.started_at as began, j.owner"
        " from execution e left join job j on j.id = e.job_id",
        "timer": "select *, due_at as due, fired_at as began from timer",
    }[source]
    counts: Counter[Any] = Counter()
    lateness: dict[Any, tuple[int, timedelta]] = {}
    attempts = 0
    bounds = stats.late_bounds(db)
    for row in db.execute(statement.encode()):
        found: dict[str, Any] = dict(row)
        place = found["due"].replace(second=0, microsecond=0), found["owner"] or ""
        has_ended = found["finished_at"] is not None
        bucket = 0
        if (has_ended or found["base_attempt"] > 0) and found["attempt"] > 0 and found["began"] is not None:
            late = found["began"] - found["due"]
            bucket = 1 + bisect_right(bounds, late.total_seconds())
            key = (*place, bucket)
            known, together = lateness.get(key, (0, timedelta(0)))
            lateness[key] = known + 1, together + max(late, timedelta(0))
        attempts += found["attempt"] if has_ended else found["base_attempt"]
        if has_ended:
            counts.update([(*place, found["status"], 0 if found["base_attempt"] > 0 else bucket)])
    return dict(counts), lateness, attempts


def check(db: DictConnection, source: str, ended: Counter[str]) -> None:
    """The tally is as if somebody had counted now, and has counted each end, and each lateness, once."""
    counts, lateness, attempts = recount(db, source)
    assert tallied(db, source) == counts
    assert tallied_lateness(db, source) == lateness
    assert one(db, "select coalesce(sum(attempts), 0)::int as n from tally where source = %s", source)["n"] == attempts
    assert {row["status"]: row["ended"] for row in stats.ended(db, None) if row["source"] == source} == dict(ended)


class Fate:
    """Executions that end in every way there is, at random, as shifts and people bring it about."""

    def __init__(self, db: DictConnection, owner: Ledger, jobs: Sequence[int], seed: int) -> None:
        self.db, self.owner, self.jobs = db, owner, jobs
        self.random = random.Random(seed)
        self.due = START
        self.ended: Counter[str] = Counter()
        self.begun: list[tuple[Wish, Claim]] = []

    async def claim(self) -> None:
        """Several shifts begin; jobs that are paused skip it."""
        self.due += self.random.choice((SECOND, 40 * SECOND))
        wishes = [await wish(self.owner, job, self.due, manual=True) for job in self.jobs]
        wishes[0] = replace(wishes[0], manual=False)  # of the paused job
        for made, claim in zip(wishes, await asyncio.gather(*map(self.owner.claim, wishes)), strict=True):
            if claim.verdict == "skipped":
                self.ended["skipped"] += 1
            else:
                self.begun.append((made, claim))

    async def finish(self) -> None:
        """Attempts end, some to be made again; an outcome may be written twice."""
        ending, self.begun = self.begun, []
        results = []
        for made, claim in ending:
            status = self.random.choice(("success", "success", "failed", "retrying"))
            late = timedelta(seconds=self.random.choice((-0.001, 0, 0.003, 0.01, 0.3, 20, 900)))
            done = result(made, claim, status, started_at=made.due + late, release=True)
            results += [done] * self.random.choice((1, 2))
            self.ended[status] += 1
        await asyncio.gather(*map(self.owner.finish, results))
        del self.ended["retrying"]

    async def retry(self) -> None:
        """What waits for its retry, or is to be redriven, gets its next attempt."""
        for row in self.db.execute(
            "select job_id, scheduled_for, redrive_at is not null as redrive, dag_run_id from execution"
            " where status = 'retrying' and claimed_by is null or status = 'failed' and redrive_at is not null"
        ).fetchall():
            again: dict[str, Any] = {"manual": not row["redrive"], "redrive": row["redrive"]}
            made = await wish(self.owner, row["job_id"], row["scheduled_for"], **again)  # type: ignore[arg-type]
            claim = await self.owner.claim(made)
            assert claim.verdict == "mine"
            self.begun.append((made, claim))

    async def redrive(self) -> None:
        """A person redrives some of what has failed, and gives up on some."""
        failed = self.db.execute("select job_id, scheduled_for from execution where status = 'failed'").fetchall()
        for name in ("redrive_executions", "discard_executions"):
            some = self.random.sample(failed, len(failed) // 3)
            ids, dues = [row["job_id"] for row in some], [row["scheduled_for"] for row in some]
            self.db.execute(_LETTERS[name], {"job_ids": ids, "dues": dues})

    async def miss(self) -> None:
        """Nobody was on duty."""
        self.due += SECOND
        await self.owner.miss(self.jobs[1], [self.due], run_id="run", reason="down")
        await self.owner.miss(self.jobs[1], [self.due], run_id="run", reason="told again")
        self.ended["missed"] += 1

    async def cancel(self) -> None:
        """A person ends a run in Airflow."""
        if self.begun:
            made, _ = self.begun.pop()
            await self.owner.cancel(made.job_id, claim=made.claim, reason="cleared")
            self.ended["cancelled"] += 1


@pytest.mark.parametrize("seed", range(4))
async def test_executions_are_counted_as_they_are(database_url: str, db: DictConnection, seed: int) -> None:
    """Begun, finished twice, retried, missed, skipped, redriven, discarded, cancelled: the sums are a recount's."""
    jobs = [add_job(db, f"job {n}", owner=f"o{n % 2}", overlap="allow", every="1 s") for n in range(4)]
    db.execute("update job set is_active = false where id = %s", (jobs[0],))
    async with ledger(database_url) as owner:
        fate = Fate(db, owner, jobs, seed)
        for _ in range(25):
            await fate.random.choice(
                (fate.claim, fate.claim, fate.finish, fate.finish, fate.retry, fate.redrive, fate.miss, fate.cancel)
            )()
        for step in (fate.claim, fate.finish, fate.redrive, fate.retry, fate.finish):
            await step()
    check(db, "job", +fate.ended)
    assert len(tallied(db, "job")) > 5


async def test_what_a_dead_process_was_sending_is_counted(database_url: str, db: DictConnection) -> None:
    """An outcome that nobody knows is a failure, and counts as one."""
    job = add_job(db, delivery="at_most_once")
    async with ledger(database_url) as old, ledger(database_url) as new:
        await old.claim(await wish(old, job))
        die(db, old)
        assert (await new.claim(await wish(new, job))).verdict == "lost"
    check(db, "job", Counter(failed=1))


def test_one_statement_may_end_one_and_take_up_another(db: DictConnection) -> None:
    """What cancels out in how many there are is still an end, with its attempts and its lateness."""
    job = add_job(db)
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, started_at, finished_at)"
        " values (%(job)s, %(due)s, 'failed', 2, %(due)s, now()),"
        "        (%(job)s, %(due)s::timestamptz + interval '1 s', 'running', 1,"
        "         %(due)s::timestamptz + interval '1 s', null)",
        {"job": job, "due": START},
    )
    db.execute(
        "update execution set status = case status when 'failed' then 'running' else 'failed' end,"
        " base_attempt = case status when 'failed' then 2 else 0 end,"
        " attempt = case status when 'failed' then 3 else 1 end,"
        " started_at = case status when 'failed' then started_at else scheduled_for + interval '4 ms' end,"
        " finished_at = case status when 'failed' then null else now() end"
    )
    check(db, "job", Counter(failed=2))


@pytest.mark.parametrize("due", [datetime(1, 1, 1), datetime(1970, 1, 1), datetime(8999, 12, 31, 23, 59, 59, 999999)])
async def test_what_is_centuries_early_or_late_is_counted(database_url: str, db: DictConnection, due: datetime) -> None:
    """No instant that a ledger can have costs an outcome; what began early is not late."""
    due = due.replace(tzinfo=timezone.utc)
    job = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job, due, manual=True)
        assert await owner.finish(result(made, await owner.claim(made), started_at=datetime.now(timezone.utc)))
    check(db, "job", Counter(success=1))


async def test_what_a_deleted_job_leaves_is_nobodys(database_url: str, db: DictConnection) -> None:
    """What waits for a retry ends with its job, and counts where no owner sees it."""
    job = add_job(db)
    async with ledger(database_url) as owner:
        made = await wish(owner, job)
        assert await owner.finish(result(made, await owner.claim(made), "retrying", release=True))
    db.execute("delete from job")
    check(db, "job", Counter(cancelled=1))
    assert [key[1:3] for key in tallied(db, "job")] == [("", "cancelled")]


async def test_timers_are_counted_as_they_are(database_url: str, db: DictConnection) -> None:
    """Fired, failed, retried, cancelled, redriven and discarded: the sums are those of a recount."""
    ids = [add_timer(db, "http://127.0.0.1:9/", due_at=START + n * 20 * SECOND, owner=f"o{n % 2}") for n in range(12)]
    timers.cancel(db, ids[:2])
    async with pump_of(database_url) as pump:
        assert [timer.id for timer in await pump.take(100, datetime.now(timezone.utc))] == ids[2:]
        late = {ids[n]: START + n * 20 * SECOND + timedelta(milliseconds=7 * n) for n in range(12)}
        ends = [
            (timer, status) for timer, status in zip(ids[2:], ["fired"] * 4 + ["failed"] * 5 + ["pending"], strict=True)
        ]
        written = [replace(outcome(timer, status=status), started_at=late[timer]) for timer, status in ends]
        assert all(await asyncio.gather(*map(pump.finish, written)))
        check(db, "timer", Counter(fired=4, failed=5, cancelled=2))
        db.execute(_LETTERS["redrive_timers"], {"ids": ids[6:8]})
        db.execute(_LETTERS["discard_timers"], {"ids": ids[8:9]})
        check(db, "timer", Counter(fired=4, failed=5, cancelled=2))
        again = await pump.take(100, datetime.now(timezone.utc))
        assert {timer.id for timer in again} == {ids[6], ids[7], ids[11]}
        assert all([await pump.finish(outcome(timer.id, timer.attempt)) for timer in again])
    check(db, "timer", Counter(fired=7, failed=5, cancelled=2))


def test_what_is_old_is_folded(db: DictConnection) -> None:
    """Minutes become hours, and hours days; writers become one; no sum changes, and what is new stays as it is."""
    db.execute(
        "insert into tally select date_trunc('minute', now(), 'UTC') - make_interval(mins => 7 * n), 'job', 'o',"
        " 'success', 1 + n % 2, w, n, n + 1, n + 2, n * 0.1"
        " from generate_series(0, 14000) n, generate_series(1, 2) w"
    )
    sums = "select sum(executions) as e, sum(ended) as n, sum(attempts) as a, sum(late_seconds) as l from tally"
    new = "select * from tally where at >= now() - interval '2 days' order by at, late, writer"
    before, fresh = one(db, sums), db.execute(new).fetchall()
    for _ in range(2):
        while one(db, "select fold_tally(5000) as n")["n"]:
            assert one(db, sums) == before
        assert one(db, sums) == before
        assert db.execute(new).fetchall() == fresh
    kept = one(
        db,
        "select bool_and(writer = 0) as one_writer, bool_and(at = date_trunc('hour', at, 'UTC')) as hours,"
        " bool_and(at = date_trunc('day', at, 'UTC')) filter (where at < now() - interval '60 days') as days,"
        " count(*) < 3000 as few from tally where at < now() - interval '2 days'",
    )
    assert kept == {"one_writer": True, "hours": True, "days": True, "few": True}


def test_one_folds_at_a_time(database_url: str, db: DictConnection) -> None:
    """Two that fold the same hours would wait for each other: the second leaves it to the first."""
    db.execute(
        "insert into tally select now() - interval '3 days', 'job', 'o', 'success', 1, w, 1, 1, 1, 0"
        " from generate_series(1, 9) w"
    )
    with connect(database_url) as other:
        with other.transaction():
            assert one(other, "select fold_tally(5) as n") == {"n": 5}
            assert one(db, "select fold_tally(5) as n") == {"n": 0}
        assert one(db, "select fold_tally(5) as n") == {"n": 4}

"""Backups: a dump of a system at work, restored elsewhere, has lost nothing and sends nothing again that had ended."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import web

from include.local.account import account_for
from include.local.postgres import Postgres
from include.shifts import workflow as workflow_shift
from include.shifts.bell import utcnow
from include.shifts.execution import webhook_id
from include.shifts.post import Post
from include.shifts.shift import Shift
from include.store.db import DictConnection, connect
from tests.conftest import copy_of_template
from tests.fake_http import Server, serving
from tests.living import living
from tests.previous_release import PROJECT
from tests.shift_stage import add, executions, known_since, opened_post, stage, stand, until
from tests.test_ledger import wish
from tests.test_store import one
from tests.timer_rows import add_timer, has_status, pumping

pytestmark = pytest.mark.e2e

HOUR = timedelta(hours=1)
OPERATIONS = PROJECT / "docs" / "operations.md"

# What must be in a restored database exactly as it was when the dump began.
_STATE = {
    "executions": "select job_id, scheduled_for, status, attempt, attempts, output, claim from execution order by 1, 2",
    "records": "select connector_id, position, key, payload from record order by 1, 2",
    "logs": "select id, head, cursor from connector order by 1",
    "watermarks": "select workflow_id, position, processed, failed from workflow_progress order by 1",
    "timers": "select id, status, attempt, due_at from timer order by 1",
    "jobs": "select * from job order by id",
}


def state(db: DictConnection) -> dict[str, list[dict[str, Any]]]:
    return {name: db.execute(statement.encode()).fetchall() for name, statement in _STATE.items()}


async def client(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL's own to its end, without standing in anybody's way."""
    command = [account_for(Path("/nowhere")).binaries / program, *arguments]
    process = await asyncio.create_subprocess_exec(*map(str, command), stderr=subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def dying(url: str, server: Server) -> AsyncIterator[dict[str, Any]]:
    """A process that is sending a job and a timer, and will never hear an answer."""
    async with opened_post(url, lease_seconds=2) as post, pumping(post):
        with connect(url) as db:
            due = utcnow()
            job_id = add(db, server, "held", run_at=due)
            timer_id = add_timer(db, server.url("/held"), due_at=due)
        sending = asyncio.create_task(stand(post, job_id, due, "held"))
        await until(lambda: [request.path for request in server.received].count("/held") == 2)
        yield {"job_id": job_id, "due": due, "ids": {webhook_id(job_id, due), f"timer_{timer_id}"}}
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_dump_of_a_system_at_work_is_whole_and_fires_nothing_again(server: Postgres, tmp_path: Path) -> None:
    """Every row is as it was when the dump began; what had ended is refused, and what was under way is sent once more,
    with its webhook-id, when the lease of its owner is over."""
    answers = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/held":
            await answers.wait()
        return web.Response()

    url, dump = server.url(copy_of_template(server)), tmp_path / "dump"
    async with serving(answer) as receiver, living(PROJECT, url, receiver.url("")) as alive:
        async with dying(url, receiver) as held:
            await alive.until_grown(10)
            with connect(url) as reader, reader.transaction():
                reader.execute("set transaction isolation level repeatable read")
                snapshot = one(reader, "select pg_export_snapshot() as id")["id"]
                before = state(reader)
                await client("pg_dump", "-Fc", f"--snapshot={snapshot}", "-f", str(dump), url)
            await alive.until_grown(3)
            await alive.kill()
        answers.set()
        server.create_database("restored")
        restored = server.url("restored")
        await client("pg_restore", "--exit-on-error", "-d", restored, str(dump))
        with connect(restored) as db:
            assert state(db) == before
            assert {row["status"] for row in before["executions"]} >= {"running", "success"}
            receiver.received.clear()
            await _go_on(restored, db, held)
            sent = [request.headers["webhook-id"] for request in receiver.received]
            _audit(db, before, sent, held["ids"])


async def _go_on(url: str, db: DictConnection, held: dict[str, Any]) -> None:
    """Have everything be on duty again, as by the triggers that Airflow's part of the dump holds."""
    async with opened_post(url) as post, pumping(post):
        for row in executions(db)[-20:]:
            if row["status"] == "success":
                again = replace(await wish(post.ledger, row["job_id"], row["scheduled_for"]), run_id=row["dag_run_id"])
                assert (await post.ledger.claim(again)).verdict == "settled"
        await until(lambda: not one(db, "select count(*) - 1 as others from lease where until > now()")["others"])
        assert (await stand(post, held["job_id"], held["due"], "held")).state == "success"
        [workflow] = db.execute("select id from workflow").fetchall()
        await _process(post, int(str(workflow["id"])))
        await until(lambda: has_status(db, "fired"))


async def _process(post: Post, workflow_id: int) -> None:
    shift = Shift(workflow_id, utcnow(), "by hand", 1, by_hand=True, table="workflow")
    assert (await workflow_shift.stand(shift, post)).state == "success"


def _audit(db: DictConnection, before: dict[str, list[dict[str, Any]]], sent: list[str], held: set[str]) -> None:
    """What was sent since is what had not ended: all of that, and each once."""
    [log], [mark] = before["logs"], before["watermarks"]
    records = {f"{mark['workflow_id']}:{log['id']}:{number}" for number in range(mark["position"] + 1, log["head"] + 1)}
    timers = {f"timer_{row['id']}" for row in before["timers"] if row["status"] in ("pending", "firing")}
    assert held <= set(sent)
    assert sorted(sent) == sorted(records | timers | held)
    assert one(db, "select position from workflow_progress") == {"position": log["head"]}
    row = one(db, "select status, attempt from execution e join job j on j.id = e.job_id where j.name = 'held'")
    assert row == {"status": "success", "attempt": 2}


async def test_a_gap_can_be_treated_as_missed(database_url: str, db: DictConnection) -> None:
    """After the documented statements, what fell due since the backup is in the ledger as missed and is not sent; with
    those that end it, `misfire` is what it was."""
    treat, end = (statement for statement in _documented("since_backup"))
    async with stage(database_url) as (post, server):
        start = utcnow() - timedelta(hours=3, minutes=30)
        job_id = add(db, server, every="1 hour", misfire="all", max_lateness="1 day", starts_at=start)
        known_since(db, job_id, start - HOUR, accounted=start)
        overdue, later = (add_timer(db, server.url("/timer"), due_at=utcnow() + shift) for shift in (-HOUR, HOUR))
        db.execute(treat.encode())
        async with pumping(post):
            assert (await stand(post, job_id, start + 3 * HOUR)).state == "skipped"
        assert not server.received
    db.execute(end.encode())
    assert [row["status"] for row in executions(db)] == ["success", "missed", "missed", "missed"]
    states = {row["id"]: row["status"] for row in db.execute("select id, status from timer").fetchall()}
    assert states == {overdue: "cancelled", later: "pending"}
    assert one(db, "select misfire from job") == {"misfire": "all"}


async def test_a_restored_database_can_take_the_place_of_one_in_use(server: Postgres) -> None:
    """By the documented statements, while clients are connected that come back at once."""
    server.create_database("millrace")
    server.create_database("restored")
    with psycopg.connect(server.url("restored")) as db:
        db.execute("create table mark as select 1 as restored")
    with closing(psycopg.connect(server.url("millrace"))) as in_use:
        in_use.execute("select 1")
        with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
            for statement in "".join(_documented("before_restore")).split(";\n"):
                admin.execute(statement.encode())
        with pytest.raises(psycopg.OperationalError):
            in_use.execute("select 1")
    with psycopg.connect(server.url("millrace")) as db:
        assert db.execute("select restored from mark").fetchone() == (1,)
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("drop database millrace")
        admin.execute("drop database before_restore")


def _documented(word: str) -> list[str]:
    """The blocks of SQL in the chapter on backups that have this word in them."""
    chapter = OPERATIONS.read_text("utf-8").split("\n## Backup and restore\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^ *```sql\n(.*?)```", chapter, re.DOTALL | re.MULTILINE)
    return [block for block in blocks if word in block]

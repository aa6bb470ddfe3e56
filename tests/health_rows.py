"""What tests of health and notices share: outcomes written as shifts write them, and what became of them."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from include.settings import Settings
from include.shifts.notices import Notices
from include.shifts.post import Post
from include.store.db import DictConnection
from include.store.ledger import Ledger, Result, Wish
from tests.fake_http import Handler, Server, ok, serving
from tests.test_store import add_job, one

DUE = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
SECOND = timedelta(seconds=1)
SHOWN = {name: f"{{{{ {name} }}}}" for name in ("summary", "text", "notices", "count", "more")}
WEBHOOK = {"kind": "webhook", "payload": {"url": "http://127.0.0.1:9/"}}


@pytest.fixture
def clean(database_url: str) -> Iterator[None]:
    """No notice and no owner's notify is left for the next test."""
    yield
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("truncate notice, notice_channel, owner_notify restart identity")


class Outcomes:
    """Writes outcomes as shifts do: claimed, and then finished, many in one statement."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.instant = DUE

    async def write(self, *job_ids: int, says: str | Sequence[str], code: int = 500, manual: bool = False) -> None:
        """For each job, one after another, executions that end so: `success` or `failed`, all in one statement."""
        results = []
        jobs = await asyncio.gather(*(self.ledger.job(job_id) for job_id in job_ids))
        for status in [says] if isinstance(says, str) else says:
            self.instant += SECOND
            wishes = [
                Wish(job.id, self.instant, job.schedule_revision, "run", 1, manual, secrets.randbits(62))
                for job in jobs
                if job is not None
            ]
            claims = await asyncio.gather(*map(self.ledger.claim, wishes))
            assert {claim.verdict for claim in claims} == {"mine"}
            results += [_result(wish, status, code) for wish in wishes]
        db = await self.ledger._results._connection()  # one statement, and not what happens to come together
        assert all(await self.ledger._finish(db, results))


def _result(wish: Wish, status: str, code: int) -> Result:
    failed = status == "failed"
    return Result(
        job_id=wish.job_id,
        due=wish.due,
        claim=wish.claim,
        attempt=1,
        status=status,  # type: ignore[arg-type]
        started_at=DUE,
        finished_at=DUE,
        entry={"attempt": 1, "code": code if failed else 200},
        error=f"POST example.com {code}" if failed else None,
    )


@asynccontextmanager
async def outcomes(database_url: str) -> AsyncIterator[Outcomes]:
    """A ledger with a lease, as each triggerer process has one."""
    ledger = Ledger(database_url, lease_seconds=10)
    await ledger.open()
    try:
        yield Outcomes(ledger)
    finally:
        await ledger.close()


@asynccontextmanager
async def sender(database_url: str, handler: Handler = ok, **settings: Any) -> AsyncIterator[tuple[Notices, Server]]:
    """What sends notices, at our word and not by itself, and a server to send them to."""
    settings = {"notice_gather_seconds": 0, "notice_quiet_seconds": 300, **settings}
    post = Post(Settings(database_url=database_url, egress_allow="127.0.0.0/8", **settings))  # type: ignore[arg-type]
    await post.ledger.open()
    notices = Notices(post)
    try:
        async with serving(handler) as server:
            yield notices, server
    finally:
        await notices.close()
        await post.close()


def told_job(db: DictConnection, name: str = "a", notify: dict[str, Any] | None = None, **columns: Any) -> int:
    """A job that is run by hand only, whose failures are told."""
    return add_job(db, name, notify=json.dumps(WEBHOOK if notify is None else notify), overlap="allow", **columns)


def health(db: DictConnection, job_id: int) -> dict[str, Any]:
    return one(db, "select * from job_health where job_id = %s", job_id)


def events(db: DictConnection, job_id: int | None = None) -> list[str]:
    """What is to be told, in order."""
    rows = db.execute(
        "select event from notice where %s::bigint is null or row_id = %s order by id", (job_id, job_id)
    ).fetchall()
    return [str(row["event"]) for row in rows]


def details(db: DictConnection) -> list[str]:
    return [str(row["detail"]) for row in db.execute("select detail from notice order by id").fetchall()]


def job(db: DictConnection, job_id: int) -> dict[str, Any]:
    return one(db, "select * from job where id = %s", job_id)


def add_notice(db: DictConnection, server: Server, path: str = "/told", count: int = 1, **payload: Any) -> None:
    """Notices of failures of different jobs, all to one place, with a payload that shows everything."""
    channel = {"kind": "webhook", "payload": {"url": server.url(path), "body": SHOWN, **payload}}
    db.execute(
        "insert into notice (table_name, row_id, name, owner, event, detail, channel) select 'job', n, 'job ' || n,"
        " 'ann', 'failure', 'POST example.com 500', %s from generate_series(1, %s) as n",
        (json.dumps(channel), count),
    )

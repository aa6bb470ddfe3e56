"""Migrating while Millrace runs: shifts and people go on, and nobody is refused anything."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from tests.test_ledger import ledger, result, wish
from tests.test_store import add_job, one

NEWEST = "0008_access"
_DELETES = "delete from job"
_COUNTS = "select id from job for no key update skip locked"
_WRITES = "update execution set error = error"


@pytest.fixture
def old_url(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that does not have the newest migration yet."""
    name = f"old_{tmp_path.name}"
    server.create_database(name)
    files = tmp_path / "store" / "migrations"
    shutil.copytree(migrations._HERE / "migrations", files)
    (files / f"{NEWEST}.sql").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_HERE", files.parent)
        migrations.migrate(server.url(name))
    return server.url(name)


def until_it_waits(db: DictConnection, migrating: Future[list[str]]) -> None:
    while not one(
        db,
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database() and application_name = 'millrace-migrate') as waits",
    )["waits"]:
        assert not migrating.done()
        time.sleep(0.01)


@pytest.mark.parametrize(("first", "then"), [(_WRITES, _COUNTS), (_COUNTS, _WRITES), (_COUNTS, _DELETES)])
def test_whoever_holds_one_table_may_wait_for_another(old_url: str, first: str, then: str) -> None:
    """Neither a shift nor a person, in whichever order they need the tables, is chosen as the victim of a deadlock."""
    with connect(old_url) as db, connect(old_url) as writer, ThreadPoolExecutor(1) as pool:
        add_job(db)
        with writer.transaction():
            writer.execute(first.encode())
            migrating = pool.submit(migrations.migrate, old_url)
            until_it_waits(db, migrating)
            writer.execute(then.encode())
        assert migrating.result() == [NEWEST]


async def test_a_shift_on_duty_goes_on_with_the_new_tables(old_url: str) -> None:
    """What it has prepared is prepared anew, and what it claimed before has its outcome, counted."""
    with connect(old_url) as db:
        job = add_job(db)
        async with ledger(old_url) as owner:
            made = await wish(owner, job)
            claim = await owner.claim(made)
            assert migrations.migrate(old_url) == [NEWEST]
            assert await owner.board(job, "run") is not None
            assert await owner.job(job) is not None
            assert await owner.finish(result(made, claim))
        assert one(db, "select status, ended from tally") == {"status": "success", "ended": 1}

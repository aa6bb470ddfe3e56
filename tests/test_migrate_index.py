"""A new index of the ledger: every day gets it, and whoever writes goes on meanwhile."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from include.errors import RetryableError
from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from tests.test_store import add_job, one

NEWEST = "0011_execution_statuses"
_CLAIM = "insert into execution (job_id, scheduled_for, status) values (1, now() + %s * interval '1 second', 'running')"
_WAITS = (
    "select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted"
    " and a.datname = current_database() and a.application_name = 'millrace-migrate') as waits"
)


@pytest.fixture
def old_url(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that does not have the migration yet, with a job."""
    name = f"old_{tmp_path.name}"
    server.create_database(name)
    files = tmp_path / "store" / "migrations"
    shutil.copytree(migrations._HERE / "migrations", files)
    (files / f"{NEWEST}.sql").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_HERE", files.parent)
        migrations.migrate(server.url(name))
    with connect(server.url(name)) as db:
        add_job(db)
    return server.url(name)


def days_without_it(db: DictConnection) -> int:
    return int(
        str(
            one(
                db,
                "select count(*) as n from pg_inherits p where inhparent = 'execution'::regclass and not exists"
                " (select from pg_index i where i.indrelid = p.inhrelid and i.indisvalid"
                "  and pg_get_indexdef(i.indexrelid) like '%%missed%%')",
            )["n"]
        )
    )


def until_it_waits(db: DictConnection) -> None:
    while not one(db, _WAITS)["waits"]:
        time.sleep(0.01)


def test_it_is_built_while_its_days_are_written_to(old_url: str) -> None:
    """It waits for a transaction that has written to a day, and nobody waits behind it."""
    with connect(old_url) as db, connect(old_url) as slow, ThreadPoolExecutor(1) as pool:
        db.execute(_CLAIM, (0,))
        [day] = db.execute("select tableoid::regclass::text as day from execution").fetchall()
        with slow.transaction():
            slow.execute(f"update {day['day']} set error = error".encode())  # of this day, and not of the ledger
            migrating = pool.submit(migrations.migrate, old_url)
            until_it_waits(db)
            db.execute("set lock_timeout = '50ms'")
            db.execute(_CLAIM, (1,))
            assert not migrating.done()
        assert migrating.result() == [NEWEST]
        assert days_without_it(db) == 0
        db.execute("select make_execution_partitions((now() - interval '9 days')::date, now()::date)")
        assert days_without_it(db) == 0, "days to come have it, too"


def test_what_was_broken_off_is_built_anew(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says for whom it waited; what it has left is no index, and the next attempt replaces it."""
    with connect(old_url) as db, connect(old_url) as slow:
        db.execute(_CLAIM, (0,))
        [day] = db.execute("select tableoid::regclass::text as day from execution").fetchall()
        monkeypatch.setattr(migrations, "_PATIENCE_SECONDS", 1.0)
        with slow.transaction():
            slow.execute(f"update {day['day']} set error = error".encode())
            with pytest.raises(RetryableError, match=f"the index of {day['day']} got no lock .*idle in transaction"):
                migrations.migrate(old_url)
        assert days_without_it(db) > 0
        assert migrations.migrate(old_url) == []
        assert days_without_it(db) == 0


def test_two_at_once_do_not_wait_for_each_other(old_url: str) -> None:
    """One does it all, and the other finds it done."""
    with ThreadPoolExecutor(3) as pool:
        done = [*pool.map(migrations.migrate, [old_url] * 3)]
    assert sorted(done) == [[], [], [NEWEST]]
    with connect(old_url) as db:
        assert days_without_it(db) == 0

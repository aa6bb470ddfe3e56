"""The migration by which owners name their connectors without knowing of each other."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from tests.log_rows import add_connector, append

NEWEST = "0010_connector_names"


@pytest.fixture
def old_url(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that does not have the migration yet."""
    name = f"old_{tmp_path.name}"
    server.create_database(name)
    files = tmp_path / "store" / "migrations"
    shutil.copytree(migrations._HERE / "migrations", files)
    (files / f"{NEWEST}.sql").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_HERE", files.parent)
        migrations.migrate(server.url(name))
    return server.url(name)


def names(db: DictConnection) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in db.execute("select owner, name from connector order by id")]


def test_connectors_stay_and_others_may_have_their_names(old_url: str) -> None:
    """What was there is as it was; after it a name is taken for its owner only."""
    with connect(old_url) as db:
        add_connector(db, "shop", owner="alice")
        with pytest.raises(psycopg.errors.UniqueViolation):
            add_connector(db, "shop", owner="bob")
        before = db.execute("select * from connector").fetchall()
        assert migrations.migrate(old_url) == [NEWEST]
        assert db.execute("select * from connector").fetchall() == before
        add_connector(db, "shop", owner="bob")
        with pytest.raises(psycopg.errors.UniqueViolation):
            add_connector(db, "shop", owner="bob")
        assert names(db) == [("alice", "shop"), ("bob", "shop")]


def test_who_reads_for_long_holds_nobody_up(old_url: str) -> None:
    """While a backup keeps the migration waiting, records are stored all the same."""
    with connect(old_url) as db, connect(old_url) as backup, ThreadPoolExecutor(1) as pool:
        connector = add_connector(db)
        with backup.transaction():
            backup.execute("lock table connector in access share mode")
            migrating = pool.submit(migrations.migrate, old_url)
            waits = (
                "select from pg_locks l join pg_stat_activity a using (pid) where not granted and application_name = %s"
            )
            while not db.execute(waits, ("millrace-migrate",)).fetchall():
                assert not migrating.done()
            append(db, connector, [{"n": 1}])
            assert not migrating.done()
        assert migrating.result() == [NEWEST]

"""A migration never has everybody wait for somebody: it lets go of its locks, and comes back."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from include.errors import RetryableError
from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from tests.conftest import copy_of_template
from tests.test_store import add_job, one

_WAITS = (
    "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
    " and datname = current_database() and application_name = 'millrace-migrate') as waits"
)
_NEW = "9999_note"


@pytest.fixture
def url(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that lacks one migration, which needs `job` and `execution` for itself."""
    files = tmp_path / "migrations"
    files.mkdir()
    for file in (migrations._HERE / "migrations").glob("*.sql"):
        (files / file.name).symlink_to(file)
    (files / f"{_NEW}.sql").write_text(
        "alter table execution add column note text; alter table job add column note text;"
    )
    (tmp_path / "airflow_side.sql").write_text("alter table public.dag_run add column if not exists note text")
    monkeypatch.setattr(migrations, "_HERE", tmp_path)
    return server.url(copy_of_template(server))


def stalls_of(database_url: str, end: threading.Event) -> list[float]:
    """How long each claim took, one after another, until the end."""
    took: list[float] = []
    with connect(database_url) as db:
        while not end.is_set():
            asked_at = time.monotonic()
            db.execute("insert into execution (job_id, scheduled_for, status) values (1, clock_timestamp(), 'running')")
            took.append(time.monotonic() - asked_at)
            time.sleep(0.005)
    return took


@pytest.mark.e2e
def test_others_go_on_while_a_migration_waits(url: str) -> None:
    """Somebody reads for long; claims are held up for a part of that time only, and then the migration is done."""
    end = threading.Event()
    with connect(url) as reader, connect(url) as db, ThreadPoolExecutor(2) as pool:
        add_job(db)
        claiming = pool.submit(stalls_of, url, end)
        with reader.transaction():
            reader.execute("select from job")
            began = time.monotonic()
            migrating = pool.submit(migrations.migrate, url)
            for _ in range(8):  # times that it waits, and gives up: long, compared with a busy machine
                _until_it(db, waits=True)
                _until_it(db, waits=False)
            held = time.monotonic() - began
            assert not migrating.done()
        assert migrating.result() == [_NEW]
        end.set()
    assert max(claiming.result()) < held / 2


def test_what_waits_for_too_long_says_for_whom(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the name of the oldest transaction, having changed nothing, and a later attempt succeeds."""
    monkeypatch.setattr(migrations, "_PATIENCE_SECONDS", 0.0)
    with psycopg.connect(url, application_name="a long report") as reader:
        reader.execute("select from millrace.job")
        with pytest.raises(RetryableError, match=rf"{_NEW} got no lock .* a long report .*\(idle in transaction"):
            migrations.migrate(url)
        with connect(url) as db:
            assert one(db, "select count(*) as n from migration where name = %s", _NEW) == {"n": 0}
        reader.rollback()
    assert migrations.migrate(url) == [_NEW]


def test_airflows_tables_are_waited_for_in_the_same_way(url: str) -> None:
    """What is added to them, at every start, does not hold up a scheduler that is at work beside it."""
    with connect(url) as db, connect(url) as reader, ThreadPoolExecutor(1) as pool:
        db.execute("create table public.dag_run ()")
        with reader.transaction():
            reader.execute("select from public.dag_run")
            adopting = pool.submit(migrations.adopt_airflow, url)
            _until_it(db, waits=True)
            _until_it(db, waits=False)
            assert not adopting.done()
        adopting.result()


def _until_it(db: DictConnection, *, waits: bool) -> None:
    while one(db, _WAITS)["waits"] != waits:
        time.sleep(0.01)

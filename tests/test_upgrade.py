"""Upgrades: the release before this one goes on, while its database is migrated and afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from psycopg import sql

from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect
from tests.fake_http import Server, serving
from tests.living import Living, living
from tests.newer_tables import migrate_with
from tests.previous_release import PROJECT, TESTS, UNSTEADY, unpack
from tests.test_store import one

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the release before, with what this one asks of it."""
    folder = tmp_path_factory.mktemp("release")
    unpack(folder)
    for name in ("living.py", "newer_tables.py"):
        shutil.copy(PROJECT / "tests" / name, folder / "tests")
    return folder


@pytest.fixture
def old_url(server: Postgres, release: Path) -> Iterator[str]:
    """A database as the release before has made it."""
    server.create_database("release_before")
    url = server.url("release_before")
    migrate_with(str(release), url)
    yield url
    with connect(server.url("postgres")) as admin:
        admin.execute("drop database release_before with (force)")


def test_what_was_released_stays_as_it_is(release: Path) -> None:
    """A migration that a release had is never edited: databases have it already."""
    for file in sorted((release / "include/store/migrations").glob("*.sql")):
        assert (migrations._HERE / "migrations" / file.name).read_bytes() == file.read_bytes(), file.name


async def test_the_release_before_goes_on_while_its_tables_are_migrated(old_url: str, release: Path) -> None:
    """Shifts, claims, timers, records, workflows and the API, beside a dump that reads every table for long: nothing
    errs, is lost or comes twice, then or after that, and no claim takes as long as half of the dump."""
    async with serving() as receiver, living(release, old_url, receiver.url("")) as old:
        await old.until_grown(3)
        with connect(old_url) as reader, reader.transaction():
            _read_everything(reader)
            began = time.monotonic()
            migrating = asyncio.create_task(asyncio.to_thread(migrations.migrate, old_url))
            await old.until_grown(3, ("answers",))
            while (held := time.monotonic() - began) < 10:  # long, compared with a wait for a lock and a busy machine
                await old.until_grown(5, ("claims", "records"))
        await migrating
        await old.until_grown(4)
        await old.end()
    assert old.longest_gap < held / 2
    _audit(old_url, old, receiver)


def _audit(url: str, old: Living, receiver: Server) -> None:
    """What was asked for is done, and has arrived once."""
    with connect(url) as db:
        done = {row["name"] for row in db.execute("select name from migration")}
        assert done == {file.stem for file in (migrations._HERE / "migrations").glob("*.sql")}
        by_hand = db.execute("select distinct status from execution where origin = 'manual'").fetchall()
        assert by_hand == [{"status": "success"}]
        assert one(db, "select count(*) as n from execution where status = 'failed'") == {"n": 0}
        assert one(db, "select count(*) as n from timer where status <> 'fired'") == {"n": 0}
        ends = one(db, "select (select head from connector) as head, position, failed from workflow_progress")
        assert (ends["head"], ends["position"], ends["failed"]) == (*[old.counts["records"]] * 2, 0)
        calls = one(db, "select (select count(*) from timer) + count(*) as n from execution where status = 'success'")
    received = [request.headers["webhook-id"] for request in receiver.received]
    assert len(received) == len(set(received)) == calls["n"] + old.counts["records"]


def _read_everything(reader: DictConnection) -> None:
    """As pg_dump does: a lock on every table, for which only what changes the table waits."""
    for table in reader.execute("select tablename as name from pg_tables where schemaname = 'millrace'").fetchall():
        reader.execute(sql.SQL("select from {} limit 1").format(sql.Identifier(str(table["name"]))))


def test_the_release_before_keeps_its_promises_on_the_new_tables(release: Path) -> None:
    """Its own tests of ledger, timers, records, pulls, workflows and API pass on the tables that this release makes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
    environment |= {"NEWER_CHECKOUT": str(PROJECT), "PYTHONPATH": str(release)}

    def run(tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        options = ["-p", "tests.newer_tables", "-p", "no:cacheprovider", *(f"--deselect={test}" for test in UNSTEADY)]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        return subprocess.run(command, cwd=release, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(len(TESTS)) as pool:  # they wait more than they work
        for done in pool.map(run, TESTS):
            assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]

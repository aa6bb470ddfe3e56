"""PgBouncer in transaction pooling, as in deploy/kubernetes/pgbouncer.ini: what may go through it, and what may not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import gettempdir
from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import create_engine, text

from config.airflow_database import SYNC
from include.errors import ConfigError
from include.local.home import PROJECT
from include.local.ports import free_port
from include.local.prepare import check_server
from include.store.db import DictConnection
from tests.real_system import wait_for

pytestmark = pytest.mark.e2e

INI = (PROJECT / "deploy" / "kubernetes" / "pgbouncer.ini").read_text("utf-8")


def answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def pooled_url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The database through PgBouncer, with the settings of the chart but for where things are and who may log in."""
    server, port = urlsplit(database_url), free_port()
    where = f"host={server.hostname} port={server.port} dbname={server.path.strip('/')} "
    ini = INI.replace("host=postgres.example.com port=5432 dbname=millrace ", where).replace(
        "pool_size=20", "pool_size=2"
    )
    for was, now in {
        "listen_addr = *": "listen_addr = 127.0.0.1",
        "listen_port = 6543": f"listen_port = {port}",
        "auth_type = scram-sha-256": "auth_type = trust",
        "auth_file = /etc/pgbouncer/users.txt": f"auth_file = {tmp_path}/users.txt\nunix_socket_dir =",
    }.items():
        assert was in ini
        ini = ini.replace(was, now)
    for name, content in (("users.txt", f'"{server.username}" "{server.password}"\n'), ("pgbouncer.ini", ini)):
        (tmp_path / name).write_text(content)
    own = {"user": os.stat(tmp_path).st_uid}
    if own["user"] == 0:  # it refuses to run as root
        own = {"user": 65534}
        for path in (tmp_path, *tmp_path.parents):
            if path.is_relative_to(gettempdir()) and path != Path(gettempdir()):
                path.chmod(0o755)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["pgbouncer", tmp_path / "pgbouncer.ini"], stdout=log, stderr=log, **own)
    url = f"postgresql://{server.username}@127.0.0.1:{port}/millrace"
    try:
        wait_for(lambda: process.poll() is not None or answers(url), "PgBouncer")
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.mark.fresh_database
def test_airflow_goes_through_it(pooled_url: str, db: DictConnection) -> None:
    """Airflow's connections see Airflow's tables and commit without waiting, on whichever server connection."""
    db.execute("create table public.job (of_airflow int)")
    engine = create_engine(pooled_url.replace("postgresql://", "postgresql+psycopg2://"), connect_args=SYNC)

    def asks(_number: int) -> tuple[object, ...]:
        with engine.connect() as connection, connection.begin():
            connection.execute(text("select pg_advisory_xact_lock(1)"))
            connection.execute(text("select of_airflow from job"))
            asked = "select current_setting('search_path'), current_setting('synchronous_commit')"
            return tuple(connection.execute(text(asked)).one())

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(asks, range(100)))
    engine.dispose()
    assert found == {("public", "off")}


def test_our_own_connections_are_refused(pooled_url: str) -> None:
    """Given as our database, it is refused with the reason: who changes what would be lost, and no change be heard."""
    with pytest.raises(ConfigError, match="PgBouncer"):
        check_server(pooled_url)


def test_the_database_itself_is_taken(database_url: str) -> None:
    """What is asked for when connecting arrives."""
    check_server(database_url)

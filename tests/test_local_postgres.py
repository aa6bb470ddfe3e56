"""The embedded PostgreSQL: starts, stops, and comes back, whoever runs it and whatever happened before."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest

from include.errors import ConfigError, MillraceError
from include.local.account import elsewhere
from include.local.postgres import Postgres

pytestmark = pytest.mark.e2e  # a server of its own for most of them

PROJECT = Path(__file__).parents[1]
NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that any user may pass through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="millrace-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(place: Path) -> Iterator[Postgres]:
    """A stopped server, in a path with blanks that is too long for a Unix socket."""
    directory = place / ("a long name " * 12)
    directory.mkdir(mode=0o755)
    server = Postgres(directory / "data", durable=False)
    yield server
    server.stop()
    shutil.rmtree(elsewhere(directory / "data"), ignore_errors=True)


def ask(url: str, question: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(question.encode())
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def postmaster(server: Postgres) -> psutil.Process:
    return psutil.Process(int((server.data_dir / "postmaster.pid").read_text().split()[0]))


def test_it_keeps_data_port_and_password_over_a_restart(server: Postgres) -> None:
    """Stopped and started again, it answers at the same address with the same rows."""
    server.start()
    server.create_database("kept")
    server.create_database("kept")
    url = server.url("kept")
    ask(url, "create table word as select 'still here' as word")
    server.stop()
    assert not server.is_running()
    server.start()
    assert server.url("kept") == url
    assert ask(url, "select word from word") == "still here"


def test_two_objects_mean_one_server(server: Postgres) -> None:
    """Another process finds the server running, does not start a second one, and can stop it."""
    server.start()
    other = Postgres(server.data_dir)
    assert other.is_running()
    before = postmaster(server)
    other.start()
    assert postmaster(server) == before
    other.stop()
    assert not server.is_running()


def test_only_its_owner_gets_in(server: Postgres) -> None:
    """It listens on loopback alone, wants the password, and the password's file is private."""
    server.start()
    assert server.port is not None
    assert {c.laddr.ip for c in postmaster(server).net_connections() if c.status == "LISTEN"} == {"127.0.0.1"}
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(f"postgresql://millrace:wrong@127.0.0.1:{server.port}/postgres")
    facts = server.data_dir.with_name("data.json")
    assert stat.S_IMODE(facts.stat().st_mode) == 0o600


def test_it_comes_back_after_sigkill(server: Postgres) -> None:
    """A killed server leaves a pid file behind; the next start does not mind, and committed rows are there."""
    durable = Postgres(server.data_dir)
    durable.start()
    ask(durable.url("postgres"), "create table word as select 1")
    postmaster(durable).kill()
    wait_until(lambda: not durable.is_running())
    assert (durable.data_dir / "postmaster.pid").exists()
    durable.start()
    assert ask(durable.url("postgres"), "select count(*) from word") == 1
    durable.stop()


def test_a_pid_that_is_somebody_elses_now_is_no_server(server: Postgres) -> None:
    """After a reboot the old pid may belong to anything: that is not taken for a server, nor harmed."""
    server.start()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as bystander:
        (server.data_dir / "postmaster.pid").write_text(f"{bystander.pid}\n{server.data_dir}\n0\n0\n\n\n0 0\nready\n")
        assert not server.is_running()
        server.start()
        assert server.is_running()
        assert bystander.poll() is None
        bystander.kill()


def test_backends_that_outlive_their_server_are_ended(server: Postgres) -> None:
    """Rows cannot be changed by a backend of yesterday's server beside today's."""
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)  # so that it cannot notice the end of its server
        postmaster(server).kill()
        wait_until(lambda: not server.is_running())
        server.start()
        assert not psutil.pid_exists(backend) or psutil.Process(backend).status() == psutil.STATUS_ZOMBIE


def test_a_taken_port_is_refused_or_avoided(server: Postgres) -> None:
    """A port that was asked for and is taken is an error; one that was only remembered is replaced."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken"):
            server.start(port)
    server.start()
    old = server.port
    server.stop()
    assert old is not None
    with closing(socket.create_server(("127.0.0.1", old))):
        server.start()
        assert server.port != old
        assert ask(server.url("postgres"), "select 1") == 1


def test_an_interrupted_first_start_is_done_again(server: Postgres) -> None:
    """Half a data directory, left by a start that was killed, is not used."""
    unfinished = server.data_dir.with_name("data.unfinished")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server.url("postgres"), "select 1") == 1
    assert not unfinished.exists()


def test_a_lost_password_is_an_error_and_not_a_new_database(server: Postgres) -> None:
    """Without its password the old data is neither readable nor thrown away."""
    server.start()
    server.stop()
    server.data_dir.with_name("data.json").unlink()
    with pytest.raises(ConfigError, match=r"data\.json is gone"):
        server.start()
    assert (server.data_dir / "PG_VERSION").exists()


def test_a_server_that_cannot_start_says_why_in_one_line(server: Postgres) -> None:
    """The cause, from the server's own log, and where the log is."""
    server.start()
    server.stop()
    (server.data_dir / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(MillraceError, match="PostgreSQL did not start") as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert "data.log" in str(caught.value)


def test_a_temporary_server_leaves_nothing_behind() -> None:
    """No process and no file."""
    with Postgres.temporary() as server:
        running, directory = postmaster(server), server.data_dir
        assert ask(server.url("postgres"), "select 1") == 1
    assert not running.is_running()
    assert not directory.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this problem")
def test_root_gets_a_server_of_another_user(server: Postgres) -> None:
    """PostgreSQL refuses to run as root, so it does not."""
    server.start()
    assert postmaster(server).uids().effective != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this problem")
def test_roots_server_can_live_where_only_root_can_look(place: Path) -> None:
    """In a directory such as /root the server's user cannot reach the data: it is put elsewhere, and found again."""
    place.chmod(0o700)
    server = Postgres(place / "data", durable=False)
    try:
        server.start()
        ask(server.url("postgres"), "create table word as select 1")
        assert server.data_dir == elsewhere(place / "data") / "data"
        server.stop()
        again = Postgres(place / "data", durable=False)
        again.start()
        assert ask(again.url("postgres"), "select count(*) from word") == 1
        again.stop()
    finally:
        server.stop()
        shutil.rmtree(elsewhere(place / "data"), ignore_errors=True)


def test_a_plain_user_can_run_one(place: Path) -> None:
    """No root needed. (Run by root, the test becomes somebody else.)"""
    program = (
        "import sys; from pathlib import Path; from include.local.postgres import Postgres\n"
        "server = Postgres(Path(sys.argv[1]) / 'data', durable=False); server.start()\n"
        "server.create_database('mine'); print(server.url('mine')); server.stop(); print(server.is_running())"
    )
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if as_nobody:
        os.chown(place, NOBODY, NOBODY)
    python = python_for_all()
    if as_nobody and python is None:
        pytest.skip("no Python here that a plain user may run")
    ran = subprocess.run(
        [python or sys.executable, "-c", program, str(place)],
        env={"PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **as_nobody,  # type: ignore[call-overload]
    )
    assert ran.returncode == 0, ran.stderr
    url, running = ran.stdout.split()
    assert url.startswith("postgresql://millrace:")
    assert running == "False"


def python_for_all() -> str | None:
    """A Python of our version that others may run, too; root's may lie under /root."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for directory in (Path(sys.executable).resolve().parent, Path("/usr/bin"), Path("/usr/local/bin")):
        python = directory / name
        if python.exists() and all(parent.stat().st_mode & stat.S_IXOTH for parent in python.resolve().parents):
            return str(python)
    return None


def wait_until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

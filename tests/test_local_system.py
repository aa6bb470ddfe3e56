"""What `./millrace up` is made of: processes that end when they should, and settings that Airflow knows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import yaml
from airflow.providers.celery.get_provider_info import get_provider_info

from include.errors import ConfigError, MillraceError
from include.local.components import Supervised
from include.local.database import Database
from include.local.environment import Site, component_environment, read_settings
from include.local.home import PROJECT, Home
from include.local.keys import Keys
from include.local.processes import Child, Identity, end, keep_log_small
from include.local.run import Component, Run, Wishes
from include.local.system import start, status, stop

STUBBORN = "trap '' TERM; while :; do sleep 1; done"


def child(tmp_path: Path, script: str) -> Child:
    return Child(["sh", "-c", script], log_file=tmp_path / "log", environment=dict(os.environ), directory=tmp_path)


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    """An identity that was recorded before a reboot does not fit whoever has the pid now."""
    me = Identity.of(os.getpid())
    assert me is not None
    assert me.is_alive()
    assert not Identity(me.pid, me.born + "0").is_alive()


def test_the_process_of_another_is_not_ended(tmp_path: Path) -> None:
    """A pid on record that belongs to somebody else by now is left alone."""
    bystander = child(tmp_path, "sleep 60")
    end([Identity(bystander.identity.pid, "long ago")], grace_seconds=0)
    assert bystander.exit_code() is None
    end([bystander.identity], grace_seconds=5)
    assert bystander.exit_code() == -signal.SIGTERM


def test_ending_a_process_ends_what_it_started(tmp_path: Path) -> None:
    """A head that does not listen and its children are killed when the grace is over."""
    head = child(tmp_path, f"(echo $$; {STUBBORN}) & {STUBBORN}")
    wait_until(lambda: len(psutil.Process(head.identity.pid).children(recursive=True)) >= 3)
    family = psutil.Process(head.identity.pid).children(recursive=True)
    end([head.identity], grace_seconds=0.5)
    assert head.exit_code() == -signal.SIGKILL
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_process_lives_as_long_as_any_of_its_threads(tmp_path: Path) -> None:
    """One whose first thread is over looks like a zombie; it is waited for and ended all the same."""
    script = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    head = child(tmp_path, f"exec {sys.executable} -c '{script}'")
    process = psutil.Process(head.identity.pid)
    wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE)
    assert head.identity.is_alive()
    end([head.identity], grace_seconds=5)
    assert head.exit_code() is not None
    assert not head.identity.is_alive()


def test_orphans_of_a_killed_process_are_ended(tmp_path: Path) -> None:
    """Workers of a scheduler that was killed are found by their session."""
    head = child(tmp_path, f"({STUBBORN}) & {STUBBORN}")
    wait_until(lambda: bool(psutil.Process(head.identity.pid).children()))
    orphans = psutil.Process(head.identity.pid).children(recursive=True)
    psutil.Process(head.identity.pid).kill()
    wait_until(lambda: head.exit_code() is not None)
    end([head.identity], grace_seconds=0)
    assert not [process for process in orphans if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_component_that_ends_is_started_again_but_not_in_a_frenzy(tmp_path: Path) -> None:
    """The first restart is at once; after that there are pauses, and the failures are counted."""
    log = tmp_path / "log"
    component = Supervised("brief", ["sh", "-c", "echo x"], log_file=log, environment=dict(os.environ))
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        component.tend()
        time.sleep(0.02)
    starts = log.read_text().count("x")
    assert 2 <= starts <= 4
    assert component.failures >= 2


def test_components_may_have_as_many_files_open_as_the_machine_allows() -> None:
    """A triggerer has one for each shift, and shells begin with a limit that a thousand of them reach."""
    program = (
        "import resource\n"
        "from include.local.supervise import allow_many_files\n"
        "limit = resource.RLIMIT_NOFILE\n"
        "resource.setrlimit(limit, (256, min(resource.getrlimit(limit)[1], 4096)))\n"
        "allow_many_files()\n"
        "assert resource.getrlimit(limit) == (4096, 4096), resource.getrlimit(limit)\n"
        "allow_many_files()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)


def test_a_log_does_not_grow_without_bound(tmp_path: Path) -> None:
    """A large log is put aside, and who writes it goes on at the beginning of an empty one."""
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 20_000_001)
        keep_log_small(log)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "log.1").stat().st_size == 20_000_001


def test_every_setting_exists_in_the_installed_airflow() -> None:
    """A misspelt or renamed option would be ignored by Airflow in silence."""
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.submodule_search_locations
    file = Path(spec.submodule_search_locations[0]) / "config_templates" / "config.yml"
    sections = {**yaml.safe_load(file.read_text()), **get_provider_info()["config"]}
    known = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, content in sections.items()
        for option in content["options"]
    }
    keys = Keys("a", "b", "c", "d")
    site = Site(
        Home(Path("/nowhere")), Database("postgresql://a:b@c/d"), keys, 8080, demo=False, broker_url="redis://r"
    )
    used = {name for name in component_environment(site, inherited={}) if name.startswith("AIRFLOW__")}
    assert used - known == set()


def test_every_setting_has_its_reason() -> None:
    """In airflow.env, a comment stands before each setting, or before the group of settings that it explains."""
    lines = (PROJECT / "config" / "airflow.env").read_text().splitlines()
    for before, line in pairwise(lines):
        assert not line.startswith("AIRFLOW") or before, f"{line} has no reason"


@pytest.mark.parametrize("text", ["NO_VALUE\n", "A=1\nA=2\n", "export A=1\n", "A B=1\n"])
def test_a_bad_settings_file_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    """What Docker would read otherwise than we do, or not at all."""
    (tmp_path / "env").write_text(text)
    with pytest.raises(ConfigError, match="line"):
        read_settings(tmp_path / "env")


def test_what_is_set_already_wins_except_for_what_the_machine_needs() -> None:
    """An operator may change any setting of the file, but not lead the components to another database or home."""
    site = Site(Home(Path("/here")), Database("postgresql://a:b@c/d"), Keys("a", "b", "c", "d"), 8080, demo=True)
    made = component_environment(
        site,
        inherited={
            "AIRFLOW__CORE__PARALLELISM": "9",
            "AIRFLOW_HOME": "/elsewhere",
            "AIRFLOW_CONFIG": "/elsewhere/airflow.cfg",
            "MILLRACE_EGRESS_ALLOW": "10.0.0.0/8",
        },
    )
    assert made["AIRFLOW__CORE__PARALLELISM"] == "9"
    assert made["AIRFLOW_HOME"] == "/here/airflow"
    assert "AIRFLOW_CONFIG" not in made
    assert made["MILLRACE_EGRESS_ALLOW"] == "10.0.0.0/8,127.0.0.0/8,::1/128"


@pytest.mark.parametrize(
    ("given", "sync", "async_"),
    [
        ("postgres://u:p%40@h:5/d", "postgresql+psycopg2://u:p%40@h:5/d", "postgresql+asyncpg://u:p%40@h:5/d"),
        (
            "postgresql+psycopg://h/d?sslmode=require&application_name=x",
            "postgresql+psycopg2://h/d?sslmode=require&application_name=x",
            "postgresql+asyncpg://h/d?ssl=require",
        ),
    ],
)
def test_each_driver_gets_the_address_as_it_wants_it(given: str, sync: str, async_: str) -> None:
    """One DATABASE_URL, however it is written, serves psycopg, psycopg2 and asyncpg."""
    database = Database.parse(given)
    assert database.url.startswith("postgresql://")
    assert database.for_airflow == sync
    assert database.for_airflow_async == async_


@pytest.mark.parametrize("given", ["mysql://u@h/d", "postgresql://h", "nonsense", "sqlite:///x"])
def test_another_database_is_refused(given: str) -> None:
    """With a line that shows what one looks like."""
    with pytest.raises(ConfigError, match="postgresql://user:password@host"):
        Database.parse(given)


def test_keys_are_made_once_and_are_private(tmp_path: Path) -> None:
    """The same after a restart, and nobody else can read them."""
    home = Home(tmp_path)
    assert Keys.of(home) == Keys.of(home)
    for file in (home.keys_file, home.passwords_file):
        assert file.stat().st_mode & 0o077 == 0
    assert json.loads(home.passwords_file.read_text()) == {"admin": Keys.of(home).password}


def test_what_a_dead_supervisor_left_is_ended(tmp_path: Path) -> None:
    """`down` after the supervisor was killed: its components are found by what it wrote down."""
    home = Home(tmp_path)
    left = child(tmp_path, "sleep 60")
    record = {"api-server": Component(left.identity, "then", 0)}
    Run(Identity(left.identity.pid, "dead"), "", "", "", "", demo=False, components=record).write(home)
    assert status(home) is None
    assert stop(home)
    assert left.exit_code() == -signal.SIGTERM
    assert not stop(home)


def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that does not answer: one line, and no process and no record of a run is left."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@127.0.0.1:1/d")
    home = Home(tmp_path / "home")
    with pytest.raises(MillraceError, match="cannot be reached"):
        start(home, Wishes(demo=False), stay=True, say=lambda _: None)
    assert not home.run_file.exists()
    assert status(home) is None


def test_help_is_fast() -> None:
    """`./millrace --help` does not import what only commands need."""
    program = (
        "import sys; sys.argv = ['millrace', '--help']\n"
        "from include.cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.splitlines()[-1].split())
    assert not loaded & {"airflow", "pydantic", "psycopg", "aiohttp", "psutil"}


def wait_until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MILLRACE_LEAD_SECONDS", "-5"), ("MILLRACE_EGRESS_ALLOW", "garbage"), ("MILLRACE_KEEP_RUNS_DAYS", "abc")],
)
def test_a_setting_that_is_wrong_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Not by a component whose log somebody has to find, when all others are up."""
    monkeypatch.setenv(variable, value)
    said: list[str] = []
    with pytest.raises(MillraceError, match=f"settings: {variable}: "):
        start(Home(tmp_path), Wishes(), stay=True, say=said.append)
    assert not said

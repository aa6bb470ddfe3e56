"""A whole system for one measurement: its own home, ports and database, without the demo, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import requests

from include.cli.airflow_api import AirflowApi
from include.errors import MillraceError
from include.local import system
from include.local.account import elsewhere
from include.local.home import Home
from include.local.ports import free_port
from include.local.run import Run, Wishes

Say = Callable[[str], None]

# What the caller's shell holds for another system must not leak into this one.
_FOREIGN = ("MILLRACE_", "AIRFLOW_", "DATABASE_URL")
_LOOPBACK = "127.0.0.0/8"


class Stack:
    """A system that is up. It ends with us, even if we are killed."""

    def __init__(self, home: Home, start: Callable[[], None]) -> None:
        self._home = home
        self._start = start

    @property
    def run(self) -> Run:
        """What is known of it now: a component that was restarted has another pid."""
        run = system.running(self._home)
        if run is None:
            raise MillraceError(f"the system under test has ended ({self._home.log('supervisor')})")
        return run

    @property
    def database_url(self) -> str:
        return self.run.database_url

    @property
    def folder(self) -> Path:
        """Where it keeps its state; what else is put there goes with it."""
        return self._home.path

    def trigger(self, dag_id: str) -> bool:
        """Start a run by hand, through Airflow's API; false if Airflow does not know the DAG (yet)."""
        run = self.run
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no part in what stays on this machine
            api = AirflowApi(session, run.url)
            api.log_in(run.user, run.password)
            return api.trigger(dag_id, datetime.now(timezone.utc), {}) is not None

    def restart(self) -> None:
        """Have everything go down in its own order and come up again; return when it is healthy."""
        system.stop(self._home)
        self._start()

    def kill(self, component: str) -> None:
        """Have a component die at once, with all that it started, as when memory or power runs out."""
        identity = self.run.components[component].identity
        if identity.is_alive():
            os.killpg(identity.pid, signal.SIGKILL)

    def stop_database(self) -> None:
        """Have PostgreSQL go down in its own order, which ends all connections; the supervisor starts it again."""
        for process in self._database():
            process.send_signal(signal.SIGINT)

    def database_pid(self) -> int | None:
        """The process that is PostgreSQL now; None while there is none."""
        return next((process.pid for process in self._database()), None)

    def unwell(self) -> list[str]:
        """The components, and the parts of Airflow, that are not healthy."""
        return system.unwell(self.run)

    def _database(self) -> list[psutil.Process]:
        """The embedded server; empty while it is down."""
        supervisor = psutil.Process(self.run.supervisor.pid)
        return [child for child in supervisor.children() if child.name() == "postgres"]


@contextmanager
def started(
    folder: Path, say: Say, environment: Mapping[str, str] | None = None, wishes: Wishes | None = None
) -> Iterator[Stack]:
    """A system whose state is in `folder`, with `environment` on top of its settings; down again at the end.

    `wishes`: how many of what; its port is any that is free, and there is no demo.
    """
    folder.mkdir(parents=True)
    home = Home(folder)
    settings = {"MILLRACE_EGRESS_ALLOW": _LOOPBACK, **(environment or {})}
    wanted = replace(wishes or Wishes(), port=free_port(), demo=False)

    def start() -> None:
        with _environment(settings):
            say("starting a system of its own")
            system.start(home, wanted, stay=False, say=lambda step: say(f"  {step}"))

    try:
        start()
        yield Stack(home, start)
    finally:
        system.stop(home)


def remove(folder: Path, homes: list[Path]) -> None:
    """Remove what the systems in `homes` have left in `folder`, and what the database of root's put elsewhere."""
    for home in homes:
        shutil.rmtree(elsewhere(Home(home).postgres), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with these settings, and with none that were meant for another system."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_FOREIGN):
            del os.environ[name]
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

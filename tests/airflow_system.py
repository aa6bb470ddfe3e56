"""Airflow for tests: its settings those of `./millrace up`, its tables in the same database as ours.

Airflow reads its settings when it is first imported, so a test module imports this one before anything that imports
Airflow. The fixtures are in `tests/airflow_fixtures.py`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from configparser import ConfigParser
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from include.local.database import Database
from include.local.environment import Site, component_environment
from include.local.home import PROJECT, Home
from include.local.keys import Keys
from include.model import Job
from include.retry import RetryPolicy
from include.schedule import Schedule
from include.store.db import DictConnection

if "airflow" in sys.modules:
    raise RuntimeError("Airflow was imported before its settings were made: import tests.airflow_system first")

_NOBODY = Database("postgresql://nobody:nothing@127.0.0.1:1/nowhere")  # until the server of the session runs


def _configure() -> None:
    """Import Airflow with the settings of a component. They go into a file: what other tests start inherits nothing."""
    home = Home(Path(tempfile.mkdtemp(prefix="millrace-airflow-")))
    atexit.register(shutil.rmtree, home.path, ignore_errors=True)
    home.make()
    home.airflow.mkdir()
    settings = ConfigParser(interpolation=None)
    site = Site(home, _NOBODY, Keys.of(home), port=1, demo=False)
    for name, value in component_environment(site, inherited={}).items():
        if name.startswith("AIRFLOW__"):
            _, section, key = name.lower().split("__", 2)
            settings.read_dict({section: {key: value.replace("%", "%%")}})
    with (home.airflow / "airflow.cfg").open("w") as file:
        settings.write(file)
    sys.path.append(str(PROJECT / "config"))
    os.environ["AIRFLOW_HOME"] = str(home.airflow)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Airflow's own making, while it is imported
        import include.orchestration.bundle
        import include.orchestration.trigger  # noqa: F401
    del os.environ["AIRFLOW_HOME"]


_configure()

# Airflow's own, from deep within; everything else that warns is an error.
OF_AIRFLOW = [
    pytest.mark.xdist_group("airflow"),  # Airflow is imported, and its database made, in one process only
    pytest.mark.filterwarnings("ignore::DeprecationWarning:airflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:sqlalchemy"),
]


def insert_job(db: DictConnection, **columns: Any) -> int:
    """Insert a job by SQL and return its id; a ping without a schedule, where nothing else is said."""
    from psycopg import sql
    from psycopg.types.json import Jsonb

    given = {"name": "a job", "kind": "ping", "payload": {"url": "http://127.0.0.1:9/"}, **columns}
    given["payload"] = Jsonb(given["payload"])
    statement = sql.SQL("insert into job ({}) values ({}) returning id").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
    )
    row = db.execute(statement, given).fetchone()
    assert row is not None
    return int(str(row["id"]))


LONG_AGO = datetime(2026, 1, 1, tzinfo=timezone.utc)


def a_job(id: int = 1, *, created_at: datetime = LONG_AGO, **changes: Any) -> Job:
    """A job as it is read from its row; `every`, `cron`, … are its schedule."""
    when = {name: changes.pop(name) for name in list(changes) if name in Schedule.__dataclass_fields__}
    facts: dict[str, Any] = {
        "name": f"job number {id}",
        "owner": "admin",
        "kind": "ping",
        "payload": {"url": "http://127.0.0.1:9/"},
        "overlap": "skip",
        "misfire": "latest",
        "max_lateness": timedelta(hours=1),
        "retry": RetryPolicy(),
        "timeout": timedelta(seconds=30),
        "delivery": "at_least_once",
        "disable_after": None,
        "half_open": False,
        "probe_every": timedelta(minutes=5),
        "notify": None,
        "is_active": True,
        "paused_until": None,
        "revision": 1,
        "schedule_revision": 1,
        "schedule_changed_at": created_at,
    }
    return Job(id=id, schedule=Schedule(anchor=created_at, salt=id, **when), **{**facts, **changes})

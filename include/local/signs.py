"""How each component does, by the signs of life that Airflow's components write into the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import psycopg

from include.errors import MillraceError
from include.local.hostname import hostname_of
from include.local.run import Component
from include.store.db import connect
from include.store.health import QUIET_SECONDS
from include.times import utcnow

State = Literal["healthy", "starting", "unhealthy", "down", "running", "unknown"]

STARTING_SECONDS = 300.0  # a first sign takes 5 to 20 s, and on a machine with much else to do a minute

_HAVE_SIGNS = ("scheduler", "dag-processor", "triggerer")
_LAST_SIGNS = """
    select distinct on (hostname) hostname, start_date, latest_heartbeat from public.job
    where hostname = any(%s) and job_type in ('SchedulerJob', 'DagProcessorJob', 'TriggererJob')
    order by hostname, id desc
"""


def states(database_url: str, components: Mapping[str, Component]) -> dict[str, State]:
    """The state of each; `running` are those that give no signs, `unknown` is who may be well, for no sign can be read.

    `unhealthy` is one that lives and has been silent for longer than it is while it is well, or than it takes to start.
    What a predecessor said does not count.
    """
    signs = _signs(database_url, [name for name in components if gives_signs(name)])
    return {name: _state(name, component, signs) for name, component in components.items()}


def gives_signs(component: str) -> bool:
    return component.rstrip("-0123456789") in _HAVE_SIGNS


def _signs(database_url: str, names: list[str]) -> dict[str, dict[str, Any]] | None:
    """The last sign of each, by its name as a host; None while they cannot be read."""
    try:
        with connect(database_url, via="status") as db:
            db.execute("set statement_timeout = '5s'")  # the supervisor has other things to see to
            rows: list[dict[str, Any]] = db.execute(_LAST_SIGNS, ([hostname_of(name) for name in names],)).fetchall()
    except (MillraceError, psycopg.Error):
        return None
    return {row["hostname"]: row for row in rows}


def _state(name: str, component: Component, signs: Mapping[str, Mapping[str, Any]] | None) -> State:
    if not component.identity.is_alive():
        return "down"
    if not gives_signs(name):
        return "running"
    if signs is None:
        return "unknown"
    sign, began, now = signs.get(hostname_of(name)), datetime.fromisoformat(component.started_at), utcnow()
    if sign is None or sign["start_date"] < began:
        return "starting" if now - began <= timedelta(seconds=STARTING_SECONDS) else "unhealthy"
    return "healthy" if now - sign["latest_heartbeat"] <= timedelta(seconds=QUIET_SECONDS) else "unhealthy"

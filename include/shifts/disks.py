"""How full the disks of this machine are, those that Millrace fills: with logs, and with PostgreSQL's data."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from include.store.watchdog import Problem

_GIB = 1024**3


def log_folder() -> str | None:
    """Where Airflow writes its logs, if its environment says so."""
    if folder := os.environ.get("AIRFLOW__LOGGING__BASE_LOG_FOLDER"):
        return folder
    home = os.environ.get("AIRFLOW_HOME")
    return home and str(Path(home) / "logs")


def scope() -> str:
    """How the subjects of this machine's disks begin."""
    return f"{socket.gethostname()}:"


def full_disks(
    paths: Iterable[str | None], now: datetime, *, least_percent: float, least_bytes: float
) -> list[Problem]:
    """The disks below these paths of which less is free; each once, however many paths are on it.

    A path that is not there, or not for us to see, is left out.
    """
    found: dict[int, Problem] = {}
    for path in filter(None, paths):
        try:
            device, usage = os.stat(path).st_dev, shutil.disk_usage(path)
        except OSError:
            continue
        percent = 100 * usage.free / usage.total if usage.total else 100.0
        if device not in found and (percent < least_percent or usage.free < least_bytes):
            text = (
                f"{usage.free / _GIB:.1f} GiB ({percent:.0f} %) are free where {path} is, on {socket.gethostname()};"
                " make room, before PostgreSQL stops and nothing is fired"
            )
            found[device] = Problem(f"{scope()}{path}", now, text, name=f"disk of {path}")
    return list(found.values())

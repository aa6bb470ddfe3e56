"""Functions of a user, for jobs of kind `python` in tests."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import subprocess
import sys
import time
from math import nan
from pathlib import Path
from subprocess import run  # noqa: F401 - which no row must be able to name
from typing import Any

from include.errors import ConfigError, PermanentError, RateLimitedError, RetryableError
from include.model import Connection


def add(a: int, b: int = 1) -> int:
    return a + b


def nothing() -> None:
    """It does its work, and has nothing to say."""


async def add_slowly(a: int, b: int) -> int:
    await asyncio.sleep(0.01)
    return a + b


def about(*, occurrence: dict[str, Any]) -> dict[str, Any]:
    return occurrence


def talk(until: str) -> str:
    """Says something in every way there is, and goes on when it may."""
    print("printed")
    logging.getLogger("mine").info("logged")
    subprocess.run(["echo", "started"], check=True)
    while not Path(until).exists():
        time.sleep(0.01)
    return sys.stdin.read()


def look_around(*, connection: Connection) -> dict[str, Any]:
    """What of the connection can be seen from outside, where this process or its guard can be looked at."""
    seen = b""
    for pid in ("self", os.getppid()):
        seen += Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    digest = hashlib.sha256(str(connection.password).encode()).hexdigest()
    return {
        "visible": connection.password is not None and connection.password.encode() in seen,
        "workers": b"the-secret" in seen,
        "connection": [connection.id, connection.host, connection.port, connection.extra, digest],
        "stdin": os.readlink("/proc/self/fd/0"),
        "of_ours": sorted(name for name in os.environ if name.startswith(("MILLRACE_", "AIRFLOW"))),
    }


def fail(remedy: str) -> None:
    """Raise what is asked for."""
    if remedy == "exit":
        sys.exit(3)
    if remedy == "crash":
        os._exit(7)
    raise {
        "config": ConfigError("mend the row"),
        "permanent": PermanentError("gone", code=410, excerpt="what came back"),
        "retryable": RetryableError("not now\x00", after_seconds=7),
        "told to wait": RateLimitedError("too many", after_seconds=3),
        "mine": type("NotNowError", (RetryableError,), {})("of my own"),
        "other": ValueError("odd"),
    }[remedy]


def odd(what: str) -> Any:
    """Things that are not JSON, too much of it, and JSON that PostgreSQL cannot store."""
    return {
        "set": {1},
        "nan": [nan],
        "generator": (number for number in range(3)),
        "large": "x" * 70_000,
        "nul": {"a\x00": ["b\x00", "\ud800"]},
    }[what]


def hang(pids: str) -> None:
    """Starts a process in a session of its own, and waits for ever."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    Path(pids).write_text(f"{os.getpid()}\n{child.pid}\n{os.getppid()}\n")
    time.sleep(1000)


not_a_function = 1

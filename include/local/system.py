"""The running system, from outside: start it, look at it, stop it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from include.errors import MillraceError
from include.local.health import health
from include.local.health import unwell as parts_unwell
from include.local.home import PROJECT, Home
from include.local.postgres import Postgres
from include.local.processes import Identity, end, open_log
from include.local.run import Run, Wishes
from include.local.signs import states

_STOP_SECONDS = 90
_TAKE_OVER_SECONDS = 20  # the longest that a supervisor may need for the remains of its predecessor
_POLL_SECONDS = 0.1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Started:
    """A system that is up. Unless it was started to stay, it goes down when `leash` is closed, if only by our end."""

    run: Run
    fresh: bool
    leash: IO[bytes] | None = None


def running(home: Home) -> Run | None:
    """The system that is up, or coming up, in this home."""
    run = Run.of(home)
    return run if run is not None and run.is_supervised() else None


def start(home: Home, wishes: Wishes, *, stay: bool, say: Say) -> Started:
    """Return when the system is healthy; it is left alone if it is up already. On failure nothing is left running."""
    home.make()
    if running(home):
        return Started(_wait_until_ready(home), fresh=False)
    supervisor = _spawn(home, wishes, stay=stay)
    assert supervisor.stdout is not None  # noqa: S101 - a pipe
    try:
        with supervisor.stdout as progress:
            error = _follow(progress, say)
    except BaseException:  # Ctrl-C above all
        supervisor.terminate()
        supervisor.wait()
        raise
    if error is not None and error.get("busy"):
        return Started(_wait_until_ready(home), fresh=False)
    run = running(home)
    if error is not None or run is None:
        supervisor.wait()
        raise MillraceError(str(error["error"]) if error else f"it ended while starting ({home.log('supervisor')})")
    return Started(run, fresh=True, leash=supervisor.stdin)


def stop(home: Home) -> bool:
    """Return when nothing of the system runs any more; false if nothing did."""
    run = Run.of(home)
    if run is None:
        return False
    supervised = run.is_supervised()
    if supervised:
        _end_supervisor(run.supervisor)
    # Only a supervisor that was killed leaves anything behind.
    left = [component.identity for component in run.components.values()]
    found = supervised or any(identity.is_alive() for identity in left)
    end(left, grace_seconds=10)
    Postgres(home.postgres).stop()
    home.run_file.unlink(missing_ok=True)
    return found


def status(home: Home) -> dict[str, Any] | None:
    """What there is to know of the running system; None if none runs."""
    run = running(home)
    if run is None:
        return None
    airflow = health(run.url)
    found = states(run.database_url, run.components)
    return {
        "url": run.url,
        "user": run.user,
        "password": run.password,
        "database_url": run.database_url,
        "ready": run.ready,
        "demo": run.demo,
        "health": airflow,
        "components": {
            name: {
                "pid": component.identity.pid,
                "state": found[name],
                "started_at": component.started_at,
                "restarts": component.restarts,
            }
            for name, component in run.components.items()
        },
    }


def unwell(run: Run) -> list[str]:
    """What is not healthy: parts of Airflow as it tells itself, and each component that is down or silent."""
    found = states(run.database_url, run.components)
    silent = [name for name, state in found.items() if state not in ("healthy", "running")]
    return list(dict.fromkeys([*parts_unwell(health(run.url)), *silent]))


def _spawn(home: Home, wishes: Wishes, *, stay: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "include.local.supervise"]
    command += ["--port", str(wishes.port)] if wishes.port is not None else []
    command += [] if wishes.demo else ["--no-demo"]
    command += ["--schedulers", str(wishes.schedulers), "--triggerers", str(wishes.triggerers)]
    command += ["--executor", wishes.executor]
    command += [] if stay else ["--leashed"]
    with open_log(home.log("supervisor")) as log:
        return subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "MILLRACE_HOME": str(home.path)},
            stdin=subprocess.DEVNULL if stay else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def _follow(progress: IO[bytes], say: Say) -> dict[str, Any] | None:
    """Pass on each step until the system is ready (None) or has failed (what it said)."""
    for line in progress:
        facts = json.loads(line)
        if "step" in facts:
            say(str(facts["step"]))
        elif "ready" in facts:
            return None
        elif "error" in facts:
            return dict(facts)
    return None


def _wait_until_ready(home: Home) -> Run:
    """Somebody else is starting it: wait until it is up, or gone."""
    seen = time.monotonic()
    while time.monotonic() - seen < _TAKE_OVER_SECONDS:
        if run := running(home):
            seen = time.monotonic()
            if run.ready:
                return run
        time.sleep(_POLL_SECONDS)
    raise MillraceError(f"the other ./millrace that was starting the system has given up ({home.log('supervisor')})")


def _end_supervisor(supervisor: Identity) -> None:
    try:
        os.kill(supervisor.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while supervisor.is_alive():
            if time.monotonic() > deadline:
                os.kill(supervisor.pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)
    except PermissionError as error:
        raise MillraceError("the system was started by another user, who can stop it") from error
    except ProcessLookupError:
        pass

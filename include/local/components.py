"""The processes of which Airflow consists here, and how each is kept running."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from include.local import run
from include.local.environment import Site
from include.local.home import PROJECT
from include.local.hostname import COMPONENT
from include.local.processes import Child, Identity, end
from include.local.run import Wishes

_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0)
_STEADY_SECONDS = 60.0


class Supervised:
    """A process that is started again whenever it ends: at once, and with growing pauses if it does not last."""

    def __init__(self, name: str, command: list[str], *, log_file: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.log_file = log_file
        self.restarts = 0
        self.failures = 0
        self.exit_code: int | None = None
        self._command = command
        self._environment = environment
        self._child: Child | None = None
        self._started = 0.0
        self._started_at = ""
        self._due = 0.0

    @property
    def identity(self) -> Identity | None:
        return self._child.identity if self._child else None

    def tend(self) -> bool:
        """Start the process if it does not run and its pause is over; true if it ended or was started just now."""
        now = time.monotonic()
        if self._child is not None:
            self.exit_code = self._child.exit_code()
            if self.exit_code is None:
                return False
            # A scheduler that was killed leaves its workers behind, at work on what the next one will give out again.
            end([self._child.identity], grace_seconds=0)
            self._child = None
            self.restarts += 1
            self.failures = 1 if now - self._started > _STEADY_SECONDS else self.failures + 1
            self._due = now + _PAUSES[min(self.failures - 1, len(_PAUSES) - 1)]
        if now < self._due:
            return False
        self._child = Child(self._command, log_file=self.log_file, environment=self._environment, directory=PROJECT)
        self._started = now
        self._started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return True

    def kill(self) -> None:
        """End the process and all that it started, for it does not answer; `tend` starts it again."""
        if self._child is not None:
            end([self._child.identity], grace_seconds=0)

    def record(self) -> run.Component | None:
        if self._child is None:
            return None
        return run.Component(self._child.identity, self._started_at, self.restarts)


def airflow_components(site: Site, environment: Mapping[str, str], wishes: Wishes) -> list[Supervised]:
    """Airflow's, as many as wished for: `triggerer`, `triggerer-2` and so on.

    The API server reads task logs from the disk, so nobody needs to serve them.
    """
    commands = {
        "api-server": ["api-server"],
        **{name: ["scheduler", "--skip-serve-logs"] for name in _names("scheduler", wishes.schedulers)},
        "dag-processor": ["dag-processor"],
        **{name: ["triggerer", "--skip-serve-logs"] for name in _names("triggerer", wishes.triggerers)},
    }
    if wishes.executor == "celery":
        commands["worker"] = ["celery", "worker", "--skip-serve-logs"]
    return [
        Supervised(
            name,
            airflow(*arguments),
            log_file=site.home.log(name),
            environment={**environment, **_of_its_own(name)},
        )
        for name, arguments in commands.items()
    ]


def redis_component(site: Site, command: list[str], environment: Mapping[str, str]) -> Supervised:
    return Supervised("redis", command, log_file=site.home.log("redis"), environment=environment)


def _names(component: str, number: int) -> list[str]:
    return [component if place == 1 else f"{component}-{place}" for place in range(1, number + 1)]


def _of_its_own(name: str) -> dict[str, str]:
    return {COMPONENT: name, "AIRFLOW__CORE__HOSTNAME_CALLABLE": "include.local.hostname.hostname"}


def demo_component(site: Site, port: int, environment: Mapping[str, str]) -> Supervised:
    command = [sys.executable, "-m", "include.local.demo", str(port)]
    return Supervised("demo", command, log_file=site.home.log("demo"), environment=environment)


def airflow(*arguments: str) -> list[str]:
    """The command that runs Airflow's own, whatever its scripts' first lines say."""
    return [sys.executable, "-m", "airflow", *arguments]

"""A third triggerer whose clock can be set: a small library shows it another time of day (`chaos_clock.c`).

The supervisor does not know of it, for all that it starts have the machine's clock.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.chaos_plan import CLOCKED
from bench.stack import Stack
from include.local.components import airflow
from include.local.home import PROJECT
from include.local.hostname import COMPONENT
from include.local.processes import Child, end

_SOURCE = Path(__file__).with_suffix(".c")
_LIKE = "triggerer-2"
_NANOSECONDS = 1_000_000_000


class Clock:
    """A clock in `folder` that can be set; who is started with its `environment` has it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._library = folder / "clock.so"

    def make(self) -> bool:
        """False if there is no C compiler."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            return False
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(self._library), str(_SOURCE)]
        done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own words
        self._file.write_bytes(bytes(8))
        return done.returncode == 0

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)}

    def set(self, seconds: int) -> None:
        """Show so much more than it is."""
        with self._file.open("r+b", buffering=0) as file:  # in place, for it is mapped
            file.write((seconds * _NANOSECONDS).to_bytes(8, "little", signed=True))


class ClockedTriggerer:
    """It runs from the first `tend()` on, with the right time at first, and whenever it ended, from the next one on."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._clock = Clock(stack.folder)
        self._environment: dict[str, str] = {}
        self._child: Child | None = None
        self.is_possible = self._clock.make()

    @property
    def is_alive(self) -> bool:
        return self._child is not None and self._child.exit_code() is None

    def tend(self) -> None:
        if not self.is_possible or self.is_alive:
            return
        if not self._environment:
            like = psutil.Process(self._stack.run.components[_LIKE].identity.pid).environ()
            self._environment = {**like, COMPONENT: CLOCKED, **self._clock.environment}
        log_file = self._stack.folder / "logs" / f"{CLOCKED}.log"
        command = airflow("triggerer", "--skip-serve-logs")
        self._child = Child(command, log_file=log_file, environment=self._environment, directory=PROJECT)

    def set(self, seconds: int) -> None:
        """Have it believe that it is so much later."""
        self._clock.set(seconds)

    def close(self) -> None:
        if self._child is not None:
            end([self._child.identity], grace_seconds=0)

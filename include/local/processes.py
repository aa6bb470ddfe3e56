"""Child processes that outlive us if they must: each in a session of its own, with a log file, and never mistaken.

A pid alone is not an identity, since pids are used again; a pid and the instant at which its process was born are.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_POLL_SECONDS = 0.05
_ALONE_SECONDS = 2.0
_KILL_SECONDS = 10.0  # the kernel may be slow, when the disk is
_KEPT_LOG_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for good: `born` tells it from a later one with the same pid."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of the process that has this pid now; None if there is none, or only the remains of one."""
        try:
            process = psutil.Process(pid)
            if _has_ended(process):
                return None
            return cls(pid, _born(process))
        except (psutil.NoSuchProcess, FileNotFoundError):
            return None

    def is_alive(self) -> bool:
        return Identity.of(self.pid) == self


class Child:
    """A process that we started, at the head of a session of its own."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str],
        directory: Path,
        told: str | None = None,
    ) -> None:
        """Start it; its output is added to the log file. It reads what it is `told`, a few lines, and nothing else."""
        with open_log(log_file) as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                list(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL if told is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._process.stdin is not None and told is not None:
            with suppress(BrokenPipeError), self._process.stdin as stdin:
                stdin.write(told.encode())
        # Not reaped before we ask, so its pid cannot be another's yet.
        self.identity = Identity.of(self._process.pid) or Identity(self._process.pid, "gone")

    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal), or None while it runs."""
        return self._process.poll()


def open_log(log_file: Path) -> FileIO:
    """Open a log to be added to."""
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return log_file.open("ab", buffering=0)


def keep_log_small(log_file: Path) -> None:
    """Put a log that has grown large aside as `.1` and empty it; who writes it goes on, since it only ever adds."""
    with suppress(FileNotFoundError):
        if log_file.stat().st_size > _KEPT_LOG_BYTES:
            shutil.copyfile(log_file, log_file.with_name(log_file.name + ".1"))
            os.truncate(log_file, 0)


def end(heads: Iterable[Identity], *, grace_seconds: float) -> None:
    """Return when the processes, and whatever they started, are gone.

    The heads are asked with SIGTERM and have the grace; what is then left of their sessions is killed.
    """
    waiting = {head: _Waiting(head) for head in heads}
    for head in waiting:
        with suppress(ProcessLookupError):
            if head.is_alive():
                os.kill(head.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(head.is_alive() and not waiting[head].is_stuck() for head in waiting):
        time.sleep(_POLL_SECONDS)
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := _sessions(waiting)) and time.monotonic() < deadline:
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(_POLL_SECONDS)


class _Waiting:
    """How the wait for one head goes.

    Airflow's triggerer often misses the end of its child and sleeps on for ten seconds. So a head that had children,
    and has had none for a while, is not waited for.
    """

    def __init__(self, head: Identity) -> None:
        self._head = head
        self._had_children = len(_sessions([head])) > 1
        self._alone_since: float | None = None

    def is_stuck(self) -> bool:
        if not self._had_children or len(_sessions([self._head])) > 1:
            return False
        self._alone_since = self._alone_since or time.monotonic()
        return time.monotonic() - self._alone_since > _ALONE_SECONDS


def _sessions(heads: Iterable[Identity]) -> list[psutil.Process]:
    """Every living process in the sessions of these heads."""
    by_pid = {head.pid: head for head in heads}
    return [process for process in psutil.process_iter() if _belongs(process, by_pid)]


def _belongs(process: psutil.Process, heads: Mapping[int, Identity]) -> bool:
    try:
        head = heads.get(os.getsid(process.pid))
        if head is None or _has_ended(process):
            return False
        # A session keeps the pid of its head taken; if that is another process now, then so is the session.
        return Identity.of(head.pid) in (None, head)
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False


def _has_ended(process: psutil.Process) -> bool:
    # A process whose first thread has ended looks like a zombie while others still run, with its files and ports open.
    return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)


def _born(process: psutil.Process) -> str:
    if sys.platform == "linux":
        # Ticks since boot: unlike the time of day, nobody sets them back. After the name, which may hold anything.
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return fields[19]
    return str(process.create_time())


def last_line(log_file: Path) -> str:
    """The last thing that a log says: most often why its process ended."""
    with suppress(FileNotFoundError):
        lines = log_file.read_bytes()[-20_000:].decode("utf-8", "replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""

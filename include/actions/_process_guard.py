"""The guard: a small process between a worker and a command, which ends all that the command started.

It runs by itself (`python -I -S FILE LEASH`), without the rest of Millrace, so that it is there in 30 ms. LEASH is a
socket whose other end the worker holds. One line of JSON comes in: `arguments`, `environment`, `directory`,
`grace_seconds`. Lines of JSON go out: `{"pid"}`, then `{"exit"}` when the command ended by itself (negative: by that
signal), or `{"errno", "path"}` if it could not be started. When the leash is let go, if only because the worker was
killed, or when the command has ended, whatever is left of it gets SIGTERM, and SIGKILL after the grace; then the guard
ends, too.

Orphans below it become its children (prctl(2), PR_SET_CHILD_SUBREAPER), so that a process which has forked twice and
has a session of its own is found as well. What it cannot end: what another service was asked to start (systemd, at,
Docker), and what runs as another user (sudo). If the guard itself is killed, the worker ends the process group; if both
are killed at once, nobody does.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36
_KILL_SECONDS = 2.0  # what SIGKILL has not ended by then is in the kernel's hands, or another user's
_LOOK_AGAIN_SECONDS = 0.05


def main(leash: socket.socket) -> None:
    """Start the command that is asked for, and return when nothing of it is left."""
    leash.set_inheritable(False)
    asked = leash.makefile("rb").readline()
    if not asked:
        return
    order = json.loads(asked)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signals = _hear_signals()
    try:
        child = subprocess.Popen(  # noqa: S603 - what the row says
            order["arguments"],
            env=order["environment"],
            cwd=order["directory"],
            start_new_session=True,
            # By itself, before it is anything else: the worker must know it, should it kill us.
            preexec_fn=lambda: _tell(leash, pid=os.getpid()),  # noqa: PLW1509 - there are no other threads
        )
    except OSError as error:
        _tell(leash, errno=error.errno, path=os.fsdecode(error.filename or ""))
        return
    ended: dict[int, int] = {}
    while child.pid not in ended:
        ready, _, _ = select.select([leash.fileno(), signals], [], [])
        _reap(ended)
        if leash.fileno() in ready and child.pid not in ended:
            break
        _drain(signals)
    else:
        _tell(leash, exit=ended[child.pid])
    _end(signals, order["grace_seconds"])


def _hear_signals() -> int:
    """A descriptor that is readable after a signal: a child ended, or somebody means us, who obey the leash only."""
    readable, writable = os.pipe()
    for end in (readable, writable):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    # Handled and not ignored, for what is ignored stays ignored in the command.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return readable


def _drain(signals: int) -> None:
    with suppress(BlockingIOError):
        os.read(signals, 4096)


def _tell(leash: socket.socket, **facts: object) -> None:
    with suppress(OSError):  # the worker is gone
        leash.sendall(json.dumps(facts).encode() + b"\n")


def _reap(ended: dict[int, int]) -> bool:
    """Note the exit codes of all children that have ended; whether any child is left."""
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    except ChildProcessError:
        return False
    return True


def _end(signals: int, grace_seconds: float) -> None:
    for number, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, _KILL_SECONDS)):
        told: set[int] = set()
        until = time.monotonic() + seconds
        while _reap({}) and time.monotonic() < until:
            for pid in _descendants() - told:
                told.add(pid)
                with suppress(OSError):
                    os.kill(pid, number)
            select.select([signals], [], [], _LOOK_AGAIN_SECONDS)
            _drain(signals)


def _descendants() -> set[int]:
    """The processes below this one (proc(5), /proc/PID/stat)."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        _state, parent = stat[stat.rindex(b")") + 1 :].split()[:2]
        children.setdefault(int(parent), []).append(int(name))
    found: set[int] = set()
    to_visit = [os.getpid()]
    while to_visit:
        below = children.get(to_visit.pop(), [])
        found.update(below)
        to_visit += below
    return found


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

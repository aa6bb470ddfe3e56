"""Commands on a worker, of which nothing outlives its time, its task or its worker.

Each runs in a session of its own below a guard (`include/actions/_process_guard.py`, which also says what it cannot
end). The worker holds the guard's leash; letting go of it ends the command with everything that it started, and it is
let go when time is up, when the task is ended in Airflow (`end_all`), and when the worker dies, be it by SIGKILL. What
a command leaves running when it has ended by itself is ended, too.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.actions._process_output import OutputLog
from include.errors import ConfigError, RetryableError
from include.model import Call

ANSWER_BYTES = 128 * 1024

_GUARD = Path(__file__).with_name("_process_guard.py")
_GRACE_SECONDS = 3.0
_ENDING_SECONDS = _GRACE_SECONDS + 3.0  # less than the time that a shift waits for an action that is late
_CHUNK = 1 << 16
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
# The machine is short of something; all else that keeps a program from starting is for the row's owner to mend.
_FOR_NOW = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EIO})

_running: set[_Guarded] = set()


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments, and all that it is given: its whole environment, where it runs, and for how long.

    Its standard input is empty; or, where there is an `order`, a socket from which it reads that and into which it may
    write an answer. `hide` takes out of its output what nobody may see.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    timeout_seconds: float
    order: bytes | None = None
    hide: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended by itself: its exit code, 128 + n if signal n killed it, as shells count.

    `excerpt` is the end of its output, `answer` at most `ANSWER_BYTES` of what it answered.
    """

    exit_code: int
    excerpt: str
    answer: bytes

    def __str__(self) -> str:
        if self.exit_code > 128 and self.exit_code - 128 in set(signal.Signals):
            return f"exit code {self.exit_code} ({signal.Signals(self.exit_code - 128).name})"
        return f"exit code {self.exit_code}"


def environment_of(call: Call[Any]) -> dict[str, str]:
    """The environment of a command, made anew: what programs need of the worker's, which holds secrets, and the call.

    `MILLRACE_KEY` is the same for every attempt, `MILLRACE_DUE` is ISO 8601, `MILLRACE_ATTEMPT` counts from 1.
    """
    return {
        "PATH": os.defpath,
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "MILLRACE_KEY": call.key,
        "MILLRACE_DUE": call.due.isoformat(),
        "MILLRACE_ATTEMPT": str(call.attempt),
    }


def run(command: Command) -> Ended:
    """Run the command to its end, and log its output (both streams, in their order) line by line while it comes.

    `ConfigError` if it cannot be started; `RetryableError`, with the end of the output, if it did not end by itself.
    """
    try:
        guarded = _Guarded(command)
    except OSError as error:
        raise RetryableError(f"no process could be started: {os.strerror(error.errno or 0).lower()}") from error
    _running.add(guarded)
    try:
        guarded.follow()
    finally:
        _running.discard(guarded)
        guarded.close()
    return guarded.verdict()


def end_all() -> None:
    """End everything that runs, at once; returns before it has ended. May be called in a signal handler."""
    for guarded in list(_running):
        guarded.end("ended before it was done, because its task was ended in Airflow")


class _Guarded:
    """One command below its guard."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._output = OutputLog(command.hide)
        self._heard = b""
        self._answer = b""
        self._to_send = memoryview(command.order or b"")
        self._is_over = False
        self._why: str | None = None
        with ExitStack() as theirs, ExitStack() as ours:
            self._leash, leash = socket.socketpair()
            theirs.enter_context(leash)
            ours.enter_context(self._leash)
            self._pipe, pipe = os.pipe()
            theirs.callback(os.close, pipe)
            ours.callback(os.close, self._pipe)
            os.set_blocking(self._pipe, False)
            self._talk, talk = socket.socketpair()
            theirs.enter_context(talk)
            ours.enter_context(self._talk)
            self._talk.setblocking(False)
            self._guard = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-I", "-S", str(_GUARD), str(leash.fileno())],
                env={name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                cwd="/",
                stdin=subprocess.DEVNULL if command.order is None else talk.fileno(),
                stdout=pipe,
                stderr=pipe,
                pass_fds=(leash.fileno(),),
                start_new_session=True,
            )
            self._ours = ours.pop_all()

    def end(self, why: str) -> None:
        """Let go of the leash."""
        self._why = self._why or why
        with suppress(OSError):  # it has been let go already
            self._leash.shutdown(socket.SHUT_WR)

    def follow(self) -> None:
        """Return when the guard has ended, or should have."""
        deadline = time.monotonic() + self._command.timeout_seconds
        with suppress(OSError):  # the guard was killed; the verdict will say so
            self._leash.sendall(self._asked())
        with selectors.DefaultSelector() as selector:
            selector.register(self._leash, selectors.EVENT_READ, self._hear)
            selector.register(self._pipe, selectors.EVENT_READ, self._read)
            if self._command.order is not None:
                selector.register(self._talk, selectors.EVENT_WRITE, self._send)
            while not self._is_over:
                left = deadline - time.monotonic()
                if left <= 0 and self._why is not None:
                    break
                if left <= 0:
                    seconds = self._command.timeout_seconds
                    self.end(f"not done within {seconds:g} s, and ended with everything that it started")
                    deadline += _ENDING_SECONDS
                for key, _ in selector.select(max(left, 0)):
                    key.data(selector)
        # Once: a pipe holds no more, and what was out of the guard's reach may go on writing for ever.
        with suppress(BlockingIOError):
            self._output.add(os.read(self._pipe, _CHUNK))
        with suppress(OSError):
            self._answer += self._talk.recv(ANSWER_BYTES)
        self._output.close()

    def close(self) -> None:
        """Leave nothing behind: neither descriptors nor processes."""
        self.end("given up")
        try:
            self._guard.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self._ours.close()

    def verdict(self) -> Ended:
        """How the command ended, or the error that says why it did not."""
        facts: dict[str, Any] = {}
        for line in self._heard.splitlines():
            facts.update(json.loads(line))
        excerpt = self._output.excerpt
        if "exit" in facts:
            code = int(facts["exit"])
            return Ended(code if code >= 0 else 128 - code, excerpt, self._answer)
        if "errno" in facts:
            raise self._not_started(facts["errno"], facts["path"])
        if self._guard.returncode != 0:  # it was killed, and has left its work to us
            with suppress(KeyError, ProcessLookupError):
                os.killpg(facts["pid"], signal.SIGKILL)
        why = self._why if self._guard.returncode == 0 else None
        raise RetryableError(why or "the process that guards the command was killed", excerpt=excerpt)

    def _asked(self) -> bytes:
        order = {
            "arguments": list(self._command.arguments),
            "environment": dict(self._command.environment),
            "directory": self._command.directory,
            "grace_seconds": _GRACE_SECONDS,
        }
        return json.dumps(order).encode() + b"\n"

    def _not_started(self, number: int, path: str) -> Exception:
        reason = os.strerror(number).lower()
        if number in _FOR_NOW:
            return RetryableError(f"the command could not be started: {reason}")
        if path == self._command.directory:
            return ConfigError(f"the command cannot run in {path}: {reason}; write a directory that the worker has")
        return ConfigError(f"the command cannot be started: {path}: {reason}")

    def _hear(self, _selector: selectors.BaseSelector) -> None:
        try:
            heard = self._leash.recv(_CHUNK)
        except ConnectionResetError:  # it was killed with something unread
            heard = b""
        self._heard += heard
        self._is_over = not heard

    def _read(self, selector: selectors.BaseSelector) -> None:
        data = os.read(self._pipe, _CHUNK)
        self._output.add(data)
        if not data:
            selector.unregister(self._pipe)

    def _send(self, selector: selectors.BaseSelector) -> None:
        try:
            self._to_send = self._to_send[self._talk.send(self._to_send) :]
        except OSError:  # whoever does not want it need not have it
            self._to_send = memoryview(b"")
        if not self._to_send:
            with suppress(OSError):
                self._talk.shutdown(socket.SHUT_WR)
            selector.modify(self._talk, selectors.EVENT_READ, self._listen)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        try:
            data = self._talk.recv(_CHUNK)
        except OSError:
            data = b""
        self._answer += data[: ANSWER_BYTES - len(self._answer)]
        if not data:
            selector.unregister(self._talk)

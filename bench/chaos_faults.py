"""The faults of `chaos`, as they are done to a running system, and undone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from bench.chaos_clock import ClockedTriggerer
from bench.chaos_disk import FullDisk
from bench.chaos_plan import CLOCKED, Fault
from bench.chaos_port import TakenPort
from bench.chaos_receiver import Receiver
from bench.stack import Say, Stack
from include.local.processes import Identity

_AGAIN_SECONDS = 1.0  # what cannot be done now, such as killing what is dead, is tried again
_TURN_SECONDS = 0.1
_TAKING_SECONDS = 5.0

Undo = Callable[[], None]


class Mischief:
    """Does a plan to a system; `timeline` is what was done, and when. Nothing lasting outlives `close()`."""

    def __init__(self, stack: Stack, receiver: Receiver, say: Say) -> None:
        self._stack = stack
        self._receiver = receiver
        self._say = say
        self._clocked = ClockedTriggerer(stack)
        self._lasting: dict[str, tuple[float, Undo]] = {}  # by whom it befell: when it ends, and how
        self._began = time.monotonic()
        self.timeline: list[str] = []
        self._do: dict[str, Callable[[Fault], Undo | None]] = {
            "kill": self._kill,
            "restart": self._restart,
            "away": self._take_away,
            "refuse": lambda _fault: self._cut("refuse"),
            "hang": lambda _fault: self._cut("hang"),
            "disk": lambda _fault: self._fill(),
            "freeze": self._freeze,
            "clock": self._set_clock,
        }

    def begin(self) -> None:
        """Start what the faults need; the time of the plan counts from `run()` on."""
        if self._clocked.is_possible:
            self._clocked.tend()
        else:
            self._note(f"no {CLOCKED}, whose clock could be set: there is no C compiler here")

    def run(self, faults: Sequence[Fault]) -> None:
        """Return when all were done, and undone."""
        self._began = time.monotonic()
        waiting = [(fault.at, fault) for fault in faults if fault.kind != "clock" or self._clocked.is_possible]
        while waiting or self._lasting:
            self._clocked.tend()
            self._undo(before=self._now())
            for at, fault in list(waiting):
                if at <= self._now():
                    waiting.remove((at, fault))
                    if not self._try(fault):
                        waiting.append((self._now() + _AGAIN_SECONDS, fault))
            time.sleep(_TURN_SECONDS)

    def close(self) -> None:
        self._undo(before=float("inf"))
        self._clocked.close()

    def _try(self, fault: Fault) -> bool:
        if fault.target in self._lasting:
            return False
        undo = self._do[fault.kind](fault)
        if undo is None:
            return False
        self._note(str(fault))
        if fault.seconds:
            self._lasting[fault.target] = (self._now() + fault.seconds, undo)
        return True

    def _undo(self, *, before: float) -> None:
        for target, (until, undo) in list(self._lasting.items()):
            if until <= before:
                undo()
                del self._lasting[target]
                self._note(f"{target}: over")

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _note(self, line: str) -> None:
        self.timeline.append(f"{self._now():7.1f} s  {line}")
        self._say(f"  {self.timeline[-1]}")

    # -- one by one: None where it cannot be done now, else how to undo it ---------------------------------------------

    def _living(self, target: str) -> Identity | None:
        component = self._stack.run.components.get(target)  # none between its end and its next start
        return component.identity if component is not None and component.identity.is_alive() else None

    def _kill(self, fault: Fault) -> Undo | None:
        if self._living(fault.target) is None:
            return None
        self._stack.kill(fault.target)
        return _nothing

    def _restart(self, _fault: Fault) -> Undo | None:
        if self._stack.database_pid() is None:
            return None
        self._stack.stop_database()
        return _nothing

    def _take_away(self, _fault: Fault) -> Undo | None:
        if self._stack.database_pid() is None:
            return None
        port = TakenPort(urlsplit(self._stack.database_url).port or 5432)
        port.take()
        while not port.is_taken(_TAKING_SECONDS):  # the supervisor may have been quicker
            self._stack.stop_database()
        return port.leave

    def _cut(self, how: Literal["refuse", "hang"]) -> Undo:
        self._receiver.cut(how)
        return lambda: self._receiver.cut("no")

    def _fill(self) -> Undo:
        disk = FullDisk(self._stack.folder / "airflow" / "logs")
        self._note(disk.fill())
        return disk.clear

    def _freeze(self, fault: Fault) -> Undo | None:
        identity = self._living(fault.target)
        if identity is None:
            return None
        head = psutil.Process(identity.pid)
        family = [head, *head.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        return lambda: _resume(family)

    def _set_clock(self, fault: Fault) -> Undo | None:
        if not self._clocked.is_alive:
            return None
        self._clocked.set(fault.amount)
        return lambda: self._clocked.set(0)


def _resume(family: Sequence[psutil.Process]) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def _nothing() -> None:
    """What is done once needs no undoing."""

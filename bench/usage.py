"""What a running system uses, seen from outside: the memory and the processor time of its process tree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from include.local.run import Run

_SUPERVISOR = "supervisor"
_POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor seconds so far by component, and when that was; `others`: of whatever else runs on the machine."""

    at: float
    seconds: Mapping[str, float]
    others: float = 0.0


def cpu_time(run: Run) -> CpuTime:
    """What every component has used so far, children that have ended included."""
    seconds: Counter[str] = Counter()
    for component, process in _processes(run):
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds[component] += times.user + times.system + times.children_user + times.children_system
    return CpuTime(time.monotonic(), seconds, _machine_seconds() - sum(seconds.values()) - _own_seconds(run))


def cores(before: CpuTime, after: CpuTime) -> dict[str, float]:
    """How many cores each component kept busy between the two, the busiest first."""
    elapsed = after.at - before.at
    used = {
        name: round(max(spent - before.seconds.get(name, 0.0), 0.0) / elapsed, 3)
        for name, spent in after.seconds.items()
    }
    return dict(sorted(used.items(), key=lambda item: -item[1]))


def other_cores(before: CpuTime, after: CpuTime) -> float:
    """How many cores were busy with something else, or taken by the host: with many, the other numbers mean little."""
    return round(max(after.others - before.others, 0.0) / (after.at - before.at), 2)


@dataclass(frozen=True, slots=True)
class Used:
    """What a system used over a stretch of time: its largest memory, and the cores that were kept busy."""

    memory_mib: float | None
    cores: Mapping[str, float]
    other_cores: float


class Meter:
    """Measures from its making on; `run` tells what runs now, for a component that was restarted is another process."""

    def __init__(self, run: Callable[[], Run]) -> None:
        self._run = run
        self._before = cpu_time(run())
        self._memory = [memory_mib(run())]

    def sample(self) -> None:
        """Look at the memory in between."""
        self._memory.append(memory_mib(self._run()))

    def read(self) -> Used:
        """What was used so far."""
        self.sample()
        after = cpu_time(self._run())
        known = [sample for sample in self._memory if sample is not None]
        return Used(max(known, default=None), cores(self._before, after), other_cores(self._before, after))


def memory_mib(run: Run) -> float | None:
    """The memory of the whole system, with what processes share counted once (PSS); None where it cannot be told."""
    total = 0
    for _, process in _processes(run):
        try:
            total += _proportional_kib(process.pid)
        except ProcessLookupError:
            continue  # it has just ended
        except OSError:
            return None
    return total / 1024


def _proportional_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except FileNotFoundError:
        if Path("/proc/self/smaps_rollup").exists():
            raise ProcessLookupError from None
        raise
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _machine_seconds() -> float:
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in `user` as well
    return float(sum(spent for name, spent in times.items() if name not in idle))


def _own_seconds(run: Run) -> float:
    """What the bench has used: this process and the sink."""
    me = psutil.Process()
    processes = [me, *(child for child in me.children() if child.pid != run.supervisor.pid)]
    seconds = 0.0
    for process in processes:
        with suppress(psutil.Error):
            times = process.cpu_times()
            seconds += times.user + times.system
    return seconds


def _processes(run: Run) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of the system with the component it belongs to; all descend from the supervisor."""
    names = {component.identity.pid: name for name, component in run.components.items()}
    supervisor = psutil.Process(run.supervisor.pid)
    yield _SUPERVISOR, supervisor
    for head in supervisor.children():
        with suppress(psutil.Error):
            name = names.get(head.pid) or (_POSTGRES if head.name() == "postgres" else _SUPERVISOR)
            for process in (head, *head.children(recursive=True)):
                yield name, process

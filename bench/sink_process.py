"""The sink, as the scenarios hold it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.calls import Call, parse_calls
from bench.record_calls import RecordCall, parse_record_calls
from bench.server_process import ServerProcess
from bench.timer_calls import TimerCall, parse_timer_calls


class Sink(ServerProcess):
    """A running sink."""

    def __init__(self, file: Path | None = None, *, latency_ms: float = 0, failures: float = 0) -> None:
        """Start it; at its end it writes what it saw to `file`."""
        arguments = ["--latency-ms", str(latency_ms), "--failures", str(failures)]
        super().__init__("bench.sink", *arguments, *(["--file", str(file)] if file else []))
        self._calls: list[Call] = []
        self._record_calls: list[RecordCall] = []
        self._timer_calls: list[TimerCall] = []

    def calls(self, jobs: Iterable[int]) -> list[Call]:
        """Every call for these jobs so far."""
        self._read()
        wanted = frozenset(jobs)
        return [call for call in self._calls if call.job_id in wanted]

    def record_calls(self, workflows: Iterable[int]) -> list[RecordCall]:
        """Every call of these workflows so far, in the order of arrival."""
        self._read()
        wanted = frozenset(workflows)
        return [call for call in self._record_calls if call.workflow_id in wanted]

    def timer_calls(self) -> list[TimerCall]:
        """Every call of timers so far."""
        self._read()
        return list(self._timer_calls)

    def _read(self) -> None:
        dump = self.news()
        self._calls += parse_calls(dump)
        self._record_calls += parse_record_calls(dump)
        self._timer_calls += parse_timer_calls(dump)

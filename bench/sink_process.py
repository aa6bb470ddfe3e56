"""The sink's process, as the scenarios hold it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from bench.calls import Call, parse_calls
from include.local.home import PROJECT

_STOP_SECONDS = 10

# The machine's proxy settings are not meant for loopback.
_opener = build_opener(ProxyHandler({}))


class Sink:
    """A running sink. It ends with us, even if we are killed: its standard input is a leash."""

    def __init__(self, file: Path | None = None, *, latency_ms: float = 0, failures: float = 0) -> None:
        """Start it; at its end it writes what it saw to `file`."""
        command = [sys.executable, "-m", "bench.sink", "--leashed"]
        command += ["--latency-ms", str(latency_ms), "--failures", str(failures)]
        command += ["--file", str(file)] if file else []
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command,
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self._calls: list[Call] = []
        self._lines = 0
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        said = self._process.stdout.readline()
        if not said:
            self.stop()
            raise RuntimeError("the sink ended as soon as it started")
        self.url = f"http://127.0.0.1:{json.loads(said)['port']}"

    def count(self) -> int:
        """How many calls have come so far."""
        return int(json.loads(self._get("/count"))["calls"])

    def calls(self, jobs: Iterable[int]) -> list[Call]:
        """Every call for these jobs so far."""
        dump = self._get(f"/dump?from={self._lines}")
        self._lines += dump.count("\n")
        self._calls += parse_calls(dump)
        wanted = frozenset(jobs)
        return [call for call in self._calls if call.job_id in wanted]

    def stop(self) -> None:
        """Return when it has ended."""
        assert self._process.stdin is not None  # noqa: S101 - pipes
        assert self._process.stdout is not None  # noqa: S101 - pipes
        self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _get(self, path: str) -> str:
        with _opener.open(self.url + path, timeout=60) as reply:
            text: str = reply.read().decode()
            return text

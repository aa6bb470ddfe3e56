"""A server of the bench, in a process of its own, as the scenarios hold it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.request import ProxyHandler, build_opener

from include.local.home import PROJECT

_STOP_SECONDS = 10

# The machine's proxy settings are not meant for loopback.
_opener = build_opener(ProxyHandler({}))


class ServerProcess:
    """A running server. It ends with us, even if we are killed: its standard input is a leash."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", module, "--leashed", *arguments],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self._lines = 0
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        said = self._process.stdout.readline()
        if not said:
            self.close()
            raise RuntimeError(f"{module} ended as soon as it started")
        self.url = f"http://127.0.0.1:{json.loads(said)['port']}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def count(self, what: str) -> int:
        """One of the numbers that the server's `/count` shows."""
        return int(json.loads(self._get("/count"))[what])

    def news(self) -> str:
        """The lines of the server's `/dump` that have not been handed over yet."""
        dump = self._get(f"/dump?from={self._lines}")
        self._lines += dump.count("\n")
        return dump

    def close(self) -> None:
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

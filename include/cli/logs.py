"""Show the components' logs, and follow them."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from include.errors import ConfigError
from include.local.home import Home
from include.local.postgres import Postgres

_TURN_SECONDS = 0.3


def log_files(home: Home, component: str | None) -> dict[str, Path]:
    """The logs by component; `ConfigError` if there are none yet, or not that of the one asked for."""
    files = {file.stem: file for file in sorted(home.logs.glob("*.log"))}
    servers = sorted((Postgres(home.postgres).data_dir / "log").glob("*.log"), key=lambda file: file.stat().st_mtime)
    if servers:
        files["postgres"] = servers[-1]
    if not files:
        raise ConfigError("nothing has run here yet, so there are no logs; start the system with `./millrace up`")
    if component is None:
        return files
    if component not in files:
        raise ConfigError(f"there is no log of {component!r}; there are: {', '.join(sorted(files))}")
    return {component: files[component]}


def show(files: dict[str, Path], lines: int, follow: bool) -> None:
    """Print the last lines of each log, under its name if there are several; then what is added, until Ctrl-C."""
    opened = {name: file.open("rb") for name, file in files.items()}
    prefix = {name: f"{name} | " if len(files) > 1 else "" for name in files}
    for name, stream in opened.items():
        for line in deque(stream, maxlen=lines):
            _write(prefix[name], line)
    while follow:
        for name, stream in opened.items():
            _write_new(prefix[name], stream)
        sys.stdout.flush()
        time.sleep(_TURN_SECONDS)


def _write_new(prefix: str, stream: BinaryIO) -> None:
    for line in stream:
        _write(prefix, line)


def _write(prefix: str, line: bytes) -> None:
    sys.stdout.write(prefix + line.decode("utf-8", "replace").rstrip("\n") + "\n")

"""What tests of kinds on a worker share: one attempt, as `perform` makes it, and whether processes are gone."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from include import settings as our_settings
from include.egress import Egress
from include.local.processes import Identity
from include.model import Call, Connection, Output
from include.registry import action

DUE = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """This process is a worker with secrets in its environment, on which `shell` is allowed."""
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://millrace:the-secret@127.0.0.1/millrace")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "the-secret")
    monkeypatch.setenv("MILLRACE_ALLOW_SHELL", "1")
    monkeypatch.setenv("MILLRACE_USER_CODE", "tests")
    our_settings.settings.cache_clear()
    yield
    our_settings.settings.cache_clear()


def run(
    kind: str,
    payload: dict[str, Any],
    *,
    attempt: int = 1,
    timeout_seconds: float = 60,
    connection: Connection | None = None,
) -> Output:
    """One attempt, from the payload as it is in the row."""
    found = action(kind)
    call = Call(found.parse(payload), "job_1_7", DUE, attempt, timeout_seconds, Egress(), connection)
    return found.act(call)  # type: ignore[return-value] # an ordinary function


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[list[object]]:
    """Do the work in a thread meanwhile; in the end, the list holds what it returned, or its error."""
    results: list[object] = []

    def do() -> None:
        try:
            results.append(work())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        thread.join()


def wait_until(condition: Callable[[], object]) -> None:
    """Return when it holds; the test's own time-out is pytest's."""
    while not condition():
        time.sleep(0.01)


def pids_in(file: Path, count: int) -> list[int]:
    """The process ids that so many lines of a file hold, once they do."""
    wait_until(lambda: file.exists() and file.read_text().count("\n") == count)
    return [int(line) for line in file.read_text().split()]


def are_gone(pids: list[int]) -> bool:
    """Whether none of them runs; what is dead and not yet buried does not."""
    return all(Identity.of(pid) is None for pid in pids)

"""The supervisor while its database cannot come back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from include.local.account import elsewhere
from include.local.home import Home

pytestmark = pytest.mark.e2e  # a database server of its own

# In a process of its own, for a supervisor has signals to itself.
_PROGRAM = """
import socket, sys, time
from pathlib import Path
from include.local.attention import Attention
from include.local.home import Home
from include.local.postgres import Postgres
from include.local.run import Wishes
from include.local.supervisor import Supervisor

home = Home(Path(sys.argv[1]))
postgres = Postgres(home.postgres, durable=False)
postgres.start()
port = postgres.port
postgres.stop()
supervisor = Supervisor(home, Wishes(), Attention(None), lambda step, seconds: None)
supervisor._postgres = postgres
with socket.create_server(("127.0.0.1", port)):
    began, turns = time.monotonic(), 0
    while time.monotonic() - began < 2.5:
        supervisor._tend()
        supervisor._attention.wait(0.5)
        turns += 1
print(turns)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that any user may pass through, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="millrace-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(elsewhere(Home(directory).postgres), ignore_errors=True)
    shutil.rmtree(directory)


def test_a_database_that_cannot_come_back_is_tried_once_a_second(place: Path) -> None:
    """Where something has its port, say; and not again and again, for each try wakes the supervisor."""
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(place)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 1 <= done.stderr.count("starting it again") <= 4
    assert "is taken" in done.stderr

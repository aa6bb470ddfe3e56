"""Ports that systems on one machine choose for their servers."""

from __future__ import annotations

import subprocess
import sys

from include.local.ports import announce, free_port, next_free_port

_CHOOSE = "from include.local.ports import next_free_port; print(next_free_port({}, '127.0.0.1'), flush=True); input()"


def test_two_systems_that_start_at_once_choose_two_ports() -> None:
    """Neither listens yet when the other chooses; when one has ended, its port may be chosen again."""
    start = free_port()
    command = [sys.executable, "-c", _CHOOSE.format(start)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert not announce(theirs)
        assert next_free_port(theirs, "127.0.0.1") != theirs
        other.stdin.close()
        other.wait()
    assert announce(theirs)

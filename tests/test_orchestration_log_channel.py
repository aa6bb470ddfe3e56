"""A triggerer's log never holds up its shifts: who reads it may be waiting for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from include.local.home import PROJECT
from include.orchestration.log_channel import put_memory_behind

LINES = [b"%06d %s\n" % (number, b"x" * 400) for number in range(10_000)]  # twenty times what a socket holds


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The log's two ends: that of the process in which shifts run, and that of its supervisor."""
    ours, supervisors = socket.socketpair()
    with ours, supervisors:
        yield ours, supervisors


def write_all(ours: socket.socket, lines: list[bytes]) -> None:
    for line in lines:
        assert os.write(ours.fileno(), line) == len(line)


def test_thousands_of_lines_are_written_while_nobody_reads(sockets: tuple[socket.socket, socket.socket]) -> None:
    """And all of them arrive, in their order, before the process ends."""
    ours, supervisors = sockets
    end = put_memory_behind(ours.fileno())
    write_all(ours, LINES)
    supervisors.settimeout(60)
    arrived = bytearray()
    while len(arrived) < sum(map(len, LINES)):
        arrived += supervisors.recv(65_536)
    assert arrived == b"".join(LINES)
    os.write(ours.fileno(), b"the last one\n")
    end()
    ours.close()
    assert supervisors.makefile("rb").read() == b"the last one\n"


def test_without_a_supervisor_writing_fails(sockets: tuple[socket.socket, socket.socket]) -> None:
    """As it would have before, so that the process ends, too."""
    ours, supervisors = sockets
    end = put_memory_behind(ours.fileno())
    supervisors.close()
    with pytest.raises(BrokenPipeError):
        write_all(ours, LINES)
    end()


def test_the_log_of_the_installed_airflow_is_found() -> None:
    """As Airflow sets it up in the process in which triggers run; a process with another log is left as it is."""
    program = """
import logging, os, socket
from airflow.sdk.execution_time.supervisor import _configure_logs_over_json_channel
from include.orchestration.log_channel import lengthen_log, log_socket

assert log_socket() is None
ours, supervisors = socket.socketpair()
_configure_logs_over_json_channel(ours.detach())
descriptor = log_socket()
assert descriptor is not None
before = os.fstat(descriptor).st_ino
lengthen_log()
assert os.fstat(descriptor).st_ino != before
supervisors.settimeout(30)
logging.getLogger("a.shift").warning("it says")
assert b"it says" in supervisors.recv(4096)
"""
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)

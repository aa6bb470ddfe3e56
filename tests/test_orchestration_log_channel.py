"""A triggerer's log never holds up its shifts: who reads it may be waiting for them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from include.local.home import PROJECT
from include.orchestration.log_channel import LogChannel

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
    channel = LogChannel(ours.fileno(), bytes_per_second=2**24)
    write_all(ours, LINES)
    supervisors.settimeout(60)
    arrived = bytearray()
    while len(arrived) < sum(map(len, LINES)):
        arrived += supervisors.recv(65_536)
    assert arrived == b"".join(LINES)
    os.write(ours.fileno(), b"the last one\n")
    channel.end()
    ours.close()
    assert supervisors.makefile("rb").read() == b"the last one\n"


def test_lines_of_one_moment_arrive_together(sockets: tuple[socket.socket, socket.socket]) -> None:
    """The supervisor goes through all its triggers whenever something arrives, so it is not woken for each line."""
    ours, supervisors = sockets
    channel = LogChannel(ours.fileno())
    supervisors.settimeout(60)
    arrived: list[bytes] = []

    def read() -> None:
        while sum(map(len, arrived)) < sum(map(len, LINES[:50])):
            arrived.append(supervisors.recv(65_536))

    reader = Thread(target=read)
    reader.start()
    for line in LINES[:50]:
        write_all(ours, [line])
        time.sleep(0.01)
    reader.join()
    assert b"".join(arrived) == b"".join(LINES[:50])
    assert len(arrived) < 25  # 50, if each was passed on for itself
    channel.end()


@pytest.mark.parametrize("hurry", [True, False])
async def test_who_waits_for_his_lines_knows_that_they_are_there(
    sockets: tuple[socket.socket, socket.socket], hurry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow closes the log of a task as soon as its trigger has ended: what comes later is not in it."""
    monkeypatch.setattr("include.orchestration.log_channel._PASSED_ON_SECONDS", 60)
    ours, supervisors = sockets
    channel = LogChannel(ours.fileno())
    supervisors.setblocking(False)
    arrived = b""
    for number in range(3):
        write_all(ours, LINES[number * 10 : number * 10 + 10])
        await channel.passed_on(hurry=hurry)
        arrived += supervisors.recv(65_536)
        assert arrived == b"".join(LINES[: number * 10 + 10])
    channel.end()


async def test_nobody_waits_for_ever_for_who_does_not_read(sockets: tuple[socket.socket, socket.socket]) -> None:
    """The trigger ends all the same; its last lines are where Airflow puts what comes late."""
    ours, supervisors = sockets
    channel = LogChannel(ours.fileno(), bytes_per_second=2**24)
    write_all(ours, LINES)
    await channel.passed_on(hurry=True)
    channel.end()
    supervisors.setblocking(False)
    assert len(supervisors.recv(2**24)) < sum(map(len, LINES))


def test_what_memory_is_not_kept_for_is_lost_and_counted(sockets: tuple[socket.socket, socket.socket]) -> None:
    """Whoever writes does not wait; what arrives is whole lines, in order, and one that says how many are missing."""
    ours, supervisors = sockets
    channel = LogChannel(ours.fileno(), most_bytes=100_000)
    supervisors.settimeout(60)
    write_all(ours, LINES)
    channel.end()
    ours.close()
    arrived = supervisors.makefile("rb").read().splitlines(keepends=True)
    said = [json.loads(line) for line in arrived if line.startswith(b"{")]
    kept = [line for line in arrived if not line.startswith(b"{")]
    assert 0 < len(kept) < len(LINES)
    assert set(kept) <= set(LINES)
    assert kept == sorted(kept)
    assert {event["level"] for event in said} == {"warning"}
    assert sum(int(event["event"].split()[0]) for event in said) == len(LINES) - len(kept)


def test_without_a_supervisor_writing_fails(sockets: tuple[socket.socket, socket.socket]) -> None:
    """As it would have before, so that the process ends, too."""
    ours, supervisors = sockets
    channel = LogChannel(ours.fileno())
    supervisors.close()
    with pytest.raises(BrokenPipeError):
        write_all(ours, LINES)
    channel.end()


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

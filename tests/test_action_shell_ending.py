"""How commands end that do not end by themselves: with everything that they started, and whatever becomes of us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from include.actions import _process
from include.actions._process import end_all
from include.errors import RetryableError
from include.local.home import PROJECT
from include.model import Output
from tests.worker_actions import are_gone, in_background, pids_in, run, wait_until, worker  # noqa: F401 - a fixture

# A child, a grandchild that no longer belongs to it, and one in a session of its own, without a parent.
FAMILY = (
    "note() {{ echo $1 >> {pids}; }}; note $$; note $PPID;"
    "sleep 1000 & note $!; (sleep 1001 & note $!); (setsid sh -c 'echo $$ >> {pids}; exec sleep 1002' &);"
    "while [ $(wc -l < {pids}) -lt 5 ]; do sleep 0.01; done;"
)


def family(tmp_path: Path) -> str:
    return FAMILY.format(pids=tmp_path / "pids")


def kin(tmp_path: Path) -> list[int]:
    """The process ids of all of them, once they are there."""
    return pids_in(tmp_path / "pids", 5)


def kin_so_far(tmp_path: Path) -> list[int]:
    """Of those that were there in time, on a machine that may be slow."""
    return [int(line) for line in (tmp_path / "pids").read_text().split()]


def test_a_command_that_takes_too_long_ends_with_all_that_it_started(tmp_path: Path) -> None:
    """Children, grandchildren and daemons are gone when the error is raised, which has the output until then."""
    with pytest.raises(RetryableError, match="not done within 4 s, and ended with everything") as caught:
        run("shell", {"command": f"{family(tmp_path)} echo written; sleep 1003"}, timeout_seconds=4)
    assert caught.value.code is None
    assert str(caught.value.excerpt).startswith("written\n")
    assert are_gone(kin(tmp_path))


def test_a_command_may_tidy_up(tmp_path: Path) -> None:
    """SIGTERM comes first, and there is a moment to heed it; it was too late all the same."""
    command = "trap 'echo bye; exit 0' TERM; sleep 1000 & wait"
    with pytest.raises(RetryableError, match="not done within") as caught:
        run("shell", {"command": command}, timeout_seconds=4)  # a busy machine may need one for the trap
    assert caught.value.excerpt == "bye\n"


def test_a_command_that_does_not_heed_sigterm_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ignores SIGTERM, and hands that down, is killed."""
    monkeypatch.setattr(_process, "_GRACE_SECONDS", 0.2)
    with pytest.raises(RetryableError, match="not done within"):
        run("shell", {"command": f"trap '' TERM HUP; {family(tmp_path)} sleep 1003"}, timeout_seconds=4)
    assert are_gone(kin_so_far(tmp_path))


def test_what_a_command_leaves_running_ends_with_it(tmp_path: Path) -> None:
    """A background process that holds the output open keeps nobody waiting, and does not outlive the command."""
    output = run("shell", {"command": f"{family(tmp_path)} echo done"})
    assert (output.code, output.excerpt) == (0, "done\n")
    assert are_gone(kin(tmp_path))


def test_a_flood_can_be_ended(tmp_path: Path) -> None:
    """A command that only ever writes ends in time, too."""
    with pytest.raises(RetryableError, match="not done within"):
        run("shell", {"command": f"{family(tmp_path)} exec cat /dev/zero"}, timeout_seconds=4)
    assert are_gone(kin_so_far(tmp_path))


def test_a_person_ends_the_task(tmp_path: Path) -> None:
    """All that runs ends at once, and each attempt says why."""
    with (
        in_background(lambda: run("shell", {"command": f"{family(tmp_path)} sleep 1003"})) as first,
        in_background(lambda: run("shell", {"command": f"echo $$ > {tmp_path}/other; sleep 1004"})) as second,
    ):
        pids = kin(tmp_path) + pids_in(tmp_path / "other", 1)
        end_all()
    assert are_gone(pids)
    for result in (*first, *second):
        assert isinstance(result, RetryableError)
        assert "its task was ended in Airflow" in str(result)
    assert isinstance(run("shell", {"command": "true"}), Output), "others may run afterwards"


def test_a_killed_worker_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the worker is killed with SIGKILL, its commands end, although nobody is left to tell them."""
    script = (
        "import sys; from tests import worker_actions\n"
        "worker_actions.run('shell', {'command': sys.argv[1], 'environment': {}}, timeout_seconds=1000)"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    dying = subprocess.Popen([sys.executable, "-c", script, f"{family(tmp_path)} sleep 1003"], env=environment)
    try:
        pids = kin(tmp_path)
        assert not are_gone(pids)
    finally:
        dying.send_signal(signal.SIGKILL)
        dying.wait()
    wait_until(lambda: are_gone(pids))


def test_a_command_that_kills_its_guard_gains_nothing(tmp_path: Path) -> None:
    """Then the worker ends the process group."""
    with pytest.raises(RetryableError, match="the process that guards the command was killed"):
        run("shell", {"command": f"echo $$ > {tmp_path}/pid; kill -9 $PPID; sleep 1000"})
    wait_until(lambda: are_gone(pids_in(tmp_path / "pid", 1)))


def test_nothing_is_left_open() -> None:
    """An attempt leaves no descriptor and no process, whatever became of it."""
    before = (os.listdir("/proc/self/fd"), psutil.Process().children())
    run("shell", {"command": "true"})
    for command in ("false", "kill -9 $PPID", "sleep 1000"):
        with pytest.raises(RetryableError):
            run("shell", {"command": command}, timeout_seconds=0.3)
    assert (os.listdir("/proc/self/fd"), psutil.Process().children()) == before

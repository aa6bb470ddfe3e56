"""The launcher: from a checkout and a Python to a running command, or one clear line."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# fmt: off
TOOLS = ["basename", "cat", "cksum", "cp", "dirname", "env", "grep", "kill", "mkdir", "mv", "readlink", "rm", "sed",
         "sh", "sleep", "sort", "tail", "wc"]
# fmt: on

# Stands in for Python: has a version, makes environments that hold a copy of itself, and writes down what pip is told.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    *version_info*) echo {version} ;;
    *ensurepip*) exit {without_venv} ;;
    "-m venv --clear "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
    "-m pip install "*)
        echo "$*" >>"$CALLS"
        sleep "${{PIP_SECONDS:-0}}"
        echo "${{PIP_SAYS:-}}"
        exit "${{PIP_CODE:-0}}" ;;
    *) for argument in "$@"; do printf '<%s>' "$argument"; done; printf ' path=%s' "$PYTHONPATH" ;;
esac
"""


class Checkout:
    """A checkout with the launcher in it, and a machine that has no more than the tools above and some fake Pythons."""

    def __init__(self, place: Path) -> None:
        self.root = place / "my check out"
        self.bin = place / "bin"
        self.calls = place / "calls"
        self.root.mkdir()
        self.bin.mkdir()
        shutil.copy(PROJECT / "millrace", self.root)
        (self.root / "requirements.txt").write_text("one==1\ntwo==2\n")
        (self.root / "requirements-dev.txt").write_text("three==3\n")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)

    def add_python(self, name: str, version: str, *, without_venv: bool = False) -> Path:
        file = self.bin / name
        file.write_text(FAKE_PYTHON.format(version=version, without_venv=int(without_venv)))
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "CALLS": str(self.calls), **more}

    def run(self, *arguments: str, via: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(via or self.root / "millrace"), *arguments],
            env=self.environment(**more),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def start(self, **more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([str(self.root / "millrace")], env=self.environment(**more), stderr=subprocess.PIPE)

    def installs(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def assert_one_error(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    errors = [line for line in result.stderr.splitlines() if not line.startswith("installing ")]
    assert result.returncode == 1
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    for part in parts:
        assert part in errors[0]


def test_it_runs_the_command_in_an_environment_made_from_the_lock(checkout: Checkout) -> None:
    """Arguments arrive as they were given, with the project on the path and nothing but the lock installed."""
    checkout.add_python("python3", "3.11")
    result = checkout.run("jobs", "add", "two words", "*")
    assert result.stdout == f"<-m><include.cli><jobs><add><two words><*> path={checkout.root}"
    assert result.returncode == 0
    [install] = checkout.installs()
    assert "--require-hashes --no-deps" in install
    assert install.endswith("/my check out/requirements.txt")


def test_a_second_run_installs_nothing(checkout: Checkout) -> None:
    """As long as the lock is the same, nothing is installed again, and no Python outside of .venv is needed."""
    python = checkout.add_python("python3", "3.11")
    checkout.run("status")
    python.unlink()
    assert checkout.run("status").stdout.startswith("<-m><include.cli><status>")
    assert len(checkout.installs()) == 1


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    """Another lock, and another Python, each lead to one more installation."""
    checkout.add_python("python3", "3.11")
    other = checkout.add_python("my python", "3.13")
    checkout.run("status")
    (checkout.root / "requirements.txt").write_text("one==2\n")
    checkout.run("status")
    assert len(checkout.installs()) == 2
    for _ in range(2):
        checkout.run("status", MILLRACE_PYTHON=str(other))
    assert len(checkout.installs()) == 3


@pytest.mark.parametrize("command", ["test", "check", "audit"])
def test_tests_and_checks_have_their_own_packages(checkout: Checkout, command: str) -> None:
    """`test`, `check` and `audit` install the second lock too, and only such commands do."""
    checkout.add_python("python3", "3.11")
    checkout.run("status")
    assert len(checkout.installs()) == 1
    checkout.run(command)
    assert checkout.installs()[-1].endswith("/requirements-dev.txt")
    assert len(checkout.installs()) == 2


def test_it_works_through_symbolic_links(checkout: Checkout, tmp_path: Path) -> None:
    """A link to a link to the launcher finds the checkout."""
    checkout.add_python("python3", "3.11")
    (tmp_path / "first").symlink_to(checkout.root / "millrace")
    (checkout.bin / "second").symlink_to("../first")
    assert f"path={checkout.root}" in checkout.run(via=checkout.bin / "second").stdout


def test_the_first_python_that_fits_is_taken(checkout: Checkout) -> None:
    """A python3 that is too old, or broken, does not hide a good one beside it."""
    checkout.add_python("python3", "3.9")
    checkout.add_python("python3.13", "")
    checkout.add_python("python3.12", "3.12")
    assert checkout.run().returncode == 0
    assert (checkout.root / ".venv/.millrace-requirements").read_text().endswith(" 3.12\n")


def test_no_python(checkout: Checkout) -> None:
    """Without any Python the error says which ones would do."""
    assert_one_error(checkout.run(), "needs Python 3.10 to 3.13", "python3 was not found")


@pytest.mark.parametrize("version", ["2.7", "3.9", "3.14"])
def test_a_python_that_does_not_fit(checkout: Checkout, version: str) -> None:
    """Too old or too new: the error says which it is, and which ones would do."""
    checkout.add_python("python3", version)
    assert_one_error(checkout.run(), "needs Python 3.10 to 3.13", f"python3 is {version}")
    assert not (checkout.root / ".venv").exists()


def test_a_chosen_python_is_taken_or_refused_but_not_replaced(checkout: Checkout) -> None:
    """MILLRACE_PYTHON that does not fit is an error, even if there is another Python."""
    checkout.add_python("python3", "3.11")
    old = checkout.add_python("old one", "3.8")
    assert_one_error(checkout.run(MILLRACE_PYTHON=str(old)), f"{old} is 3.8")
    assert_one_error(checkout.run(MILLRACE_PYTHON="/no/python"), "/no/python was not found")


def test_a_python_without_venv(checkout: Checkout) -> None:
    """Debian's bare python3: the error names the package to install."""
    checkout.add_python("python3", "3.11", without_venv=True)
    assert_one_error(checkout.run(), "no venv module", "apt install python3-venv")


def test_a_failed_installation(checkout: Checkout) -> None:
    """pip's own last word is the error, its log is named, and the next run tries again."""
    checkout.add_python("python3", "3.11")
    said = "ERROR: No matching distribution found for two==2"
    assert_one_error(checkout.run(PIP_CODE="1", PIP_SAYS=said), said, ".millrace/install.log")
    assert not (checkout.root / ".millrace/install.lock").exists()
    assert checkout.run().returncode == 0
    assert len(checkout.installs()) == 2


def test_a_full_disk(checkout: Checkout) -> None:
    """A full disk is called that."""
    checkout.add_python("python3", "3.11")
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    assert_one_error(checkout.run(PIP_CODE="1", PIP_SAYS=said), "the disk is full")


def test_an_interrupted_installation_is_done_again(checkout: Checkout) -> None:
    """Stopped in the middle of pip, it leaves no lock and no stamp; the next run installs."""
    checkout.add_python("python3", "3.11")
    launcher = checkout.start(PIP_SECONDS="20")
    wait_for(lambda: len(checkout.installs()) == 1)
    launcher.send_signal(signal.SIGTERM)
    launcher.communicate(timeout=10)
    assert launcher.returncode == 130
    assert not (checkout.root / ".millrace/install.lock").exists()
    assert checkout.run().returncode == 0
    assert len(checkout.installs()) == 2


def test_two_at_once_install_once(checkout: Checkout) -> None:
    """The second waits for the first, and finds the work done."""
    checkout.add_python("python3", "3.11")
    launchers = [checkout.start(PIP_SECONDS="2") for _ in range(3)]
    assert [launcher.wait(timeout=20) for launcher in launchers] == [0, 0, 0]
    for launcher in launchers:
        launcher.communicate()
    assert len(checkout.installs()) == 1


def test_the_lock_of_the_dead_is_taken_away(checkout: Checkout) -> None:
    """A launcher that was killed does not keep others waiting."""
    checkout.add_python("python3", "3.11")
    launcher = checkout.start(PIP_SECONDS="5")
    wait_for(lambda: len(checkout.installs()) == 1)
    launcher.kill()
    launcher.communicate()
    assert (checkout.root / ".millrace/install.lock").exists()
    assert checkout.run().returncode == 0
    assert len(checkout.installs()) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_that_cannot_be_written(checkout: Checkout) -> None:
    """A read-only checkout is an error at once."""
    checkout.add_python("python3", "3.11")
    checkout.root.chmod(0o555)
    assert_one_error(checkout.run(), "cannot be written")


def wait_for(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

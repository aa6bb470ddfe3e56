"""The code of the release before this one, with some of its tests: a checkout may come without its history.

When a release is cut, `.venv/bin/python -m tests.previous_release COMMIT` puts its code in the place of the one before.
"""

from __future__ import annotations

import lzma
import subprocess
import sys
import tarfile
from itertools import chain
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ARCHIVE = Path(__file__).parent / "vendor" / "previous_release.tar.xz"

# What its shifts, pumps and API do with the tables, seen by its own tests; in parts that take about as long.
TESTS = (
    ("tests/test_ledger.py", "tests/test_timers.py", "tests/test_record_log.py"),
    ("tests/test_redrive.py", "tests/test_shift_workflow.py"),
    ("tests/test_api_jobs.py", "tests/test_api_timers.py", "tests/test_shift_pull.py"),
)
# They look away for longer than a busy machine stands still, sometimes; mended since.
UNSTEADY = (
    "tests/test_ledger.py::test_an_owner_that_lives_keeps_its_claim",
    "tests/test_shift_pull.py::test_a_budget_is_shared_by_all",
    "tests/test_timers.py::test_pumps_hear_of_what_comes_earlier_and_of_nothing_else",
)
_SUPPORT = (
    *("__init__", "conftest", "api_client", "fake_http", "health_rows", "log_rows", "shift_stage", "timer_rows"),
    *("test_shifts", "test_store", "api_server"),
)
_CODE = ("include", ":!include/cli", ":!include/ui", ":!include/user_code")


def unpack(folder: Path) -> None:
    """Put it into the folder, as a checkout of its own."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")


def pack(commit: str) -> None:
    """Make the archive, of a commit of this checkout."""
    support = [f"tests/{name}.py" for name in _SUPPORT]
    command = ["git", "archive", commit, "pyproject.toml", *chain(*TESTS), *support, *_CODE]
    packed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True).stdout
    ARCHIVE.write_bytes(lzma.compress(packed, preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    pack(sys.argv[1])

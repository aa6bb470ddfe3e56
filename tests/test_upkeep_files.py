"""Old log files go, and nothing else on the disk."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from tests.upkeep_rounds import DAY, NOW, changed


def written(path: Path, age: timedelta) -> Path:
    """A file, and the folders it is in, that nobody has touched for so long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a line")
    at = (NOW - age).timestamp()
    for touched in (path, *path.parents[:3]):
        os.utime(touched, (at, at))
    return path


async def test_old_files_go_and_folders_that_nobody_uses(database_url: str, tmp_path: Path) -> None:
    """Files of runs that are older than is kept go, with their folders once these are old, too; new ones stay, and
    links, with what they lead to."""
    logs = tmp_path / "logs"
    old = written(logs / "dag_id=a" / "run_id=1" / "task_id=fire" / "attempt=1.log", 8 * DAY)
    new = written(logs / "dag_id=b" / "run_id=2" / "task_id=fire" / "attempt=1.log", 6 * DAY)
    mixed = written(new.with_name("attempt=0.log"), 9 * DAY)
    elsewhere = written(tmp_path / "x" / "y" / "z" / "w" / "kept.log", 50 * DAY)
    (logs / "latest").symlink_to(elsewhere.parent)
    os.utime(logs / "latest", ((NOW - 50 * DAY).timestamp(),) * 2, follow_symlinks=False)
    empty = logs / "just made"
    empty.mkdir()
    assert await changed(database_url, "log_files", log_folder=logs, dry_run=True) == [2]
    assert old.exists()
    assert await changed(database_url, "log_files", log_folder=logs) == [2]
    assert not (logs / "dag_id=a").exists()
    assert [path.exists() for path in (new, mixed, elsewhere, logs / "latest", empty)] == [
        True,
        False,
        True,
        True,
        True,
    ]
    assert await changed(database_url, "log_files", log_folder=logs, now=NOW + 30 * DAY) == [1]
    assert [path.name for path in logs.iterdir()] == ["latest"]


async def test_a_folder_that_is_not_there_is_nothing_to_do(database_url: str, tmp_path: Path) -> None:
    """Where there are no logs, or nobody knows where they are, nothing goes wrong."""
    assert await changed(database_url, "log_files", log_folder=tmp_path / "none") == [0]
    assert await changed(database_url, "log_files") == [0]

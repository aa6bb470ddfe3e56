"""Old log files, removed in a thread: a disk may take its time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from include.shifts.threaded import threaded
from include.store.upkeep import Chore, Work

_AT_ONCE = 200


def log_files(folder: Path | None) -> Chore:
    """The chore for the files below `folder`, which is the one of Airflow's logs; None: this process knows of none."""

    async def carry_out(work: Work) -> None:
        if folder is None:
            return
        given_up = threading.Event()
        try:
            async for removed in threaded(lambda: _sweep(folder, work.before["runs"], work.dry_run, given_up)):
                work.changed += removed
        finally:
            given_up.set()

    return Chore("log_files", "log files removed", carry_out)


def _sweep(folder: Path, before: datetime, dry_run: bool, given_up: threading.Event) -> Iterator[int]:
    """Remove files that nobody has written to since `before`, and folders in which nothing is left; how many files, in
    parts. Links are left alone, and what they lead to."""
    removed = 0
    for path, is_folder, written_at in _below(folder):
        if given_up.is_set():
            return
        if written_at >= before.timestamp():
            continue
        try:
            if is_folder and not dry_run:
                path.rmdir()  # only if it is empty
            elif not is_folder:
                if not dry_run:
                    path.unlink()
                removed += 1
        except OSError:  # not empty, somebody else's, or gone by now
            continue
        if removed >= _AT_ONCE:
            yield removed
            removed = 0
    yield removed


def _below(folder: Path) -> Iterator[tuple[Path, bool, float]]:
    """Everything below a folder: what is in a folder before the folder itself, which is as old as it was before that.

    A folder in which somebody has just made something is new; so none is removed under his hands.
    """
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            written_at = entry.stat(follow_symlinks=False).st_mtime
        except OSError:
            continue
        if is_folder:
            yield from _below(Path(entry.path))
            yield Path(entry.path), True, written_at
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path), False, written_at

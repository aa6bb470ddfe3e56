"""A folder in which nothing can be written any more, as on a full disk."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path


class FullDisk:
    """Over `folder`, a disk without room: who opens a file there is told ENOSPC.

    Where mounting one is not allowed, a file takes the folder's place, and who opens one in it is told ENOTDIR.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._aside = folder.with_name(folder.name + ".aside")
        self._is_mounted = False

    def fill(self) -> str:
        """How it was done, in words."""
        options = ["-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "tmpfs"]
        self._is_mounted = _run("mount", *options, str(self._folder))
        if self._is_mounted:
            return "a disk without room is mounted over it"
        self._folder.rename(self._aside)
        self._folder.touch()
        return "a file is in its place, since nothing can be mounted here"

    def clear(self) -> None:
        if self._is_mounted:
            _run("umount", "--lazy", str(self._folder))
            self._is_mounted = False
        elif self._aside.exists():
            with suppress(FileNotFoundError):
                self._folder.unlink()
            self._aside.rename(self._folder)


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own words
    except FileNotFoundError:
        return False

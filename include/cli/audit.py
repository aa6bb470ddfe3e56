"""`./millrace audit`: whether anything in the lock of the packages has a known vulnerability.

It asks the package index, which knows the advisories of PyPA's database; so it needs the internet. With `--osv-url` it
asks a server of the OSV API instead, such as one of your own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from include.cli.output import note, print_json, print_line, print_table

_LOCKS = ("requirements.txt", "deploy/kubernetes/requirements.txt")
_LOCK_OF_CHECKS = "requirements-dev.txt"
_FOUND = 1
_UNKNOWN = 2
_SECONDS = 900
_LONGEST = 300


def audit(
    checks: Annotated[bool, typer.Option("--checks", help="What only the checks need, too.")] = False,
    ignore: Annotated[list[str] | None, typer.Option(help="An advisory that does not concern us; repeatable.")] = None,
    osv_url: Annotated[str | None, typer.Option(help="Ask this address of the OSV API instead.")] = None,
    lock: Annotated[list[Path] | None, typer.Option(help="Audit these locks instead of ours; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Look for known vulnerabilities in the packages of the lock; exit code 1: there are some, 2: nobody could say."""
    root = Path(__file__).parents[2]
    locks = lock or [root / name for name in (*_LOCKS, *((_LOCK_OF_CHECKS,) if checks else ()))]
    service = [] if osv_url is None else ["--vulnerability-service", "osv", "--osv-url", osv_url]
    found: list[dict[str, Any]] = []
    count = 0
    for file in locks:
        packages = _asked(file, [*service, *(f"--ignore-vuln={name}" for name in ignore or ())])
        count += len(packages)
        found += [
            {"package": package["name"], "version": package["version"], "lock": file.name, "advisory": known["id"],
             "aliases": known["aliases"], "fixed_in": known["fix_versions"]}
            for package in packages
            for known in package.get("vulns", ())
        ]  # fmt: skip
    if as_json:
        print_json({"packages": count, "vulnerabilities": found})
    elif found:
        columns = ("package", "version", "advisory", "fixed_in")
        cells = [
            [str(each[name]) for name in columns[:3]] + [", ".join(each["fixed_in"]) or "nothing"] for each in found
        ]
        print_table([*columns[:3], "fixed in"], cells)
    else:
        print_line(f"no known vulnerability in {count} packages")
    if found:
        raise typer.Exit(_FOUND)


def _asked(lock: Path, options: list[str]) -> list[dict[str, Any]]:
    """What is known of each package of a lock. If nobody can be asked, it ends here: silence is no all-clear."""
    # Nothing is resolved or downloaded: the lock has it all, with hashes.
    auditing = ["-m", "pip_audit", "--requirement", str(lock), "--disable-pip", "--require-hashes", "--no-deps"]
    auditing += ["--format", "json", "--desc", "off", "--aliases", "on", "--progress-spinner", "off", "--timeout", "15"]
    try:
        done = subprocess.run(  # noqa: S603 - a package of ours
            [sys.executable, *auditing, *options], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        _give_up(lock, f"no answer within {_SECONDS} s")
    except (ValueError, LookupError):
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        _give_up(lock, "nobody answered" if said.startswith("requests.exceptions.") else said)
    if skipped := [each for each in packages if "skip_reason" in each]:
        _give_up(
            lock, f"{len(skipped)} of {len(packages)} packages; of {skipped[0]['name']}: {skipped[0]['skip_reason']}"
        )
    return packages


def _give_up(lock: Path, why: str) -> None:
    note(f"error: {lock.name} could not be audited: {why if len(why) <= _LONGEST else why[:_LONGEST] + '…'}")
    note("this needs the internet; nothing is known until it has gone well")
    raise typer.Exit(_UNKNOWN)

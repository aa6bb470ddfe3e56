"""Try a job out: what its row says is really done, once, and nothing of it is stored with the job."""

from __future__ import annotations

import json
import time
from typing import Any

import typer

from include.cli.database import open_database
from include.cli.jobs_options import AsJson, NameOrId
from include.cli.millrace_api import MillraceApi, millrace_api
from include.cli.output import Cell, note, print_json, print_line, print_table, status_cell
from include.store import jobs
from include.store.edits import Row

_POLL_SECONDS = 0.5
_HEADERS = ("kind", "status", "took", "code", "error")


def try_(name_or_id: NameOrId, as_json: AsJson = False) -> None:
    """Do once, now, what a job does, and show what came of it: a URL is called, a mail is sent.

    The ledger gets no execution, and the job's schedule, its pause and its failures stay as they are. It may take a
    minute. Exit code 1 unless it is a success.

    Examples: `./millrace jobs try nightly`, `./millrace jobs try 42 --json`
    """
    with open_database() as db:
        job = jobs.find(db, name_or_id)
    with millrace_api() as api:
        trial = _ended(api, api.ask("POST", "/jobs/trial", _settings(job)))
    if as_json:
        print_json({"job_id": job["id"], **trial})
    else:
        _print(trial)
    if trial["status"] != "success":
        raise typer.Exit(1)


def _settings(job: Row) -> dict[str, Any]:
    """As much of the row as says what it does."""
    told = {name: job[name] for name in ("owner", "kind", "payload")}
    return {**told, "timeout": job["timeout"].total_seconds()}


def _ended(api: MillraceApi, trial: dict[str, Any]) -> dict[str, Any]:
    """The trial once it is over: one that no worker takes is so by itself."""
    if trial["status"] == "running":
        note("it runs on a worker; waiting for it")
    while trial["status"] == "running":
        time.sleep(_POLL_SECONDS)
        trial = api.ask("GET", f"/jobs/trials/{trial['id']}")
    return trial


def _print(trial: dict[str, Any]) -> None:
    took = "" if trial["duration"] is None else f"{trial['duration'] * 1000:.0f} ms"
    code = "" if trial["code"] is None else str(trial["code"])
    cells: list[Cell | str] = [trial["kind"], status_cell(trial["status"]), took, code, trial["error"] or ""]
    print_table(_HEADERS, [cells])
    for name, value in (trial["output"] or {}).items():
        print_line(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")

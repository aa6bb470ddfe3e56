"""The whole system, really started, as its user sees it, and the outside world that it calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests
from psycopg.rows import dict_row

ROOT = Path(__file__).parent.parent

Row = dict[str, Any]


@dataclass
class Receiver:
    """A real HTTP server that notes each call with its body and headers.

    `answers` are statuses by path, used up one by one; `pages` are the JSON documents that it has, by path.
    """

    port: int = 0
    calls: list[tuple[datetime, str, str | None]] = field(default_factory=list)
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    headers: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    pages: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, list[int]] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def to(self, path: str) -> list[tuple[datetime, str, str | None]]:
        return [call for call in list(self.calls) if call[1] == path]


@dataclass
class System:
    """The running system as its user sees it."""

    checkout: Path
    facts: dict[str, Any]
    token: str = ""

    def sql(self, statement: str, *parameters: object) -> list[Row]:
        with psycopg.connect(self.facts["database_url"], autocommit=True, row_factory=dict_row) as db:
            cursor = db.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def millrace(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self.checkout / "millrace", *arguments], capture_output=True, text=True, check=False)

    def api(self, method: str, path: str, body: Row | None = None) -> Any:
        if not self.token:
            login = {"username": self.facts["user"], "password": self.facts["password"]}
            answer = requests.post(f"{self.facts['url']}/auth/token", json=login, timeout=30)
            self.token = answer.json()["access_token"]
        url = f"{self.facts['url']}/api/v2{path}"
        answer = requests.request(method, url, json=body, timeout=30, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def add(self, name: str, url: str, **columns: object) -> int:
        """Insert a job that posts to `url`."""
        return self.insert("job", **{"name": name, "kind": "webhook", "payload": {"url": url}, **columns})

    def insert(self, table: str, **columns: object) -> int:
        """Insert a row as a person does, by SQL."""
        values = [json.dumps(value) if isinstance(value, dict) else value for value in columns.values()]
        marks = ", ".join(["%s"] * len(columns))
        rows = self.sql(f"insert into {table} ({', '.join(columns)}) values ({marks}) returning id", *values)
        return int(rows[0]["id"])

    def pid(self, component: str) -> int:
        return int(json.loads(self.millrace("status", "--json").stdout)["components"][component]["pid"])

    def process(self, component: str) -> int:
        """The process to kill: a component, or the database server."""
        if component != "postgres":
            return self.pid(component)
        # The parent of any backend is the server itself.
        [row] = self.sql("select pg_backend_pid() as pid, current_setting('data_directory') as place")
        place = str(row["place"])
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "postgres" and place in (process.info["cmdline"] or []):
                return int(process.pid)
        raise AssertionError("no postmaster")


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 90) -> Any:
    """Wait for a thing that comes by itself; generous, for it says that it comes and not how fast."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {seconds} s")


@contextmanager
def started(checkout: Path, *options: str) -> Iterator[System]:
    """A system that is up in a copy of the checkout, made in an empty directory; `options` of `./millrace up`."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for file in filter(lambda name: (ROOT / name).is_file(), files):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, checkout / file)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    environment = {
        **os.environ,
        "MILLRACE_EGRESS_ALLOW": "127.0.0.0/8",
        "MILLRACE_ALLOW_SHELL": "1",
        "MILLRACE_NOTICE_GATHER_SECONDS": "1",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "bea:user",
    }
    up = [checkout / "millrace", "up", "--detach", "--no-demo", *options]
    said = subprocess.run(up, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    status = subprocess.run([checkout / "millrace", "status", "--json"], capture_output=True, text=True, check=True)
    running = System(checkout, json.loads(status.stdout))
    yield running
    facts = json.loads(running.millrace("status", "--json").stdout) or running.facts  # what was started again since
    pids = [component["pid"] for component in facts["components"].values()]
    down = running.millrace("down")
    assert down.returncode == 0, down.stderr
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not alive, "down leaves nothing running"

"""Fixtures for tests of the whole system: one for all; a test module names this in `pytest_plugins`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tests.real_system import Receiver, System

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    noted = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            noted.calls.append((datetime.now(timezone.utc), self.path, self.headers.get("webhook-id")))
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            noted.bodies.setdefault(self.path, []).append(body)
            noted.headers.setdefault(self.path, []).append(dict(self.headers.items()))
            left = noted.answers.get(self.path, [])
            answer = json.dumps(noted.pages[self.path]).encode() if self.path in noted.pages else b"ok"
            self.send_response(left.pop(0) if left else 200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    noted.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield noted
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`./millrace up` in a clean copy of the checkout, which shares nothing with it but the installed packages."""
    checkout = tmp_path_factory.mktemp("clean copy")
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
    up = [checkout / "millrace", "up", "--detach", "--no-demo"]
    started = subprocess.run(up, env=environment, capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stdout + started.stderr
    status = subprocess.run([checkout / "millrace", "status", "--json"], capture_output=True, text=True, check=True)
    running = System(checkout, json.loads(status.stdout))
    yield running
    pids = [component["pid"] for component in running.facts["components"].values()]
    down = running.millrace("down")
    assert down.returncode == 0, down.stderr
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not alive, "down leaves nothing running"

"""Fixtures for tests of the whole system: one for all; a test module names this in `pytest_plugins`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.real_system import Receiver, System, started


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
    with started(tmp_path_factory.mktemp("clean copy")) as running:
        yield running

"""A server of JSON on the loopback, in a thread of its own: commands block while they wait for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

# By method, path, headers (names in lower case) and body: a status and what is said.
Answer = Callable[[str, str, dict[str, str], Any], tuple[int, Any]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"null")
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, said = answer(self.command, self.path, headers, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def in_place_of_airflow(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """As `answering`; commands find it as the system in use, with the password `secret`."""
    with answering(answer) as url:
        monkeypatch.setenv("MILLRACE_URL", url.removesuffix("/"))
        monkeypatch.setenv("MILLRACE_USER", "admin")
        monkeypatch.setenv("MILLRACE_PASSWORD", "secret")
        yield url

"""The sink: an HTTP server that answers every call at once and remembers when it came.

It is a process of its own, so that what it measures is what a receiver sees: nothing in it waits for the system under
test, and nothing in the system knows of it.

`GET /count` says how many calls came, and how many of them (`overlaps`) while another to the same path was still
unanswered. `GET /dump?from=N` lists them from number N on, one line each: arrival (seconds since the epoch), job, due
(microseconds since the epoch), webhook-id, path.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import zlib
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from bench.wire import Reply, Request, add_leash, json_response, response, serve

_DONE = response(200, b"ok")
_FAILED = response(500, b"")


def occurrence(webhook_id: str) -> tuple[str, str]:
    """The job and the due instant (microseconds) that a webhook-id names; two empty strings if it names none."""
    parts = webhook_id.split("_")
    if len(parts) == 3 and parts[0] == "job" and parts[1].isdecimal() and parts[2].isdecimal():
        return parts[1], parts[2]
    return "", ""


def fails(webhook_id: str, number: int, share: float) -> bool:
    """Whether call number `number` with this webhook-id fails: by chance, but the same whenever it is asked."""
    return zlib.crc32(f"{webhook_id} {number}".encode()) < share * 2**32


class Sink:
    """Every call, in the order of arrival, and how they are answered."""

    def __init__(self, latency_seconds: float, failure_share: float) -> None:
        self._latency_seconds = latency_seconds
        self._failure_share = failure_share
        self._calls: list[tuple[float, str, str]] = []
        self._unanswered: Counter[str] = Counter()  # by path
        self._seen: Counter[str] = Counter()  # by webhook-id
        self._overlaps = 0

    def handle(self, request: Request, began: float, reply: Reply) -> None:
        if request.target == "/count":
            reply(json_response({"calls": len(self._calls), "overlaps": self._overlaps}))
        elif request.target.split("?")[0] == "/dump":
            first = parse_qs(urlsplit(request.target).query).get("from", ["0"])[0]
            reply(response(200, self.dump(int(first))))
        else:
            self._calls.append((began, request.webhook_id, request.target))
            self._answer(request.target, _FAILED if self._fails(request.webhook_id) else _DONE, reply)

    def _fails(self, webhook_id: str) -> bool:
        if self._failure_share <= 0:
            return False
        self._seen[webhook_id] += 1
        return fails(webhook_id, self._seen[webhook_id], self._failure_share)

    def _answer(self, path: str, answer: bytes, reply: Reply) -> None:
        if self._latency_seconds <= 0:
            reply(answer)
            return
        self._overlaps += self._unanswered[path] > 0
        self._unanswered[path] += 1
        asyncio.get_running_loop().call_later(self._latency_seconds, self._answer_late, path, answer, reply)

    def _answer_late(self, path: str, answer: bytes, reply: Reply) -> None:
        self._unanswered[path] -= 1
        reply(answer)

    def dump(self, first: int = 0) -> bytes:
        lines = [
            ",".join((repr(arrival), *occurrence(webhook_id), webhook_id, path))
            for arrival, webhook_id, path in self._calls[first:]
        ]
        return "".join(line + "\n" for line in lines).encode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sink", description="Answer calls, remember when they came.")
    parser.add_argument("--latency-ms", type=float, default=0, help="answer so much later")
    parser.add_argument("--failures", type=float, default=0, help="the share of calls that fail with 500, 0 to 1")
    parser.add_argument("--file", type=Path, help="where to write the calls at the end")
    add_leash(parser)
    options = parser.parse_args()
    sink = Sink(options.latency_ms / 1000, options.failures)
    serve(sink.handle, leashed=options.leashed)
    if options.file:
        options.file.write_bytes(sink.dump())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Dead letters as they are shown: documents for scripts, cells and lines for people, and no secrets in either."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from include.cli.attempts_view import ATTEMPT_HEADERS, attempt_rows
from include.cli.output import Cell, print_line, print_table
from include.shifts.blot import Blot, secrets_in_request
from include.store.dead_letters import instant
from include.store.edits import Row
from include.times import spell_instant

HEADERS = ("id", "of", "owner", "what", "status", "attempts", "when (UTC)", "error")
_STYLES = {"dead": "red", "redriving": "yellow", "redriven": "green", "discarded": "dim"}
_GONE = "no longer kept"
_REMOVED = "(removed)"
# What the webhooks of Slack and its like have in their paths.
_PATH_SECRET = re.compile(r"(?<=/)(?=[^/]*\d)(?=[^/]*[A-Za-z])[\w-]{20,}(?![^/])", re.ASCII)


def letter_document(row: Row) -> dict[str, Any]:
    """All columns, without secrets."""
    request = {name: row[name] for name in ("url", "headers", "body", "payload") if name in row}
    return {**row, **_without_secrets(request)}


def letter_cells(row: Row) -> list[Cell | str]:
    """A line of a table with `HEADERS`."""
    return [
        str(row["id"]),
        _of(row),
        row["owner"] or "",
        _what(row),
        Cell(row["status"], _STYLES[row["status"]]),
        str(len(row["attempts"]) if isinstance(row["attempts"], list) else 1),
        spell_instant(instant(row)),
        Cell(row["error"] or "", "red"),
    ]


def print_letter(row: Row) -> None:
    """Everything about one, for people."""
    lines = {"workflow": _of_record, "job": _of_execution, "timer": _of_timer}[row["source"]](row)
    for label, text in lines:
        style = {"status": _STYLES[row["status"]], "error": "red"}.get(label, "")
        for number, line in enumerate(text.splitlines()):
            print_line(f"{'' if number else label:<10} {line}", style)
    if row["attempts"]:
        print_line()
        print_table(ATTEMPT_HEADERS, attempt_rows(row["attempts"]))


def _of(row: Row) -> str:
    name: str | None = {"workflow": row.get("workflow"), "job": row.get("job"), "timer": "timer"}[row["source"]]
    return name or _REMOVED


def _what(row: Row) -> str:
    if row["source"] == "workflow":
        return f"record {row['position']} ({row['key'] if row['kept'] else _GONE})"
    if row["source"] == "job":
        return row["kind"] or ""
    return f"{row['method']} {urlsplit(row['url']).hostname}"


def _of_record(row: Row) -> Iterator[tuple[str, str]]:
    record = row["record"]
    resolved = f"{row['status']} at {spell_instant(row['resolved_at'])} UTC"
    yield "id", str(row["id"])
    yield "workflow", f"{row['workflow']} ({row['workflow_id']}) of {row['owner']}"
    yield "record", f"{row['position']} of connector {row['connector']} ({row['connector_id']})"
    yield "key", record["key"] if record else _GONE
    yield "status", resolved if row["resolved_at"] else row["status"]
    yield "created", f"{spell_instant(row['created_at'])} UTC"
    yield "error", row["error"]
    yield "payload", _indented(record["payload"]) if record else _GONE


def _of_execution(row: Row) -> Iterator[tuple[str, str]]:
    yield "id", row["id"]
    yield "job", f"{_of(row)} ({row['job_id']})" + (f" of {row['owner']}" if row["owner"] else "")
    yield "due", f"{spell_instant(row['scheduled_for'])} UTC" + (", by hand" if row["origin"] == "manual" else "")
    yield from _outcome(row, row["execution_status"])
    yield "run", row["dag_run_id"] or "none"
    if row["job"] is None:
        yield "payload", "the job was deleted, so it cannot be sent again"
        return
    yield "delivery", row["delivery"]
    yield "kind", row["kind"]
    yield "payload", _indented(_without_secrets(row["payload"]))


def _of_timer(row: Row) -> Iterator[tuple[str, str]]:
    request = _without_secrets({name: row[name] for name in ("url", "headers", "body")})
    yield "id", row["id"]
    yield "owner", row["owner"]
    yield "due", f"{spell_instant(row['due_at'])} UTC"
    yield from _outcome(row, row["timer_status"])
    yield "delivery", row["delivery"]
    yield "request", f"{row['method']} {request['url']}"
    if row["conn_id"] is not None:
        yield "signed by", f"connection {row['conn_id']}"
    if request["headers"]:
        yield "headers", _indented(request["headers"])
    if request["body"] is not None:
        yield "body", _indented(request["body"])


def _outcome(row: Row, now: str) -> Iterator[tuple[str, str]]:
    status = row["status"]
    if row["discarded_at"] is not None:
        status += f" at {spell_instant(row['discarded_at'])} UTC"
    elif status == "redriving":
        status += f" ({now})"
    yield "status", status
    if row["finished_at"] is not None:
        yield "ended", f"{spell_instant(row['finished_at'])} UTC"
    if row["error"] is not None:
        yield "error", row["error"]
    if row["reason"] is not None:
        yield "reason", row["reason"]
    attempts = row["attempts"] if isinstance(row["attempts"], list) else []
    answers = [said for said in (row["output"], *reversed(attempts)) if isinstance(said, dict)]
    if (answer := next((said["excerpt"] for said in answers if said.get("excerpt")), None)) is not None:
        yield "answer", str(answer)


def _indented(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _without_secrets(value: Any) -> Any:
    """The value with what is secret by its name blotted out: in headers, settings and the queries of URLs."""
    return Blot(_secrets(value)).json(value)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from secrets_in_request("", {name: text for name, text in value.items() if isinstance(text, str)})
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)
    elif isinstance(value, str):
        with suppress(ValueError):  # it looked like a URL, and is none
            yield from secrets_in_request(value, {})
            yield from _PATH_SECRET.findall(urlsplit(value).path if "://" in value else "")

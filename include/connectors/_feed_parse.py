"""Turns the bytes of a feed into records; a program of its own, so that it can be stopped.

A feed of 40 kB can keep feedparser's regular expressions busy for minutes, with no other thread of the process getting
a turn, and one of 300 kB can declare entities that grow to hundreds of megabytes. So this runs in a process that may
take only so much time and memory, and knows nothing of ours. It imports nothing of Millrace, to start in 0.1 s.

Standard input: a line of JSON, `{"content_type": ..., "url": ...}`, then the body. Standard output: JSON,
`{"format": ..., "flaw": ..., "records": [{"key": ..., "payload": ...}, ...]}`, the oldest entry first; `format` is
empty if the body is no feed, `flaw` is null if it is well-formed.
"""

from __future__ import annotations

import calendar
import io
import json
import os
import resource
import sys
from datetime import datetime, timezone
from typing import Any

import feedparser  # type: ignore[import-untyped]  # it has no stubs

_CPU_SECONDS = 20
_MEMORY_BYTES = 1 << 30
_OUTPUT_CHARACTERS = 64 << 20  # JSON escapes may make eight times of what came in


def main() -> None:
    """Parse what is on standard input."""
    os.nice(10)  # what is due now in the other processes comes first
    _limit(resource.RLIMIT_CPU, _CPU_SECONDS)
    _limit(resource.RLIMIT_AS, _MEMORY_BYTES)
    about = json.loads(sys.stdin.buffer.readline())
    text = json.dumps(parse(sys.stdin.buffer.read(), about["content_type"], about["url"]))
    if len(text) > _OUTPUT_CHARACTERS:
        raise MemoryError("the feed grows too large when it is parsed")
    sys.stdout.write(text)


def parse(body: bytes, content_type: str, url: str) -> dict[str, Any]:
    """What the feed holds; relative links are resolved against its `url`."""
    # A stream, for a text might be taken for the name of a file or for a URL.
    headers = {"content-type": content_type, "content-location": url}
    found = feedparser.parse(io.BytesIO(body), response_headers=headers)
    # Plain dicts: those of feedparser answer for a key that is missing with another one.
    entries = [dict(entry) for entry in found.entries]
    flaw = str(found.get("bozo_exception") or "not well-formed") if found.bozo else None
    return {
        "format": found.get("version") or ("unknown" if entries else ""),
        "flaw": flaw,
        "records": [{"key": _key(entry), "payload": _payload(entry)} for entry in _oldest_first(entries)],
    }


def _oldest_first(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By date if all have one, else in reverse: feeds list the newest first."""
    entries = entries[::-1]
    dates = [_date(entry, "published") or _date(entry, "updated") for entry in entries]
    if None in dates:
        return entries
    order = sorted(range(len(entries)), key=lambda index: str(dates[index]))
    return [entries[index] for index in order]


def _key(entry: dict[str, Any]) -> str | None:
    return _text(entry, "id") or _text(entry, "link")


def _payload(entry: dict[str, Any]) -> dict[str, Any]:
    content = next((text for part in _objects(entry, "content") if (text := _text(part, "value"))), None)
    summary = _text(entry, "summary")
    fields = {
        "id": _text(entry, "id"),
        "title": _text(entry, "title"),
        "link": _text(entry, "link"),
        "summary": None if summary == content else summary,  # feedparser fills in the content where there is none
        "content": content,
        "authors": _renamed(_objects(entry, "authors"), {"name": "name", "email": "email", "href": "url"}),
        "tags": [text for tag in _objects(entry, "tags") if (text := _text(tag, "label") or _text(tag, "term"))],
        "published": _date(entry, "published"),
        "updated": _date(entry, "updated"),
        "enclosures": _enclosures(entry),
    }
    return {name: value for name, value in fields.items() if value}


def _enclosures(entry: dict[str, Any]) -> list[dict[str, Any]]:
    links = [link for link in _objects(entry, "links") if _text(link, "rel") == "enclosure"]
    found = _renamed(links, {"href": "url", "type": "type", "length": "length"})
    for enclosure in found:
        length = enclosure.pop("length", "").strip()
        if length.isascii() and length.isdigit() and len(length) < 16:
            enclosure["length"] = int(length)
    return found


def _renamed(items: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    found = [{new: text for old, new in names.items() if (text := _text(item, old))} for item in items]
    return [item for item in found if item]


def _text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    return value if isinstance(value, str) and value else None


def _objects(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects, which an element of that name that no standard knows would replace."""
    value = entry.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _date(entry: dict[str, Any], name: str) -> str | None:
    """ISO 8601 in UTC, such as 2026-03-01T12:00:00Z; None if there is no date, or none that makes sense."""
    try:
        instant = datetime.fromtimestamp(calendar.timegm(entry[f"{name}_parsed"]), timezone.utc)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None
    return instant.isoformat().replace("+00:00", "Z")


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    main()

"""Pull the entries of a feed: RSS of any version, or Atom.

Each entry is a record. Its key is its guid or id, else its link, else its content. Its payload has those of these
fields that the entry has: `id`, `title`, `link`, `summary` and `content` (HTML is left in, but nothing that could run),
`authors` (objects with `name`, `email`, `url`), `tags` (texts), `published` and `updated` (such as
`2026-03-01T12:00:00Z`) and `enclosures` (objects with `url`, `type`, and `length` in bytes). A feed is fetched only if
it has changed, where its server can tell, and holds the newest entries only: pull it often enough to miss none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pydantic import ConfigDict, Field, JsonValue
from yarl import URL

from include import model
from include.connectors._auth import Proof, proof
from include.connectors._rest_actions import judge
from include.connectors._rest_fields import Headers, Name, Url
from include.deadline import within
from include.errors import ConfigError, PermanentError, RetryableError
from include.model import PAGE_CAP, Page, Record, Reply, Source

_ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, text/xml;q=0.9, */*;q=0.1"
_VALIDATORS = {"etag": ("ETag", "If-None-Match"), "modified": ("Last-Modified", "If-Modified-Since")}  # RFC 9110 13.1
_NOT_MODIFIED = 304

_PARSER = Path(__file__).with_name("_feed_parse.py")
_PARSER_SECONDS = 60.0
_parsers: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Config(model.Config):
    model_config = ConfigDict(hide_input_in_errors=True)

    url: Url = Field(description="Where the feed is.")
    headers: Headers = Field(default_factory=dict, description="Headers to send, but none that are secret.")
    conn_id: Name | None = Field(
        default=None,
        description="The Airflow connection that proves who we are: with login and password (HTTP basic), or with a "
        "password only (bearer).",
    )


async def pull(source: Source[Config]) -> AsyncIterator[Page]:
    """Yield one page with every entry of the feed, the oldest first; none if the feed is as it was.

    `RateLimitedError`, `RetryableError` and `PermanentError` as the status says; `PermanentError` as well if what came
    is not a feed, or is larger than `PAGE_CAP`.
    """
    known, who = _known(source), _proof(source)
    reply = await _fetch(source, known, who)
    if reply.status == _NOT_MODIFIED:
        return
    line = f"GET {URL(source.config.url).host_port_subcomponent}"
    judge(reply, line, (), who.redact)
    if reply.truncated:
        raise PermanentError(f"{line}: the feed is larger than {PAGE_CAP >> 20} MiB", code=reply.status)
    cursor = _cursor(source.config, reply)
    if cursor["body"] == known.get("body"):
        return
    found = await _parsed(reply, line)
    if not found["format"]:
        kind = reply.headers.get("Content-Type", "no content type").partition(";")[0][:100]
        raise PermanentError(f"{line}: the reply is not a feed ({kind}); write the URL of one", code=reply.status)
    records = [Record(record["key"], record["payload"]) for record in found["records"]]
    yield Page(records, cursor, {"format": found["format"], "flaw": found["flaw"]})


def _proof(source: Source[Config]) -> Proof:
    conn_id = source.config.conn_id
    if conn_id is not None and source.connection is None:
        raise ConfigError(f"there is no connection {conn_id!r}; add it in Airflow or write another conn_id")
    return proof(None, source.connection, source.config.url)


async def _fetch(source: Source[Config], known: dict[str, Any], who: Proof) -> Reply:
    config = source.config
    conditions = {header: known[name] for name, (_, header) in _VALIDATORS.items() if name in known}
    given = {name.lower() for name in config.headers}
    accept = {} if "accept" in given else {"Accept": _ACCEPT}
    headers = {**accept, **conditions, **config.headers, **who.headers}
    return await source.http.request(
        "GET", config.url, headers=headers, timeout_seconds=source.timeout_seconds, body_cap=PAGE_CAP
    )


def _known(source: Source[Config]) -> dict[str, Any]:
    """What the cursor says about the feed as it was; nothing if that was the feed of another URL."""
    cursor = source.cursor
    return cursor if isinstance(cursor, dict) and cursor.get("of") == _digest(source.config.url.encode()) else {}


def _cursor(config: Config, reply: Reply) -> dict[str, JsonValue]:
    """`etag` and `modified` are to be sent back; `body` tells a feed that has not changed where they are missing."""
    cursor: dict[str, JsonValue] = {"of": _digest(config.url.encode()), "body": _digest(reply.body)}
    for name, (header, _) in _VALIDATORS.items():
        value = reply.headers.get(header, "").strip()
        if value and value.isascii() and value.isprintable():
            cursor[name] = value
    return cursor


async def _parsed(reply: Reply, line: str) -> dict[str, Any]:
    """What `_feed_parse.py` makes of the body."""
    url = URL(reply.url).with_query(None).with_fragment(None)  # they may hold a secret, which links would inherit
    about = {"content_type": reply.headers.get("Content-Type", "application/xml"), "url": str(url)}
    slots = _parsers.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))
    async with slots:
        status, output, complaint = await _run(json.dumps(about).encode() + b"\n" + reply.body)
    if status != 0:
        why = complaint.strip().rpartition("\n")[2][:200] or "it takes too much time or memory"
        raise PermanentError(f"{line}: the feed cannot be parsed: {why}", code=reply.status)
    found: dict[str, Any] = json.loads(output)
    return found


async def _run(given: bytes) -> tuple[int, bytes, str]:
    """Run the parser: its exit status, and what it says; not 0 if it had to be stopped."""
    pipe = asyncio.subprocess.PIPE
    # It gets our import path and nothing else of our environment; what `site` would add is in the path already.
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-S", str(_PARSER), stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
    except OSError as error:
        raise RetryableError(f"the parser of feeds does not start: {error.strerror}") from None
    try:
        output, complaint = await within(_PARSER_SECONDS, process.communicate(given))
    except asyncio.TimeoutError:
        return 1, b"", ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, output, complaint.decode("utf-8", "replace")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]

"""Try a connector out: a few pages are pulled and shown; nothing is stored, and no cursor is moved.

What is returned can be shown to people: no secret is in it, in whichever spelling it came back.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from pydantic import JsonValue

from include import registry
from include.errors import MillraceError
from include.model import BODY_CAP, Connection, Connector, Http, Page, Reply, Source
from include.shifts.bell import utcnow
from include.shifts.pace import Pace, PacedHttp
from include.shifts.threaded import threaded

HOOKS = "/millrace/hooks/"  # where records are pushed to, on the host of Airflow's UI
RECORDS_SHOWN = 5
BLOT = "***"

_SECONDS = 60.0
_SHORT = 3  # letters: a text that is no longer is blotted out only where it is a word of its own
_PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "user-agent"}
)
# Where secrets are in requests, by name; a place in a list of pages is none, whatever it is called.
_SECRET_NAME = re.compile(
    r"auth|cookie|secret|passw|pwd|signature|credential|^sig$|^key$|^token$|^jwt$"
    r"|(api|access|app|private|security|session|subscription|id|refresh)[-_]?(key|token|id$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it was sent, and what came back: `status` is None where nothing did, and `error` says why.

    `headers` has every name; a value that may be a secret is blotted out.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    seconds: float
    status: int | None = None
    bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A page: how many records it has, the first few of them, how it came about, and the cursor after it."""

    count: int
    records: tuple[Mapping[str, JsonValue], ...]
    about: Mapping[str, JsonValue]
    cursor: JsonValue


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pull would do. `caught_up`: the source has no more pages than these; `error`: why there are no more.

    One that is pushed to has nothing but `pushed_to`, the path of the URL that takes deliveries.
    """

    cursor: JsonValue = None
    requests: tuple[Exchange, ...] = ()
    pages: tuple[Sample, ...] = ()
    caught_up: bool = False
    error: str | None = None
    pushed_to: str | None = None

    @property
    def next_cursor(self) -> JsonValue:
        return self.pages[-1].cursor if self.pages else self.cursor


async def preview(connector: Connector, *, connection: Connection | None, http: Http, pages: int) -> Preview:
    """Pull up to so many pages, from the connector's cursor on, for a minute at most.

    What goes wrong on the way is in the preview, beside what came before it. `ConfigError` if the row could not run.
    """
    kind = registry.source(connector.kind)
    config = kind.parse(connector.config)
    if kind.pull is None:
        return Preview(pushed_to=HOOKS + quote(connector.name))
    deadline = time.monotonic() + _SECONDS
    recorder = _Recorder(http)
    source = Source(
        config=config,
        cursor=connector.cursor,
        http=PacedHttp(recorder, _takers(connector), deadline),
        connection=connection,
        now=utcnow(),
        timeout_seconds=connector.timeout.total_seconds(),
    )
    trial = _Trial(kind, source, pages)
    error: str | None = None
    try:
        await asyncio.wait_for(trial.run(), _SECONDS)
    except (TimeoutError, asyncio.TimeoutError):
        error = f"no end within {_SECONDS:g} s"
    except MillraceError as caught:
        error = str(caught)
    except Exception as caught:  # whatever a kind does wrong is what a preview is there to show
        error = f"kind {kind.kind!r} raised {type(caught).__name__}: {caught}"
    blot = Blot([*_secrets_of(connection), *recorder.secrets])
    return Preview(
        cursor=blot(connector.cursor),
        requests=tuple(_blotted(exchange, blot) for exchange in recorder.exchanges),
        pages=tuple(_sample(page, blot) for page in trial.pages),
        caught_up=trial.caught_up,
        error=error if error is None else blot.text(error),
    )

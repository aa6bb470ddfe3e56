"""Try a connector out: a few pages are pulled and shown; nothing is stored, and no cursor is moved.

What is returned can be shown to people: no secret is in it, however it was spelt on its way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue
from yarl import URL

from include import registry
from include.deadline import within
from include.documents.push_address import push_address
from include.errors import MillraceError
from include.model import BODY_CAP, Connection, Connector, Http, Page, Record, Reply, Source
from include.registry import SourceKind
from include.shifts.bell import utcnow
from include.shifts.blot import BLOT, Blot, secrets_in_request, secrets_of
from include.shifts.drain import pages_of
from include.shifts.pace import Pace, PacedHttp, Taker

RECORDS_SHOWN = 5

_SECONDS = 60.0
_PLAIN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "content-type", "if-modified-since", "if-none-match", "user-agent"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as it was sent, and what came back: `status` is None where nothing did, and `error` says why.

    `headers` has every name, and the values that cannot be secrets.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    seconds: float = 0.0
    status: int | None = None
    bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A page: how many records it has, the first few of them, how it came about, and the cursor after it."""

    count: int
    records: tuple[Record, ...]
    about: Mapping[str, JsonValue]
    cursor: JsonValue


@dataclass(frozen=True, slots=True)
class Preview:
    """What a pull from `cursor` on would do. `caught_up`: there are no pages but these; `error`: why there are no more.

    `warnings` are about settings that the records do not bear out. A connector that is pushed to has nothing but
    `pushed_to`, the path of the URL that takes deliveries; as long as it has no id, with `{id}` in it.
    """

    cursor: JsonValue = None
    requests: tuple[Exchange, ...] = ()
    pages: tuple[Sample, ...] = ()
    next_cursor: JsonValue = None
    caught_up: bool = False
    warnings: tuple[str, ...] = ()
    error: str | None = None
    pushed_to: str | None = None


async def preview(connector: Connector, *, connection: Connection | None, http: Http, pages: int) -> Preview:
    """Pull up to so many pages, from the connector's cursor on, for a minute at most.

    What goes wrong on the way is in the preview, beside what came before it. The row's rate limit is kept to; a budget
    that it shares is not asked. `ConfigError` if the row could not run.
    """
    kind = registry.source(connector.kind)
    config = kind.parse(connector.config)
    if kind.pull is None:
        return Preview(pushed_to=push_address(connector.kind, connector.id or None))
    recorder = _Recorder(http)
    limits: list[Taker] = [] if connector.rate_limit is None else [Pace(connector.rate_limit).take_now]
    source = Source(
        config=config,
        cursor=connector.cursor,
        http=PacedHttp(recorder, limits, time.monotonic() + _SECONDS),
        connection=connection,
        now=utcnow(),
        timeout_seconds=connector.timeout.total_seconds(),
    )
    trial = _Trial(kind, source, pages)
    error: str | None = None
    try:
        await within(_SECONDS, trial.run())
    except asyncio.TimeoutError:
        error = f"cut off after {_SECONDS:g} s"
    except MillraceError as caught:
        error = str(caught)
    except Exception as caught:  # whatever a kind does wrong is what a preview is there to show
        error = f"kind {kind.kind!r} raised {type(caught).__name__}: {caught}"
    blot = Blot([*secrets_of(connection), *recorder.secrets])
    samples = tuple(_sample(page, blot) for page in trial.pages)
    return Preview(
        cursor=blot.json(connector.cursor),
        requests=tuple(_blotted(exchange, blot) for exchange in recorder.exchanges),
        pages=samples,
        next_cursor=samples[-1].cursor if samples else blot.json(connector.cursor),
        caught_up=trial.caught_up,
        warnings=tuple(map(blot.text, _warnings(kind, config, trial.pages))),
        error=None if error is None else blot.text(error),
    )


def _warnings(kind: SourceKind, config: Any, pages: Sequence[Page]) -> list[str]:
    records = [record for page in pages for record in page.records]
    return kind.warnings(config, records) if kind.warnings is not None else []


class _Trial:
    """A pull that is given up after so many pages; `pages` are those that came, also if it fails."""

    def __init__(self, kind: SourceKind, source: Source[Any], most: int) -> None:
        self.pages: list[Page] = []
        self.caught_up = False
        self._kind = kind
        self._source = source
        self._most = most

    async def run(self) -> None:
        async with aclosing(pages_of(self._kind, self._source)) as pages:
            async for page in pages:
                self.pages.append(page)
                if len(self.pages) == self._most:
                    return
        self.caught_up = True


class _Recorder:
    """A way out that notes what goes through it, and which secrets."""

    def __init__(self, http: Http) -> None:
        self.exchanges: list[Exchange] = []
        self.secrets: set[str] = set()
        self._http = http

    async def addresses(self, host: str, port: int) -> list[str]:
        """As `Http.addresses`."""
        return await self._http.addresses(host, port)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_seconds: float,
        follow_redirects: bool = True,
        body_cap: int = BODY_CAP,
    ) -> Reply:
        """As `Http.request`."""
        target = _target(url, params)
        self.secrets.update(secrets_in_request(target, headers or {}))
        shown = {name: value if name.lower() in _PLAIN_HEADERS else BLOT for name, value in (headers or {}).items()}
        exchange = Exchange(method, target, shown)
        began = time.monotonic()
        try:
            reply = await self._http.request(
                method,
                url,
                headers=headers,
                params=params,
                body=body,
                timeout_seconds=timeout_seconds,
                follow_redirects=follow_redirects,
                body_cap=body_cap,
            )
            exchange = replace(exchange, status=reply.status, bytes=len(reply.body))
            return reply
        except MillraceError as error:
            exchange = replace(exchange, error=str(error))
            raise
        finally:
            self.exchanges.append(replace(exchange, seconds=time.monotonic() - began))


def _target(url: str, params: Mapping[str, str] | None) -> str:
    try:
        return str(URL(url).extend_query(params)) if params else url
    except ValueError:  # it will not be sent
        return url


def _sample(page: Page, blot: Blot) -> Sample:
    first = [
        Record(None if record.key is None else blot.text(record.key), _payload(record, blot))
        for record in page.records[:RECORDS_SHOWN]
    ]
    return Sample(len(page.records), tuple(first), blot.json(page.about), blot.json(page.cursor))


def _payload(record: Record, blot: Blot) -> JsonValue:
    try:
        shown: JsonValue = blot.json(record.payload)
    except RecursionError:
        return "nested too deeply to be shown"
    return shown


def _blotted(exchange: Exchange, blot: Blot) -> Exchange:
    error = None if exchange.error is None else blot.text(exchange.error)
    headers = {name: blot.text(value) for name, value in exchange.headers.items()}
    return replace(exchange, url=blot.text(exchange.url), headers=headers, error=error)

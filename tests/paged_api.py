"""A paged API on the loopback, and its two readers: dlt's `rest_api`, which is the judge, and our `rest` connector.

What the API does is declared by each test. A test module names this one in `pytest_plugins`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial, reduce
from ipaddress import ip_network
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import JsonValue

from include.egress import Egress
from include.errors import CursorLostError, MillraceError, RetryableError
from include.model import Connection, Source
from include.registry import source
from tests.fake_http import Server, serving

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
TRIES = 5  # as many as dlt's own client makes of one request
MOST_REQUESTS = 30  # where the API calls an end to a reader that goes round in circles
ENDLESS = 418


# -- the API -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One request; `number` counts from 1 the requests of one run of one reader."""

    number: int
    method: str
    path: str
    params: dict[str, str]
    body: JsonValue
    origin: str


@dataclass(frozen=True)
class Answer:
    """What comes back: `body` as JSON, or bytes as they are."""

    body: JsonValue | bytes = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Api = Callable[[Asked], Answer]


class Spot(NamedTuple):
    """A place in the pages of an API; past the last there are no rows."""

    index: int
    pages: Sequence[JsonValue]
    origin: str

    @property
    def rows(self) -> JsonValue:
        return self.pages[self.index] if self.index < len(self.pages) else []

    @property
    def next(self) -> int | None:
        return self.index + 1 if self.index + 1 < len(self.pages) else None


def rows(first: int, last: int, **more: JsonValue) -> list[JsonValue]:
    return [{"id": number, **more} for number in range(first, last + 1)]


FIVE: tuple[JsonValue, ...] = (rows(1, 2), rows(3, 4), rows(5, 5))
FOUR: tuple[JsonValue, ...] = (rows(1, 2), rows(3, 4))


def here(spot: Spot) -> JsonValue:
    """In a template: the rows of the page."""
    return spot.rows


def after(text: str, end: JsonValue = None) -> Callable[[Spot], JsonValue]:
    """In a template: a reference to the next page, `{}` in it being its index; `end` on the last page."""
    return lambda spot: end if spot.next is None else text.format(spot.next, origin=spot.origin)


def more(spot: Spot) -> JsonValue:
    """In a template: whether there is another page."""
    return spot.next is not None


def numbered(name: str, base: int = 0, step: int = 1) -> Callable[[Asked], int]:
    """The index that a numeric parameter asks for: one of the query, or, with a slash before it, of the body."""
    return lambda asked: (int(_given(asked, name) or base) - base) // step


def token(name: str) -> Callable[[Asked], int]:
    """The index in a token such as `c2`; the first page is asked for without one."""
    return lambda asked: int((_given(asked, name) or "c0")[1:])


def _given(asked: Asked, name: str) -> Any:
    if not name.startswith("/"):
        return asked.params.get(name)
    return reduce(lambda inner, part: (inner or {}).get(part), name[1:].split("."), asked.body)


def paged(
    pages: Sequence[JsonValue],
    place: Callable[[Asked], int],
    body: Any = here,
    headers: Mapping[str, Any] | None = None,
) -> Api:
    """An API that answers with a page: `body` and `headers` are templates, whose callables get its `Spot`."""

    def answer(asked: Asked) -> Answer:
        spot = Spot(place(asked), pages, asked.origin)
        named = {name: _filled(value, spot) for name, value in (headers or {}).items()}
        return Answer(_filled(body, spot), headers={name: value for name, value in named.items() if value is not None})

    return answer


def _filled(template: Any, spot: Spot) -> Any:
    if callable(template):
        return template(spot)
    return {name: _filled(value, spot) for name, value in template.items()} if isinstance(template, dict) else template


def always(body: JsonValue | bytes, status: int = 200, **headers: str) -> Api:
    return lambda _asked: Answer(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def but(api: Api, exceptions: Mapping[int, Answer]) -> Api:
    """The same API, but for the requests with these numbers."""
    return lambda asked: exceptions[asked.number] if asked.number in exceptions else api(asked)


# -- what is compared --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An endpoint's configuration, for both readers, and what the API does: one behaviour for each run.

    `base_url` is a path here: where the server listens is put before it. `gives` is how many records come out of dlt in
    all runs, so that agreeing on nothing is not taken for agreeing.
    """

    name: str
    config: dict[str, Any]
    api: Api | tuple[Api, ...]
    gives: int

    @property
    def runs(self) -> tuple[Api, ...]:
        return self.api if isinstance(self.api, tuple) else (self.api,)


def by_name(case: object) -> str:
    assert isinstance(case, Case)
    return case.name


class Seen(NamedTuple):
    """What of a request both readers must agree on."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    body: JsonValue


@dataclass
class Run:
    """What one run gave: the records in their order, the requests, and what ended it early, if anything did."""

    records: list[JsonValue] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    error: Exception | None = None
    pages: int = 0

    def params(self, name: str) -> list[str | None]:
        """The values of a query parameter, one for each request."""
        return [dict(request.params).get(name) for request in self.seen]


class Peers:
    """Both readers, in front of one server."""

    def __init__(self, egress: Egress) -> None:
        self.server = Server(0)
        self._egress = egress
        self._api: Api = always([])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            number=len(self.server.received),
            method=request.method,
            path=request.path,
            params=dict(request.query),
            body=_read(await request.read()),
            origin=f"http://{request.host}",
        )
        given = self._api(asked) if asked.number <= MOST_REQUESTS else Answer("endless", ENDLESS)
        body = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
        return web.Response(
            body=body, status=given.status, headers={"Content-Type": "application/json", **given.headers}
        )

    async def agree(self, case: Case) -> None:
        """Assert that our connector makes dlt's requests and gives dlt's records, in every run.

        What an earlier run gave already is left out on both sides: dlt knows some of it by hashes and leaves the rest
        to the destination; we leave all of it to the store, which keeps a record once. And assert that our first run,
        when it is interrupted after every page and goes on from the cursor, gives the same.
        """
        theirs = await self.dlt(case)
        assert sum(len(run.records) for run in theirs) == case.gives, theirs
        ours = await self.ours(case)
        for number, (expected, found) in enumerate(zip(theirs, ours, strict=True)):
            assert found.error is None or isinstance(found.error, MillraceError), repr(found.error)
            assert (found.error is None) == (expected.error is None), f"{found.error!r}; dlt: {expected.error!r}"
            assert _fresh(number, ours) == _fresh(number, theirs)
            assert found.seen == expected.seen
        if ours[0].error is None:
            await self._interrupted(case, ours[0])

    async def dlt(self, case: Case) -> list[Run]:
        """What dlt gives, run by run, each with the state that the one before it left."""
        config, state = self._config(case), dict[str, Any]()
        return [await self._run(api, partial(asyncio.to_thread, _read_with_dlt, config, state)) for api in case.runs]

    async def ours(self, case: Case, connection: Connection | None = None) -> list[Run]:
        """What our connector gives, run by run, each from the cursor that the one before it left."""
        pull = _Pull(self._config(case), connection, self._egress)
        return [await self._run(api, pull.go) for api in case.runs]

    async def _interrupted(self, case: Case, whole: Run) -> None:
        pull = _Pull(self._config(case), None, self._egress)

        async def go(run: Run) -> None:
            while run.pages < whole.pages:
                await pull.go(run, pages=1)

        found = await self._run(case.runs[0], go)
        assert found.error is None
        assert found.records == whole.records, "interrupted after every page"
        assert found.seen == whole.seen, "interrupted after every page"

    def _config(self, case: Case) -> dict[str, Any]:
        return {**case.config, "base_url": self.server.url(case.config.get("base_url", "/api"))}

    async def _run(self, api: Api, read: Callable[[Run], Awaitable[None]]) -> Run:
        self._api = api
        self.server.received.clear()
        run = Run()
        try:
            await read(run)
        except Exception as error:  # of any kind: the judge has its own
            run.error = error
        for one in self.server.received:
            params = tuple(sorted(parse_qsl(one.query, keep_blank_values=True)))
            run.seen.append(Seen(one.method, one.path, params, _read(one.body)))
            run.headers.append(one.headers)
        return run


def _read(body: bytes) -> JsonValue:
    return json.loads(body) if body else None


def _fresh(number: int, runs: list[Run]) -> list[str]:
    """The records of a run that no earlier one gave, as JSON: to Python, 1 and True are equal."""
    known = {json.dumps(record, sort_keys=True) for run in runs[:number] for record in run.records}
    texts = [json.dumps(record, sort_keys=True) for record in runs[number].records]
    return [text for text in texts if text not in known]


class _Pull:
    """Our connector, driven as a shift does it: its cursor lies in the database between two pages."""

    def __init__(self, config: dict[str, Any], connection: Connection | None, egress: Egress) -> None:
        self._kind = source("rest")
        self._source = Source(self._kind.parse(config), None, egress, connection, NOW, 10)

    async def go(self, run: Run, pages: int | None = None) -> None:
        """Pull to the end, or so many pages; what can be tried again is, from the last page that was committed."""
        for _ in range(TRIES - 1):
            try:
                return await self._go(run, pages)
            except CursorLostError:
                raise
            except RetryableError:
                continue
        return await self._go(run, pages)

    async def _go(self, run: Run, pages: int | None) -> None:
        stop = None if pages is None else run.pages + pages
        async with aclosing(self._kind.pull(self._source)) as pulled:
            async for page in pulled:
                run.pages += 1
                run.records += [record.payload for record in page.records]
                self._source = replace(self._source, cursor=json.loads(json.dumps(page.cursor)))
                if run.pages == stop:
                    return


def _read_with_dlt(config: dict[str, Any], state: dict[str, Any], run: Run) -> None:
    """Read with `rest_api_resources`, to which the same configuration is given in its own wrapping."""
    from dlt.common.configuration.container import Container
    from dlt.common.pipeline import StateInjectableContext
    from dlt.sources.helpers.requests import Client
    from dlt.sources.rest_api import rest_api_resources

    endpoint = copy.deepcopy(config)
    client = {"base_url": endpoint.pop("base_url")}
    resource = {key: endpoint.pop(key) for key in ("primary_key",) if key in endpoint}
    session = Client(raise_for_status=False, request_backoff_factor=0, request_max_retry_delay=0).session
    session.trust_env = False
    wrapped = {
        "client": {**client, "session": session},
        "resources": [{"name": "records", "endpoint": endpoint, **resource}],
    }
    with session, Container().injectable_context(StateInjectableContext(state=state)):
        for record in rest_api_resources(wrapped)[0]:
            run.records.append(record)


@pytest.fixture(scope="session")
def _dlt_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """dlt without telemetry, and away from our files, our Airflow and the user's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DLT_DATA_DIR", "DLT_PROJECT_DIR", "DLT_LOCAL_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("dlt")))
        patch.setenv("DLT_DISABLE_PLUGINS", "true")
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        patch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
        patch.setenv("PROVIDERS__ENABLE_AIRFLOW_SECRETS", "false")
        yield


@pytest_asyncio.fixture
async def peers(_dlt_settings: None) -> AsyncIterator[Peers]:
    """dlt and our connector, which may reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),))
    both = Peers(egress)
    async with serving(both.answer) as both.server:
        yield both
    await egress.close()

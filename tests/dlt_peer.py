"""Two readers of one paged API: dlt's `rest_api`, which is the judge, and our `rest` connector.

A test module names this one in `pytest_plugins`.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from ipaddress import ip_network
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
from aiohttp import web
from multidict import CIMultiDict
from pydantic import JsonValue
from requests import Response
from requests.adapters import HTTPAdapter

from include.egress import Egress
from include.errors import MillraceError, RetryableError
from include.model import Connection, Source
from include.registry import source
from tests.fake_http import Server, serving
from tests.paged_api import Answer, Api, Asked, Case, always

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)
TRIES = 5  # as many as dlt's own client makes of one request
MOST_REQUESTS = 30  # where the API calls an end to a reader that goes round in circles
ENDLESS = 418


class Seen(NamedTuple):
    """What of a request both readers must agree on."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    body: JsonValue


@dataclass
class Run:
    """What one run gave: the records in their order, the requests, and what ended it early, if anything did.

    `cursors` are those of the pages, where our connector ran.
    """

    records: list[Any] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cursors: list[JsonValue] = field(default_factory=list)
    error: Exception | None = None

    def params(self, name: str) -> list[str | None]:
        """The values of a query parameter, one for each request."""
        return [dict(request.params).get(name) for request in self.seen]


class Peers:
    """Both readers, in front of one server."""

    def __init__(self, egress: Egress) -> None:
        self.server = Server(0)
        self._egress = egress
        self._api: Api = always([])
        self._run = Run()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer as the run's API does, and note what was asked."""
        seen = Seen(
            request.method,
            request.rel_url.raw_path,
            tuple(sorted(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))),
            _parsed(await request.read(), request.content_type),
        )
        self._run.seen.append(seen)
        self._run.headers.append({name.lower(): value for name, value in request.headers.items()})
        asked = Asked(len(self._run.seen), request.path, dict(seen.params), seen.body, f"http://{request.host}")
        given = self._api(asked) if asked.number <= MOST_REQUESTS else Answer("endless", ENDLESS)
        body = given.body if isinstance(given.body, bytes) else json.dumps(given.body).encode()
        headers = CIMultiDict(given.headers)
        headers.setdefault("Content-Type", "application/json")
        return web.Response(body=body, status=given.status, headers=headers)

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

        async def read(run: Run) -> None:
            await asyncio.to_thread(_read_with_dlt, config, state, run)

        return [await self._read(api, read) for api in case.runs]

    async def ours(self, case: Case, connection: Connection | None = None) -> list[Run]:
        """What our connector gives, run by run, each from the cursor that the one before it left."""
        pull = _Pull(self._config(case), connection, self._egress)
        return [await self._read(api, pull.go) for api in case.runs]

    async def _interrupted(self, case: Case, whole: Run) -> None:
        pull = _Pull(self._config(case), None, self._egress)

        async def go(run: Run) -> None:
            while len(run.cursors) < len(whole.cursors):
                await pull.go(run, pages=1)

        found = await self._read(case.runs[0], go)
        assert found.error is None
        assert found.records == whole.records, "interrupted after every page"
        assert found.seen == whole.seen, "interrupted after every page"

    def _config(self, case: Case) -> dict[str, Any]:
        return {**case.config, "base_url": self.server.url(case.config.get("base_url", "/api"))}

    async def _read(self, api: Api, reader: Callable[[Run], Awaitable[None]]) -> Run:
        self._api, self._run = api, Run()
        try:
            await reader(self._run)
        except Exception as error:  # of any kind: the judge has its own
            self._run.error = error
        return self._run


def _parsed(body: bytes, content_type: str) -> JsonValue:
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(body.decode()))
    return json.loads(body) if body else None


def _fresh(number: int, runs: list[Run]) -> list[str]:
    """The records of a run that no earlier one gave, as JSON: to Python, 1 and True are equal."""
    known = {json.dumps(record, sort_keys=True) for run in runs[:number] for record in run.records}
    texts = [json.dumps(record, sort_keys=True) for record in runs[number].records]
    return [text for text in texts if text not in known]


class _Pull:
    """Our connector, driven as a shift does it: its cursor lies in the database between two pages."""

    def __init__(self, config: dict[str, Any], connection: Connection | None, egress: Egress) -> None:
        self._config = config
        self._begin = partial(Source, http=egress, connection=connection, now=NOW, timeout_seconds=10)
        self._cursor: JsonValue = None

    async def go(self, run: Run, pages: int | None = None) -> None:
        """Pull to the end, or so many pages; what can be tried again is, from the last page that was committed."""
        stop = None if pages is None else len(run.cursors) + pages
        tries = 1
        while True:
            before = len(run.cursors)
            try:
                return await self._go(run, stop)
            except RetryableError:
                tries = tries + 1 if len(run.cursors) == before else 2
                if tries > TRIES:
                    raise

    async def _go(self, run: Run, stop: int | None) -> None:
        kind: Any = source("rest")
        pull = kind.pull(self._begin(config=kind.parse(self._config), cursor=self._cursor))
        async with aclosing(pull) as pulled:
            async for page in pulled:
                run.records += [record.payload for record in page.records]
                self._cursor = json.loads(json.dumps(page.cursor))
                run.cursors.append(self._cursor)
                if len(run.cursors) == stop:
                    return


class _WholeReplies(HTTPAdapter):
    """Reads each reply to its end: dlt raises before it has read those that are errors, and leaves the socket open."""

    def send(self, *args: Any, **options: Any) -> Response:
        response = super().send(*args, **options)
        _ = response.content
        return response


def _read_with_dlt(config: dict[str, Any], state: Any, run: Run) -> None:
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
    session.mount("http://", _WholeReplies())
    auth = endpoint.get("auth")
    if isinstance(auth, dict) and auth["type"].startswith("oauth2"):
        auth["session"] = session  # for the token; dlt's own is never closed
    wrapped: Any = {
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
        patch.setenv("EXTRACT__FUTURES_POLL_INTERVAL", "0.0001")  # it sleeps once a run
        yield


@pytest_asyncio.fixture
async def peers(_dlt_settings: None) -> AsyncIterator[Peers]:
    """dlt and our connector, which may reach the loopback."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),))
    both = Peers(egress)
    async with serving(both.answer) as both.server:
        yield both
    await egress.close()

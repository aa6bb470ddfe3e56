"""`auth`: our `rest` connector proves who it is as dlt 1.31 does, to nobody else, and with a connection's secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import web

from include.errors import ConfigError
from include.model import Connection
from tests.fake_http import serving
from tests.paged_api import FIVE, Answer, Api, Asked, Case, after, always, here, numbered, paged, rows

if TYPE_CHECKING:
    from tests.dlt_peer import Peers, Run

pytest_plugins = ["tests.dlt_peer"]
pytestmark = [pytest.mark.filterwarnings("ignore:::dlt"), pytest.mark.e2e]

LINKS = {"path": "items", "paginator": "json_link"}
PAGES = paged(FIVE, numbered("n"), {"items": here, "next": after("/api/items?n={}")})
LOGIN, PASSWORD, KEY = "me@example.com", "pa55 w\u00f6rd:&=", "k3y-w1th=&+"
CONNECTION = Connection("them", login=LOGIN, password=PASSWORD)
ASCII = Connection("them", login="me", password=KEY)

# What dlt is given, with the secret, and what we are given, without it.
PROOFS: dict[str, tuple[dict[str, Any], dict[str, Any], Connection]] = {
    "a bearer token": ({"type": "bearer", "token": KEY}, {"type": "bearer"}, ASCII),
    "a key in the header": ({"type": "api_key", "api_key": KEY}, {"type": "api_key"}, ASCII),
    "a key in another header": (
        {"type": "api_key", "api_key": KEY, "name": "X-Key", "location": "header"},
        {"type": "api_key", "name": "X-Key", "location": "header"}, ASCII),
    "a key in the query": (
        {"type": "api_key", "api_key": PASSWORD, "name": "key", "location": "query"},
        {"type": "api_key", "name": "key", "location": "query"}, CONNECTION),
    "login and password": ({"type": "http_basic", "username": LOGIN, "password": PASSWORD}, {"type": "http_basic"},
        CONNECTION),
}  # fmt: skip


async def both(
    peers: Peers, theirs: dict[str, Any], ours: dict[str, Any], connection: Connection, api: Api = PAGES
) -> tuple[Run, Run]:
    """What dlt gives with a secret in its configuration, and what we give with a connection."""
    [expected] = await peers.dlt(Case("", {**LINKS, "auth": theirs}, api, 0))
    [found] = await peers.ours(Case("", {**LINKS, "auth": ours, "conn_id": connection.id}, api, 0), connection)
    return expected, found


def proofs(run: Run) -> list[tuple[str | None, str | None]]:
    return [(headers.get("authorization"), headers.get("x-key")) for headers in run.headers]


@pytest.mark.parametrize(("theirs", "ours", "connection"), PROOFS.values(), ids=PROOFS)
async def test_every_request_is_proven(
    peers: Peers, theirs: dict[str, Any], ours: dict[str, Any], connection: Connection
) -> None:
    """The secret stands where dlt puts it, in the first request and in those for the pages after it."""
    expected, found = await both(peers, theirs, ours, connection)
    assert found.error is None
    assert found.records == expected.records == rows(1, 5)
    assert found.seen == expected.seen
    assert proofs(found) == proofs(expected)
    assert any(proofs(expected)[2]) or dict(expected.seen[2].params)["key"] == connection.password


def granting(asked: Asked) -> Answer:
    """An API that gives out tokens, and takes no others."""
    return Answer({"access_token": "t0k3n", "expires_in": 3600}) if asked.path == "/token" else PAGES(asked)


async def test_a_token_for_login_and_password(peers: Peers) -> None:
    """OAuth 2.0 client credentials are asked for as dlt asks for them, once."""
    data = {"scope": "read write"}
    shared = {
        "type": "oauth2_client_credentials",
        "access_token_url": peers.server.url("/token"),
        "access_token_request_data": data,
    }
    theirs = {**shared, "client_id": LOGIN, "client_secret": PASSWORD}
    expected, found = await both(peers, theirs, shared, CONNECTION, granting)
    assert found.error is None
    assert found.records == expected.records == rows(1, 5)
    assert found.seen == expected.seen
    assert proofs(found) == proofs(expected) == [(None, None), *[("Bearer t0k3n", None)] * 3]


async def answer_elsewhere(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=json.dumps({"items": rows(3, 4)}), content_type="application/json")


async def test_a_link_to_another_host(peers: Peers) -> None:
    """dlt sends the token to whatever host a link names; we follow the link and keep the token to ourselves."""
    async with serving(answer_elsewhere) as elsewhere:
        api = always({"items": rows(1, 2), "next": elsewhere.url("/more")})
        expected, found = await both(peers, *PROOFS["a bearer token"], api)
        theirs, ours = (request.headers.get("authorization") for request in elsewhere.received)
    assert found.records == expected.records == rows(1, 4)
    assert theirs == f"Bearer {KEY}"
    assert ours is None


async def test_a_path_at_another_host(peers: Peers) -> None:
    """dlt sends the token to whatever host `path` names; we refuse such a row."""
    async with serving(answer_elsewhere) as elsewhere:
        config = {**LINKS, "path": elsewhere.url("/items")}
        await peers.dlt(Case("", {**config, "auth": {"type": "bearer", "token": "t0k3n"}}, PAGES, 0))
        [ours] = await peers.ours(Case("", {**config, "conn_id": "them", "auth": "bearer"}, PAGES, 0), CONNECTION)
        assert [request.headers.get("authorization") for request in elsewhere.received] == ["Bearer t0k3n"]
    assert isinstance(ours.error, ConfigError)


async def test_a_link_that_repeats_the_key(peers: Peers) -> None:
    """dlt sends the key twice where a link has it already; we take it out, as the link is kept in the cursor."""
    api = paged(
        FIVE,
        numbered("n"),
        {"items": here, "next": after(f"/api/items?n={{}}&key={quote(KEY)}")},
    )
    theirs, ours, _ = PROOFS["a key in the query"]
    expected, found = await both(peers, {**theirs, "api_key": KEY}, ours, ASCII, api)
    assert found.records == expected.records == rows(1, 5)
    assert [name for name, _ in expected.seen[1].params] == ["key", "key", "n"]
    assert [name for name, _ in found.seen[1].params] == ["key", "n"]
    assert KEY not in json.dumps(found.cursors)


async def test_a_token_that_is_refused(peers: Peers) -> None:
    """dlt keeps a token until it should expire, and fails; we ask for another, once."""
    granted: list[str] = []

    def api(asked: Asked) -> Answer:
        if asked.path == "/token":
            granted.append(f"t{len(granted)}")
            return Answer({"access_token": granted[-1]})
        return Answer(None, 401) if asked.number == 2 else PAGES(asked)

    shared = {"type": "oauth2_client_credentials", "access_token_url": peers.server.url("/token")}
    expected, found = await both(
        peers, {**shared, "client_id": "me", "client_secret": "s3cret"}, shared, CONNECTION, api
    )
    assert "401" in str(expected.error)
    assert found.error is None
    assert found.records == rows(1, 5)
    assert [proof for proof, _ in proofs(found)] == [None, "Bearer t1", None, *["Bearer t2"] * 3]


async def test_no_secret_from_the_process(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """dlt fills an `auth` without a token from the environment of the process; we from the row's connection only."""
    monkeypatch.setenv("CREDENTIALS__TOKEN", "the operator's")
    [theirs] = await peers.dlt(Case("", {**LINKS, "auth": "bearer"}, PAGES, 0))
    [ours] = await peers.ours(Case("", {**LINKS, "auth": "bearer"}, PAGES, 0))
    assert proofs(theirs)[0] == ("Bearer the operator's", None)
    assert isinstance(ours.error, ConfigError)

"""A preview shows what a connector would pull, and no secret, in whatever spelling it comes back."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web

from include.egress import Egress
from include.errors import ConfigError
from include.model import Connection, Connector
from include.settings import settings
from include.shifts import preview as previews
from include.shifts.preview import Preview, preview
from include.store.connectors import DEFAULTS
from include.store.rows import connector_from_row
from tests.fake_http import Handler, serving

PASSWORD = 'pä$$ w/rd+"1"'
TOKEN = "tok-5f1e"


@pytest.fixture
async def http() -> AsyncIterator[Egress]:
    """The guarded way out, with the loopback allowed."""
    egress = Egress(allow=(ip_network("127.0.0.0/8"),))
    yield egress
    await egress.close()


@pytest.fixture
def user_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package for code of users, which `python` connectors name."""
    package = tmp_path / "preview_user_code"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql:///")
    monkeypatch.setenv("MILLRACE_USER_CODE", package.name)
    settings.cache_clear()
    yield package
    settings.cache_clear()
    for name in [name for name in sys.modules if name.startswith(package.name)]:
        del sys.modules[name]


def connector(kind: str, config: dict[str, Any], **columns: Any) -> Connector:
    now = datetime.now(timezone.utc)
    unstored = {"id": 0, "cursor": None, "failures": 0, "failing_since": None, "not_before": None, "error": None}
    row = {**DEFAULTS, **unstored, "name": "my shop", "kind": kind, "config": config, "revision": 0}
    return connector_from_row({**row, "created_at": now, "schedule_changed_at": now, **columns})


def shown(made: Preview) -> str:
    """Everything that can be seen of a preview."""
    return repr(made)


def numbered(pages: int) -> Handler:
    """An API with so many pages of ten items, which names the page after each."""

    async def handle(request: web.Request) -> web.StreamResponse:
        page = int(request.query.get("page", "1"))
        items = [{"id": page * 10 + n} for n in range(10)]
        link = str(request.url.update_query(page=page + 1)) if page < pages else None
        return web.json_response({"items": items, "next": link})

    return handle


async def test_a_preview_shows_request_records_paginator_and_cursor(http: Egress) -> None:
    """What was asked and answered, the first few records with their keys, how pages follow, where it would go on."""
    async with serving(numbered(3)) as server:
        made = await preview(
            connector("rest", {"base_url": server.url("/"), "primary_key": "id", "data_selector": "items"}),
            connection=None,
            http=http,
            pages=1,
        )
        assert [request.path for request in server.received] == ["/"]
    [request], [page] = made.requests, made.pages
    assert (request.method, request.url, request.status) == ("GET", server.url("/"), 200)
    assert (page.count, [record.key for record in page.records]) == (10, ["10", "11", "12", "13", "14"])
    assert page.about["paginator"] == "json_link"
    assert made.next_cursor == page.cursor
    assert made.next_cursor is not None
    assert (made.cursor, made.caught_up, made.error) == (None, False, None)


async def test_a_preview_goes_on_from_the_cursor_until_there_is_no_more(http: Egress) -> None:
    """As many pages as were asked for, from where the row is; it says when the source has no more."""
    async with serving(numbered(3)) as server:
        config = {"base_url": server.url("/"), "data_selector": "items"}
        first = await preview(connector("rest", config), connection=None, http=http, pages=1)
        rest = await preview(connector("rest", config, cursor=first.next_cursor), connection=None, http=http, pages=9)
        assert [request.query for request in server.received] == ["", "page=2", "page=3"]
    assert rest.cursor == first.next_cursor
    assert [page.records[0].payload for page in rest.pages] == [{"id": 20}, {"id": 30}]
    assert rest.caught_up


@pytest.mark.parametrize(
    ("config", "warned"),
    [
        ({"primary_key": "id"}, []),
        ({"primary_key": "ID"}, ["primary_key: none of these 20 records has anything at ID; what has no key is known"]),
        ({"primary_key": ["id", "$.a.b"]}, ["primary_key: none of these 20 records has anything at $.a.b"]),
        ({"incremental": {"cursor_path": "id"}}, []),
        (
            {"incremental": {"cursor_path": "updated"}},
            ["incremental.cursor_path: none of these 20 records has anything at updated; each pull will begin where"],
        ),
    ],
)
async def test_settings_that_no_record_bears_out_are_warned_of(
    http: Egress, config: dict[str, Any], warned: list[str]
) -> None:
    """A path that leads to nothing in any of the records is a mistake most of the time, and would not show."""
    async with serving(numbered(3)) as server:
        row = connector("rest", {"base_url": server.url("/"), "data_selector": "items", **config})
        made = await preview(row, connection=None, http=http, pages=2)
    assert len(made.warnings) == len(warned)
    assert all(warning.startswith(said) for warning, said in zip(made.warnings, warned, strict=True))


async def test_where_there_are_no_records_there_is_nothing_to_warn_of(http: Egress) -> None:
    """A source that is empty at present says nothing about its fields."""

    async def empty(_: web.Request) -> web.StreamResponse:
        return web.json_response([])

    async with serving(empty) as server:
        row = connector("rest", {"base_url": server.url("/"), "primary_key": "id"})
        assert (await preview(row, connection=None, http=http, pages=1)).warnings == ()


async def test_what_came_before_an_error_is_shown_beside_it(http: Egress) -> None:
    """A source that fails on its second page: the first page, both requests, and the error."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await numbered(3)(request) if "page" not in request.query else web.Response(status=500)

    async with serving(handle) as server:
        made = await preview(connector("rest", {"base_url": server.url("/")}), connection=None, http=http, pages=5)
    assert [request.status for request in made.requests] == [200, 500]
    assert len(made.pages) == 1
    assert "500" in (made.error or "")
    assert not made.caught_up


async def test_the_egress_guard_holds_in_previews() -> None:
    """An address that calls must not go to is refused; the request is shown with the reason."""
    http = Egress()
    made = await preview(connector("rest", {"base_url": "http://127.0.0.1:8009/"}), connection=None, http=http, pages=1)
    await http.close()
    assert made.requests[0].status is None
    assert "is loopback" in (made.requests[0].error or "")
    assert "is loopback" in (made.error or "")


async def test_a_config_that_does_not_fit_is_an_error(http: Egress) -> None:
    """What could not run is not tried."""
    with pytest.raises(ConfigError, match="base_url: Field required"):
        await preview(connector("rest", {}), connection=None, http=http, pages=1)


async def test_one_that_is_pushed_to_says_where(http: Egress) -> None:
    """There is nothing to pull; the path that takes deliveries is what a sender needs, and it has the id in it."""
    for row_id, path in ((0, "/millrace/hooks/{id}"), (7, "/millrace/hooks/7")):
        pushed = connector("webhook", {"conn_id": "hook"}, id=row_id)
        assert await preview(pushed, connection=None, http=http, pages=1) == Preview(pushed_to=path)


# Kinds that run on a worker.


async def test_a_generator_of_a_user_is_tried_in_a_thread(http: Egress, user_code: Path) -> None:
    """What it yields is shown; what it raises is an error by its name, beside the pages before it."""
    (user_code / "shop.py").write_text(
        "from include.model import Page, Record\n"
        "def items(cursor, connection):\n"
        "    yield Page([Record('a', {'who': connection.login})], {'at': 1})\n"
        "    raise KeyError(connection.password)\n"
    )
    row = connector("python", {"function": "shop:items", "conn_id": "api"})
    api = Connection("api", login="ada", password=TOKEN)
    made = await preview(row, connection=api, http=http, pages=5)
    assert (made.pages[0].records[0].payload, made.next_cursor) == ({"who": "ada"}, {"at": 1})
    assert made.error == "kind 'python' raised KeyError: '***'"


async def test_a_generator_that_never_ends_is_left_behind(
    http: Egress, user_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preview has a limit in time; whoever blocks a thread keeps nobody waiting."""
    (user_code / "stuck.py").write_text(
        "import threading\nfrom include.model import Page\nlet_go = threading.Event()\n"
        "def items(cursor):\n    yield Page([], 1)\n    let_go.wait()\n"
    )
    monkeypatch.setattr(previews, "_SECONDS", 2)
    made = await preview(connector("python", {"function": "stuck:items"}), connection=None, http=http, pages=5)
    assert made.error == "cut off after 2 s"
    assert len(made.pages) == 1
    sys.modules[f"{user_code.name}.stuck"].let_go.set()


# Secrets.


def echoing(spell: Any) -> Handler:
    """An API that sends back what it was sent, spelt in some way, in a value and a key; and more in the next link."""

    async def handle(request: web.Request) -> web.StreamResponse:
        heard = spell(request)
        return web.json_response({"items": [{"heard": heard, heard: 1}], "next": "/?page=2&seen=nested-secret"})

    return handle


@pytest.mark.parametrize(
    "spell",
    [
        lambda _: PASSWORD,
        lambda _: quote(PASSWORD),
        lambda _: quote(PASSWORD, safe="").lower(),
        lambda _: quote_plus(PASSWORD),
        lambda _: json.dumps({"password": PASSWORD}),
        lambda _: json.dumps([PASSWORD], ensure_ascii=False),
        lambda _: base64.b64encode(PASSWORD.encode()).decode(),
        lambda request: request.headers["Authorization"],
        lambda request: base64.b64decode(request.headers["Authorization"].split()[1]).decode(),
        lambda _: "the nested-secret of extra",
    ],
)
async def test_a_secret_that_comes_back_is_not_shown(http: Egress, spell: Any) -> None:
    """However a server spells what it was sent, nothing of it is in the preview: not in records, links or cursors."""
    api = Connection("api", login="ada-login", password=PASSWORD, extra={"a": {"secrets": ["nested-secret"]}})
    async with serving(echoing(spell)) as server:
        row = connector("rest", {"base_url": server.url("/"), "conn_id": "api", "data_selector": "items"})
        made = await preview(row, connection=api, http=http, pages=2)
        assert "authorization" in server.received[0].headers
    assert made.pages
    text = shown(made)
    assert made.requests[0].headers["Authorization"] == "***"
    for secret in (PASSWORD, quote(PASSWORD), PASSWORD[:5], "ada-login", "nested-secret", "w%2frd", "w%2Frd"):
        assert secret not in text
    for spelling in (PASSWORD, f"ada-login:{PASSWORD}"):
        assert base64.b64encode(spelling.encode()).decode().rstrip("=") not in text


@pytest.mark.parametrize("location", ["header", "query"])
async def test_a_key_is_not_shown_wherever_it_is_sent(http: Egress, location: str) -> None:
    """An API key in a header or in the query string is blotted out of the request, the reply and the error."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": f"{TOKEN} is unknown"}, status=403)

    auth = {"type": "api_key", "name": "X-Shop", "location": location}
    async with serving(handle) as server:
        row = connector("rest", {"base_url": server.url("/"), "conn_id": "api", "auth": auth})
        made = await preview(row, connection=Connection("api", password=TOKEN), http=http, pages=1)
        sent = server.received[0]
        assert TOKEN in (sent.query if location == "query" else sent.headers["x-shop"])
    assert made.error is not None
    assert TOKEN not in shown(made)
    assert "***" in (made.requests[0].url if location == "query" else made.requests[0].headers["X-Shop"])


async def test_a_token_that_was_asked_for_is_not_shown(http: Egress) -> None:
    """A token that no connection holds, but that a request carries, is a secret as well."""

    async def token(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"access_token": "granted-7"})

    async def items(request: web.Request) -> web.StreamResponse:
        return web.json_response([{"token": request.headers["Authorization"].split()[1]}])

    async with serving({"/token": token, "/": items}) as server:
        auth = {"type": "oauth2_client_credentials", "access_token_url": server.url("/token")}
        row = connector("rest", {"base_url": server.url("/"), "conn_id": "api", "auth": auth})
        api = Connection("api", login="client", password=TOKEN)
        made = await preview(row, connection=api, http=http, pages=1)
    assert [record.payload for record in made.pages[0].records] == [{"token": "***"}]
    assert "granted-7" not in shown(made)
    assert TOKEN not in shown(made)

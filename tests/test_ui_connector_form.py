"""The form of a connector: what it creates and saves, what it previews, and what comes back where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.html_form import form_of, wrong_at
from tests.json_server import answering
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url, egress_allow=(ip_network("127.0.0.0/8"),)) as running:
        yield running.as_(ALICE)


def filled_in(page: str) -> dict[str, Any]:
    return {**form_of(page, "connector-form")}


def rows(db: DictConnection) -> list[dict[str, Any]]:
    return db.execute("select name, owner, kind, config, every::text, dedupe from connector order by id").fetchall()


def new(pages: Pages, kind: str, **fields: Any) -> dict[str, Any]:
    """The new form of a kind, filled in."""
    return {**filled_in(pages.get("/connectors/new", kind=kind).text), "do": "save", **fields}


def test_a_new_form_begins_with_the_kinds(pages: Pages) -> None:
    """Without a kind there is what each does; with one there are its fields; who only looks gets no form."""
    page = pages.get("/connectors/new").text
    assert "Pull the entries of a feed" in page
    assert "any library, <code>requests</code> included" in page
    assert "config.url" not in page
    assert 'name="config.url"' in pages.get("/connectors/new", kind="feed").text
    assert "such as &#34;" not in pages.get("/connectors/new", kind="rest").text  # an example that there is not
    shown = pages.send("/connectors/new", {"do": "show", "kind": "postgres", "name": "kept"}).text
    assert 'name="config.cursor_column"' in shown
    assert 'value="kept"' in shown
    assert 'name="every"' not in pages.get("/connectors/new", kind="webhook").text
    assert pages.as_(VIEWER).get("/connectors/new").status_code == 403
    assert pages.as_(VIEWER).send("/connectors/new", {"do": "save"}).status_code == 403


def test_a_filled_in_form_is_a_connector(pages: Pages, db: DictConnection) -> None:
    """It belongs to the caller, and its page says so; sent twice, it is there once."""
    fields = {
        "name": "shop",
        "config.base_url": "https://example.com/api",
        "config.primary_key": "id",
        "every": "1m30s",
    }
    form = new(pages, "rest", **fields, dedupe="content")
    page = pages.send("/connectors/new", form)
    assert "shop is created." in page.text
    expected = {"base_url": "https://example.com/api", "primary_key": "id"}
    row = {"name": "shop", "owner": "alice", "kind": "rest", "every": "00:01:30", "dedupe": "content"}
    assert rows(db) == [{**row, "config": expected}]
    assert pages.send("/connectors/new", form).status_code == 200
    assert len(rows(db)) == 1


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"name": ""}, "name", "Field required"),
        ({"name": "12"}, "name", "all digits would be read as an id"),
        ({"name": "a\0"}, "name", "NUL"),
        ({"config.base_url": ""}, "config.base_url", "Field required"),
        ({"config.base_url": "nowhere"}, "config.base_url", "write a URL"),
        ({"config.json": "{"}, "config.json", ""),
        ({"config.paginator": '{"type": "zz"}'}, "config.paginator", "zz"),
        ({"every": "soon"}, "every", ""),
        ({"every": "0.1s"}, "every", "write at least 1s"),
        ({"rate_limit": "lots"}, "rate_limit", ""),
        ({"budget": "nobody's"}, "budget", "there is no budget"),
        ({"alert_after": "x"}, "alert_after", ""),
        ({"notify": "[1]"}, "notify", ""),
        ({"name": "taken"}, "name", "this owner has a connector with this name already"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    pages: Pages, db: DictConnection, fields: dict[str, str], place: str, said: str
) -> None:
    """The form comes back as it was filled in, with the reason, and nothing is stored."""
    taken = {"name": "taken", "kind": "rest", "config": {"base_url": "https://example.com/"}}
    ok(pages.api.post("/connectors", taken), 201)
    form = new(pages, "rest", **{"name": "shop", "config.base_url": "https://example.com/", "config.path": "<kept>"})
    page = pages.send("/connectors/new", form | fields)
    assert page.status_code in (409, 422)
    assert wrong_at(page.text, place)
    assert said in wrong_at(page.text, place)
    assert "&lt;kept&gt;" in page.text
    assert len(rows(db)) == 1


def test_what_belongs_to_no_field_is_said_at_the_top(pages: Pages, db: DictConnection) -> None:
    """A kind that was chosen and not looked at, one that there is not, and a connection that one may not use."""
    other = pages.send("/connectors/new", {**new(pages, "rest"), "kind": "feed", "name": "a"})
    assert "look at them first" in wrong_at(other.text, "kind")
    assert pages.send("/connectors/new", {"do": "save", "name": "a"}).status_code == 422
    unknown = pages.send("/connectors/new", {"do": "save", "name": "a", "kind": "zz", "shown_kind": "zz"})
    assert unknown.status_code == 422
    form = new(pages, "webhook", **{"name": "a", "config.conn_id": "secret"})
    refused = pages.send("/connectors/new", form)
    assert refused.status_code == 403
    assert 'role="alert"' in refused.text
    assert 'value="secret"' in refused.text
    assert rows(db) == []


def made(pages: Pages) -> int:
    body = {
        "name": "shop",
        "kind": "rest",
        "config": {"base_url": "https://example.com/", "paginator": {"type": "offset", "limit": 100}, "method": "POST"},
        "every": "90s",
        "notify": {"kind": "webhook", "payload": {"url": "https://example.com/n"}},
        "external_id": "x",
        "alert_after": 3,
    }
    return int(ok(pages.api.post("/connectors", body), 201)["id"])


def test_what_is_saved_unchanged_is_unchanged(pages: Pages, db: DictConnection) -> None:
    """The form of a connector shows all of it: saved as it is, no column moves; on and off duty stay as they are."""
    path = f"/connectors/{made(pages)}"
    ok(pages.api.post(f"{path}/pause"))
    before = db.execute("select * from connector").fetchall()
    page = pages.get(f"{path}/edit").text
    assert "shop is saved." in pages.send(f"{path}/edit", {**filled_in(page), "do": "save"}).text
    assert db.execute("select * from connector").fetchall() == before


def test_a_change_is_saved(pages: Pages, db: DictConnection) -> None:
    """What was changed is as it was typed; what was emptied has its default."""
    path = f"/connectors/{made(pages)}/edit"
    form = filled_in(pages.get(path).text)
    pages.send(path, {**form, "do": "save", "name": "shop 2", "every": "", "config.path": "v2", "config.paginator": ""})
    expected = {"base_url": "https://example.com/", "method": "POST", "path": "v2"}
    assert [(row["name"], row["every"], row["config"]) for row in rows(db)] == [("shop 2", None, expected)]


def test_a_lost_update_is_shown_and_can_be_saved_once_more(pages: Pages, db: DictConnection) -> None:
    """Who saves what somebody else has changed since sees both, and decides."""
    connector = made(pages)
    path = f"/connectors/{connector}/edit"
    form = {**filled_in(pages.get(path).text), "do": "save", "name": "mine"}
    ok(pages.api.patch(f"/connectors/{connector}", {"name": "theirs"}))
    page = pages.send(path, form)
    assert page.status_code == 412
    assert "Somebody has changed it meanwhile" in page.text
    assert "theirs" in page.text
    assert rows(db)[0]["name"] == "theirs"
    assert "mine is saved." in pages.send(path, {**filled_in(page.text), "do": "save"}).text
    assert rows(db)[0]["name"] == "mine"


def test_others_connectors_are_not_edited(pages: Pages, db: DictConnection) -> None:
    """They are not there, neither to look at nor to save."""
    path = f"/connectors/{made(pages)}/edit"
    form = filled_in(pages.get(path).text)
    assert pages.as_(BOB).get(path).status_code == 404
    assert pages.as_(BOB).send(path, {**form, "do": "save", "name": "bob's"}).status_code == 404
    assert pages.get("/connectors/x/edit").status_code == 422
    assert rows(db)[0]["name"] == "shop"


def test_a_preview_shows_the_records_and_stores_nothing(pages: Pages, db: DictConnection) -> None:
    """Records, requests and warnings, with the form as it was filled in; it needs no name yet."""

    def answer(method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        return 200, [{"id": number, "title": f"<b>{number}</b>"} for number in range(7)]

    with answering(answer) as url:
        form = new(pages, "rest", **{"do": "preview", "config.base_url": url, "config.primary_key": "nowhere"})
        page = pages.send("/connectors/new", form)
    assert page.status_code == 200
    for part in ("7 records, the first 5 of them", "&lt;b&gt;4&lt;/b&gt;", f'value="{url}"', f"GET {url}", "nowhere"):
        assert part in page.text
    assert 'class="notice warn"' in page.text
    assert rows(db) == []


@pytest.mark.parametrize(
    ("rest", "told"),
    [({}, "There is no more at present"), ({"next": "/more"}, "There may be more: a pull goes on until there is none")],
)
def test_a_preview_tells_whether_there_is_more(pages: Pages, rest: dict[str, str], told: str) -> None:
    """A source of a single page has given all; of one that leads on to another page, that is not known."""
    with answering(lambda *_: (200, {"items": [{"id": 1}], **rest})) as url:
        page = pages.send("/connectors/new", new(pages, "rest", **{"do": "preview", "config.base_url": url}))
    assert told in page.text


def test_a_preview_that_fails_says_why(pages: Pages, db: DictConnection) -> None:
    """What the source answers, or what is wrong with the fields, which come back filled in."""
    with answering(lambda *_: (404, {"error": "no such thing"})) as url:
        page = pages.send("/connectors/new", new(pages, "rest", **{"do": "preview", "config.base_url": url}))
    assert page.status_code == 422
    preview = page.text.partition('id="preview"')[2]
    assert "404" in preview
    assert "It brought nothing" not in preview
    assert f"<code>GET {url}</code>: 404" in preview
    assert f'value="{url}"' in page.text
    wrong = pages.send("/connectors/new", new(pages, "rest", do="preview"))
    assert wrong.status_code == 422
    assert wrong_at(wrong.text, "config.base_url") == "Field required"
    unread = pages.send("/connectors/new", new(pages, "rest", **{"do": "preview", "config.json": "{"}))
    assert wrong_at(unread.text, "config.json")
    assert "It was not tried" in unread.text
    assert rows(db) == []


def test_a_connector_that_is_there_is_previewed(pages: Pages, db: DictConnection) -> None:
    """As it is filled in, and not as it is stored, which stays as it is."""
    path = f"/connectors/{made(pages)}/edit"
    with answering(lambda *_: (200, [{"id": 1}])) as url:
        form = {**filled_in(pages.get(path).text), "do": "preview", "config.base_url": url, "config.method": "GET"}
        page = pages.send(path, form | {"config.paginator": ""})
    assert "1 record</h3>" in page.text
    assert rows(db)[0]["config"]["base_url"] == "https://example.com/"


def test_a_row_that_cannot_run_can_be_mended(pages: Pages, db: DictConnection) -> None:
    """One that plain SQL has made with a kind that nobody knows has its form, and another kind can be chosen."""
    made(pages)
    db.execute("update connector set kind = 'zz', config = '{\"odd\": [1]}', error = 'unknown kind'")
    path = "/connectors/1/edit"
    page = pages.get(path)
    assert page.status_code == 200
    assert "There is no such kind" in page.text
    form = {**filled_in(page.text), "kind": "feed", "do": "show"}
    form = filled_in(pages.send(path, form).text)
    page = pages.send(path, {**form, "do": "save", "config.url": "https://example.com/feed.xml"})
    assert "shop is saved." in page.text
    assert rows(db)[0]["config"] == {"url": "https://example.com/feed.xml"}

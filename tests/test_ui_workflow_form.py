"""The form of a workflow: what it creates and saves, and what comes back where it is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, ok
from tests.html_form import form_of, wrong_at
from tests.log_rows import add_connector, append
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/hook"


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def shop(db: DictConnection) -> int:
    """Alice's connector, with a record."""
    connector_id = add_connector(db, "shop", owner="alice")
    append(db, connector_id, [{"title": "<first>"}])
    return connector_id


def filled_in(page: str) -> dict[str, Any]:
    return {**form_of(page, "workflow-form")}


def rows(db: DictConnection) -> list[dict[str, Any]]:
    return db.execute("select name, owner, kind, payload, every::text, on_error from workflow order by id").fetchall()


def new(pages: Pages, kind: str, **fields: Any) -> dict[str, Any]:
    """The new form of a kind, filled in."""
    page = pages.get("/workflows/new", kind=kind, connector="shop").text
    return {**filled_in(page), "do": "save", "name": "crm", **fields}


def test_a_workflow_needs_a_connector(pages: Pages, db: DictConnection) -> None:
    """Without one there is the way to it; who only looks gets no form."""
    assert "A connector comes first" in pages.get("/workflows/new").text
    add_connector(db, "of bob", owner="bob")
    assert "A connector comes first" in pages.get("/workflows/new").text
    assert pages.as_(VIEWER).get("/workflows/new").status_code == 403
    assert pages.as_(VIEWER).send("/workflows/new", {"do": "save"}).status_code == 403


def test_a_new_form_begins_with_the_kinds_and_shows_a_record(pages: Pages, shop: int) -> None:
    """Without a kind there is what each does; with one its fields; of the connector the newest record."""
    page = pages.get("/workflows/new").text
    assert "payload.url" not in page
    assert "&lt;first&gt;" not in page
    shown = pages.send("/workflows/new", {"do": "show", "kind": "webhook", "connector": "shop", "name": "kept"}).text
    assert 'name="payload.url"' in shown
    assert 'value="kept"' in shown
    assert "&lt;first&gt;" in shown
    assert "Where <code>body</code> is left empty, the record itself is sent." in shown
    assert "&lt;first&gt;" in pages.get("/workflows/new", connector="shop").text


def test_a_filled_in_form_is_a_workflow(pages: Pages, db: DictConnection, shop: int) -> None:
    """It belongs to the caller, and its page says so; sent twice, it is there once; templates stay as they are."""
    body = '{"title": "{{ record.payload.title }}"}'
    form = new(pages, "webhook", **{"payload.url": URL, "payload.body": body}, every="10s", on_error="stop")
    assert "crm is created." in pages.send("/workflows/new", form).text
    payload = {"url": URL, "body": {"title": "{{ record.payload.title }}"}}
    row = {"name": "crm", "owner": "alice", "kind": "webhook", "every": "00:00:10", "on_error": "stop"}
    assert rows(db) == [{**row, "payload": payload}]
    assert pages.send("/workflows/new", form).status_code == 200
    assert len(rows(db)) == 1


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"name": ""}, "name", "Field required"),
        ({"name": "a\0"}, "name", "NUL"),
        ({"connector": ""}, "connector", "choose one"),
        ({"connector": "zz"}, "connector", "there is no connector named 'zz'"),
        ({"payload.url": ""}, "payload.url", "Field required"),
        ({"payload.body": "{{ x"}, "payload.body", "end of template"),
        ({"every": "soon"}, "every", ""),
        ({"every": "0.1s"}, "every", "write at least 1s"),
        ({"filter": "$$"}, "filter", "is not a path"),
        ({"start_from": "zz"}, "start_from", "is not an instant"),
        ({"started_at": "2026-11-21"}, "started_at", "write an instant with its offset"),
        ({"retries": "many"}, "retries", ""),
        ({"no_retry_on": "404, x"}, "no_retry_on", ""),
        ({"batch_size": "0"}, "batch_size", ""),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    pages: Pages, db: DictConnection, shop: int, fields: dict[str, str], place: str, said: str
) -> None:
    """The form comes back as it was filled in, with the reason, and nothing is stored."""
    form = new(pages, "webhook", **{"payload.url": URL, "payload.headers": "X-Kept: <kept>"})
    page = pages.send("/workflows/new", form | fields)
    assert page.status_code == 422
    assert wrong_at(page.text, place)
    assert said in wrong_at(page.text, place)
    assert "X-Kept: &lt;kept&gt;" in page.text
    assert rows(db) == []


def test_a_connector_of_somebody_else_is_not_there(pages: Pages, db: DictConnection, shop: int) -> None:
    """Bob can neither choose Alice's connector, nor read its records through the form, nor use it."""
    add_connector(db, "of bob", owner="bob")
    bob = pages.as_(BOB)
    page = bob.get("/workflows/new", kind="webhook", connector="shop").text
    assert "&lt;first&gt;" not in page
    form = {**filled_in(page), "do": "save", "name": "x", "payload.url": URL, "connector": "shop"}
    assert "there is no connector" in wrong_at(bob.send("/workflows/new", form).text, "connector")
    assert rows(db) == []


def test_an_admin_chooses_among_connectors_of_one_name(pages: Pages, db: DictConnection, shop: int) -> None:
    """Each says whose it is; a name that is written and that several have is refused beside the field."""
    bobs, mine = add_connector(db, "shop", owner="bob"), add_connector(db, "news", owner="admin")
    admin = pages.as_(ADMIN)
    page = admin.get("/workflows/new", kind="webhook", connector=bobs).text
    for connector, label in ((shop, "shop (alice)"), (mine, "news")):
        assert f'<option value="{connector}">{label}</option>' in page
    assert f'<option value="{bobs}" selected>shop (bob)</option>' in page
    form = {**filled_in(page), "do": "save", "name": "crm", "payload.url": URL}
    unclear = admin.send("/workflows/new", form | {"connector": "shop"})
    assert f"say by connector_id: {shop} (alice), {bobs} (bob)" in wrong_at(unclear.text, "connector")
    assert "there is no connector with id 999" in wrong_at(
        admin.send("/workflows/new", form | {"connector": "999"}).text, "connector"
    )
    assert admin.send("/workflows/new", form | {"connector": "a\0"}).status_code == 422
    assert rows(db) == []
    assert "crm is created." in admin.send("/workflows/new", form).text
    assert db.execute("select connector_id, owner from workflow").fetchall() == [
        {"connector_id": bobs, "owner": "admin"}
    ]


def made(pages: Pages) -> int:
    body = {
        "name": "crm",
        "connector": "shop",
        "kind": "webhook",
        "payload": {"url": URL, "headers": {"X-A": "b"}, "body": ["{{ record.key }}"]},
        "every": "90s",
        "started_at": "2026-11-21T09:00:00.123456Z",
        "start_from": "beginning",
        "no_retry_on": [404, 410],
        "retry_jitter": 0.25,
        "external_id": "x",
    }
    return int(ok(pages.api.post("/workflows", body), 201)["id"])


def test_what_is_saved_unchanged_is_unchanged(pages: Pages, db: DictConnection, shop: int) -> None:
    """The form of a workflow shows all of it: saved as it is, no column moves; on and off duty stay as they are."""
    path = f"/workflows/{made(pages)}"
    ok(pages.api.post(f"{path}/pause", {"until": "2100-01-01T00:00:00Z"}))
    before = db.execute("select * from workflow").fetchall()
    page = pages.get(f"{path}/edit").text
    assert "cannot change" in page
    assert "crm is saved." in pages.send(f"{path}/edit", {**filled_in(page), "do": "save"}).text
    assert db.execute("select * from workflow").fetchall() == before


def test_a_change_is_saved(pages: Pages, db: DictConnection, shop: int) -> None:
    """What was changed is as it was typed, another kind too; the connector stays, whatever is sent."""
    path = f"/workflows/{made(pages)}/edit"
    form = filled_in(pages.get(path).text)
    pages.send(path, {**form, "do": "save", "every": "2m", "payload.body": "", "connector": "other"})
    assert [(row["every"], row["payload"]) for row in rows(db)] == [("00:02:00", {"url": URL, "headers": {"X-A": "b"}})]
    form = filled_in(pages.send(path, {**filled_in(pages.get(path).text), "do": "show", "kind": "ping"}).text)
    assert "crm is saved." in pages.send(path, {**form, "do": "save"}).text
    assert [(row["kind"], row["payload"]["url"]) for row in rows(db)] == [("ping", URL)]


def test_a_lost_update_is_shown_and_can_be_saved_once_more(pages: Pages, db: DictConnection, shop: int) -> None:
    """Who saves what somebody else has changed since sees both, and decides."""
    workflow = made(pages)
    path = f"/workflows/{workflow}/edit"
    form = {**filled_in(pages.get(path).text), "do": "save", "name": "mine"}
    ok(pages.api.patch(f"/workflows/{workflow}", {"name": "theirs"}))
    page = pages.send(path, form)
    assert page.status_code == 412
    assert "Somebody has changed it meanwhile" in page.text
    assert "theirs" in page.text
    assert rows(db)[0]["name"] == "theirs"
    assert "mine is saved." in pages.send(path, {**filled_in(page.text), "do": "save"}).text
    assert rows(db)[0]["name"] == "mine"


def test_others_workflows_are_not_edited(pages: Pages, db: DictConnection, shop: int) -> None:
    """They are not there, neither to look at nor to save."""
    path = f"/workflows/{made(pages)}/edit"
    form = filled_in(pages.get(path).text)
    assert pages.as_(BOB).get(path).status_code == 404
    assert pages.as_(BOB).send(path, {**form, "do": "save", "name": "bob's"}).status_code == 404
    assert pages.get("/workflows/x/edit").status_code == 422
    assert rows(db)[0]["name"] == "crm"


def test_a_row_that_cannot_run_can_be_mended(pages: Pages, db: DictConnection, shop: int) -> None:
    """One that plain SQL has made with a kind that nobody knows has its form, and another kind can be chosen."""
    path = f"/workflows/{made(pages)}/edit"
    db.execute("update workflow set kind = 'zz', payload = '{\"odd\": [1]}', error = 'unknown kind'")
    page = pages.get(path).text
    assert "There is no such kind" in page
    form = filled_in(pages.send(path, {**filled_in(page), "kind": "ping", "do": "show"}).text)
    assert "crm is saved." in pages.send(path, {**form, "do": "save", "payload.url": URL}).text

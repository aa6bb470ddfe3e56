"""A connector from its preview to its records, and a workflow whose lag falls, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from include.store.db import DictConnection
from tests.browser import Watched, dashboard_of
from tests.json_server import answering
from tests.log_rows import add_connector, add_workflow, append
from tests.workflow_commands import bury

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

URL = "https://example.com/hook"


@pytest.fixture
def watched(browser: Browser, database_url: str) -> Iterator[Watched]:
    with dashboard_of(database_url, egress_allow=(ip_network("127.0.0.0/8"),)) as url:
        made = Watched(browser, url, caller="alice")
        yield made
        made.close()


def test_a_connector_is_previewed_and_saved(watched: Watched, db: DictConnection) -> None:
    """The preview shows records beside the form, which stays filled in and where it is; then it is saved."""
    page = watched.page("/connectors/new")
    page.get_by_label("Name").fill("shop")
    page.get_by_label("Kind").select_option("rest")
    page.get_by_label("Base URL").fill("http://127.0.0.1:1/")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("127.0.0.1")
    watched.expect_refusal(422)
    with answering(lambda *_: (200, [{"id": 17, "title": "first order"}])) as url:
        page.get_by_label("Base URL").fill(url)
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#preview")).to_contain_text("first order")
    expect(page.get_by_label("Name")).to_have_value("shop")
    assert db.execute("select name from connector").fetchall() == []
    page.get_by_role("button", name="Create the connector").click()
    expect(page.locator("#said")).to_contain_text("shop is created.")
    assert page.url.endswith("/connectors/1")
    assert db.execute("select name, owner from connector").fetchall() == [{"name": "shop", "owner": "alice"}]
    assert watched.wrong == []


def test_what_is_typed_during_a_preview_stays(watched: Watched, db: DictConnection) -> None:
    """A source may take its time: meanwhile one fills in the form, opens a part of it, and keeps the focus."""
    go_on = threading.Event()

    def answer(*_: Any) -> tuple[int, Any]:
        assert go_on.wait(60)
        return 200, [{"id": 17}]

    with answering(answer) as url:
        page = watched.page("/connectors/new?kind=rest")
        page.get_by_label("Base URL").fill(url)
        page.get_by_role("button", name="Preview").click()
        expect(page.get_by_role("button", name="Preview")).to_be_focused()
        page.get_by_label("Name").fill("typed meanwhile")
        page.get_by_text("After failures").click()
        page.get_by_label("Alert after").fill("9")
        go_on.set()
        expect(page.locator("#preview")).to_contain_text("17")
    expect(page.get_by_label("Name")).to_have_value("typed meanwhile")
    expect(page.get_by_label("Alert after")).to_be_visible()
    expect(page.get_by_label("Alert after")).to_be_focused()
    page.get_by_label("Base URL").fill("nowhere")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("link", name="Base URL: write a URL").click()
    expect(page.get_by_label("Base URL")).to_be_focused()
    watched.expect_refusal(422)
    assert watched.wrong == []


def test_long_names_do_not_widen_a_page(watched: Watched, db: DictConnection) -> None:
    """Names without a blank, of connectors and of workflows, are broken where a phone has no more room."""
    name = "n" * 200
    connector = add_connector(db, name, owner="alice")
    workflow = add_workflow(db, connector, URL, name, owner="alice")
    append(db, connector, [{"text": "x" * 1000}])
    for path in (
        *("/connectors", f"/connectors/{connector}", f"/records?connector={connector}", f"/records/{connector}/1"),
        *("/workflows", f"/workflows/{workflow}", f"/workflows/{workflow}/rewind?to=0", f"/workflows/{workflow}/edit"),
        f"/workflows/new?kind=webhook&connector={name}",
    ):
        page = watched.page(path)
        page.set_viewport_size({"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        page.close()


def test_a_lag_falls_while_one_watches(watched: Watched, db: DictConnection) -> None:
    """The part that tells how far a workflow is fetches itself again, and measures its throughput."""
    shop = add_connector(db, "shop", owner="alice")
    crm = add_workflow(db, shop, URL, "crm", owner="alice")
    append(db, shop, [{"n": number} for number in range(10)])
    page = watched.page(f"/workflows/{crm}")
    lag = page.locator(".tile", has_text="Lag in records")
    expect(lag).to_contain_text("10")
    db.execute("update workflow_progress set position = 7, processed = 7")
    expect(lag).to_contain_text("3")
    expect(page.locator("live-rate")).not_to_have_text("–")
    db.execute("update workflow_progress set position = 10, processed = 10")
    expect(lag).to_contain_text("it has caught up")
    assert watched.wrong == []


def test_dead_letters_are_ticked_and_discarded(watched: Watched, db: DictConnection) -> None:
    """Nothing happens before the question is answered; then the page comes back, with what has been done."""
    shop = add_connector(db, "shop", owner="alice")
    crm = add_workflow(db, shop, URL, "crm", owner="alice")
    append(db, shop, [{"n": number} for number in range(10)])
    db.execute("update workflow_progress set position = 10, processed = 8")
    for position in (2, 3):
        bury(db, crm, position)
    page = watched.page(f"/workflows/{crm}")
    page.get_by_label("Tick record 2").check()
    page.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("#said")).to_contain_text("discarded")
    expect(page.get_by_label("Tick record 3")).to_be_visible()
    expect(page.get_by_label("Tick record 2")).to_have_count(0)
    page.get_by_role("button", name="To the beginning").click()
    expect(page.locator("main")).to_contain_text("the records 1 to 10")
    page.get_by_role("button", name="Rewind").click()
    expect(page.locator("#said")).to_contain_text("crm is back at 0: 10 records will be processed again.")
    assert db.execute("select position from workflow_progress").fetchall() == [{"position": 0}]
    assert watched.wrong == []

"""Timers in a real browser: a countdown that goes on, fields that follow the choice, a question before the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from include.store.db import DictConnection
from tests.browser import Watched, dashboard_of, keep_picture

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = pytest.mark.e2e


@pytest.fixture
def watched(browser: Browser, database_url: str) -> Iterator[Watched]:
    with dashboard_of(database_url) as url:
        looking = Watched(browser, url, caller="alice")
        yield looking
        looking.close()


def test_a_timer_is_set_counts_down_and_is_cancelled(watched: Watched, db: DictConnection) -> None:
    """Set by the form, it is on a page that counts down; cancelled after a question, it says so."""
    page = watched.page("/timers")
    page.get_by_role("link", name="Set a timer").click()
    expect(page.get_by_label("Time zone")).to_be_hidden()
    page.get_by_label("At an instant").check()
    expect(page.get_by_label("Time zone")).to_be_visible()
    expect(page.get_by_label("Hours")).to_be_hidden()
    page.get_by_label("So long from now").check()
    page.get_by_label("Hours").fill("2")
    page.get_by_label("URL").fill("https://example.com/hook")
    keep_picture(page, "timer-new")
    page.get_by_role("button", name="Set the timer").click()
    expect(page.locator("#said")).to_contain_text("is set.")
    countdown = page.locator("#timer time[data-relative]")
    expect(countdown).to_contain_text("in 1h 59m")
    assert page.url.partition("/timers/")[2].isdecimal()
    keep_picture(page, "timer")
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.locator("h1")).to_contain_text("cancelled")
    assert db.execute("select status, hours from timer").fetchall() == [{"status": "cancelled", "hours": 2}]
    assert watched.wrong == []


def test_what_is_wrong_leaves_the_form_filled_in(watched: Watched) -> None:
    """Errors are beside their fields, and nothing that was typed is lost."""
    page = watched.page("/timers/new")
    page.get_by_label("URL").fill("nonsense")
    page.get_by_label("Minutes").fill("5")
    page.get_by_role("button", name="Set the timer").click()
    expect(page.locator("#url-wrong")).to_be_visible()
    expect(page.get_by_label("Minutes")).to_have_value("5")

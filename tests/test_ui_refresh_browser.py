"""Parts of pages that fetch themselves again: when they do, when they do not, and what they leave alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from include.store.db import DictConnection
from tests.browser import Watched
from tests.test_store import add_job

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]


def refreshed(page: Page, path: str) -> list[int]:
    """The statuses of what the page fetches again of itself, from now on."""
    seen: list[int] = []
    page.on("response", lambda answer: seen.append(answer.status) if answer.url.endswith(path) else None)
    return seen


def let_pass(page: Page, seconds: int) -> None:
    """Time passes for the page's clock, and what it has asked for meanwhile comes back."""
    for _ in range(seconds):
        page.clock.run_for(1000)
        page.wait_for_load_state("networkidle")


def opened(watched: Watched, path: str) -> Page:
    page = watched.page("/audit")
    page.clock.install()
    page.goto(watched.url + path)
    return page


def test_nothing_is_fetched_for_a_tab_that_nobody_sees(watched: Watched, db: DictConnection) -> None:
    """Hidden, a page is quiet; seen again, it goes on."""
    add_job(db, "mine", every="1 hour")
    page = opened(watched, "/")
    seen = refreshed(page, "/ui/")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    let_pass(page, 20)
    assert seen == []
    page.evaluate("delete document.hidden")
    let_pass(page, 20)
    assert 200 in seen


def test_what_is_due_is_never_told_as_past(watched: Watched, db: DictConnection) -> None:
    """A list that does not fetch itself again says of a fast job that it is due now, however long it is looked at."""
    add_job(db, "fast", every="2 seconds")
    page = opened(watched, "/jobs")
    due = page.locator("td time[data-relative='due']")
    let_pass(page, 20)
    expect(due).to_have_text("now")


def test_what_has_been_deleted_is_said_once(watched: Watched, db: DictConnection) -> None:
    """A page whose row somebody deletes says so, and asks no more."""
    job = add_job(db, "mine", every="1 hour")
    page = opened(watched, f"/jobs/{job}")
    seen = refreshed(page, f"/jobs/{job}")
    db.execute("delete from job where id = %s", (job,))
    let_pass(page, 30)
    expect(page.locator("#said")).to_contain_text("there is no job")
    watched.expect_refusal(404)
    assert seen == [404]


def test_what_one_is_doing_is_left_alone(watched: Watched, db: DictConnection) -> None:
    """A button keeps the focus, and what is open stays open, while the page around it becomes another."""
    job = add_job(db, "mine", every="1 hour", owner="admin")
    page = opened(watched, f"/jobs/{job}")
    page.get_by_text("Pause until", exact=True).click()
    page.get_by_label("Back on duty (UTC)").fill("2090-01-01T09:00")
    page.get_by_role("button", name="Run now").focus()
    db.execute("update job set error = 'payload.url: Field required' where id = %s", (job,))
    let_pass(page, 20)
    expect(page.locator("#history")).to_contain_text("Field required")
    expect(page.get_by_label("Back on duty (UTC)")).to_have_value("2090-01-01T09:00")
    expect(page.get_by_role("button", name="Run now")).to_be_focused()

"""The pages of a job and of dead letters in a browser: what is done there by scripts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from playwright.sync_api import Page, expect

from include.store.db import DictConnection
from tests.browser import Watched, keep_picture
from tests.job_commands import add_execution
from tests.test_store import add_job

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

NOW = datetime.now(timezone.utc).replace(microsecond=0)
MINUTE = timedelta(minutes=1)


def is_narrow_enough(page: Page) -> bool:
    page.set_viewport_size({"width": 360, "height": 740})
    return bool(page.evaluate("document.documentElement.scrollWidth <= 360"))


def test_a_job_is_paused_and_explained_in_place(watched: Watched, db: DictConnection) -> None:
    """A pause that makes no sense comes back beside its field; one that does is said; why is answered in its place."""
    job = add_job(db, "nightly")
    for number in range(1, 70):
        add_execution(db, job, NOW - number * MINUTE, "failed" if number < 3 else "success", error="HTTP 500")
    page = watched.page(f"/jobs/{job}")
    page.get_by_text("Pause until", exact=True).click()
    page.get_by_label("Back on duty (UTC)").fill("2020-01-01T09:00")
    page.get_by_role("button", name="Pause until then").click()
    expect(page.get_by_text("not in the future")).to_be_visible()
    watched.expect_refusal(422)
    page.get_by_label("Back on duty (UTC)").fill("2090-01-01T09:00")
    page.get_by_role("button", name="Pause until then").click()
    expect(page.get_by_text("nightly is paused until 2090-01-01 09:00:00 UTC.")).to_be_visible()
    page.get_by_label("Due at (UTC)").fill(f"{NOW - 2 * MINUTE:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#why .answer")).to_contain_text("it failed")
    expect(page.get_by_text("nightly is paused until")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")
    keep_picture(page, "job")
    assert is_narrow_enough(page)


def test_an_execution_shows_by_itself(watched: Watched, db: DictConnection) -> None:
    """What happens while somebody looks comes into the strip and the table without a reload."""
    job = add_job(db, "nightly")
    page = watched.page(f"/jobs/{job}")
    expect(page.get_by_text("It has not run yet.")).to_be_visible()
    add_execution(db, job, NOW)
    expect(page.locator("ol.strip a")).to_have_count(1, timeout=15_000)
    page.locator("ol.strip a").click()
    expect(page.get_by_role("heading", name="Attempt 1")).to_be_visible()
    keep_picture(page, "execution")
    assert is_narrow_enough(page)


def test_failures_are_ticked_and_redriven(watched: Watched, db: DictConnection) -> None:
    """All boxes are ticked by one; the button acts on them and says so; to discard them, one is asked first."""
    job = add_job(db, "nightly")
    for number in (1, 2):
        add_execution(db, job, NOW - number * MINUTE, "failed", error="HTTP 500")
    page = watched.page("/dead-letters")
    keep_picture(page, "dead-letters")
    assert is_narrow_enough(page)
    page.get_by_label("Tick all of this page").check()
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(page.get_by_text("2 are sent again.")).to_be_visible()
    page.get_by_label("Tick all of this page").check()
    page.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    assert db.execute("select 1 from execution where discarded_at is not null").fetchall() == []
    page.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("2 are discarded.")).to_be_visible()

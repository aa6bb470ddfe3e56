"""The schedule of a form in a real browser: its fields follow the choice, and the next times what is typed."""

from __future__ import annotations

import json
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


def test_the_next_times_follow_what_is_typed(watched: Watched) -> None:
    """Only the fields of the chosen mode are there, and the next five times are told as one types."""
    page = watched.page("/jobs/new")
    part = page.locator("fieldset.schedule")
    fires = part.locator(".fires li")
    expect(part).to_contain_text("Every 5 min")
    expect(fires).to_have_count(5)
    page.get_by_label("Weekly").check()
    expect(page.get_by_label("Every", exact=True)).to_be_hidden()
    page.get_by_label("Friday").check()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    expect(part).to_contain_text("At 09:00, on Monday and Friday, on the clock of Europe/Berlin")
    expect(fires.first).to_contain_text("09:00:00 CE")
    expect(fires.first.locator("time")).to_contain_text("in ")
    keep_picture(page, "schedule")
    page.get_by_role("radio", name="Cron expression").check()
    page.locator("#cron").fill("61 * * * *")
    expect(part.locator(".next")).to_contain_text("the minute cannot be '61'")
    assert watched.wrong == []


def test_what_nobody_touches_is_saved_as_it_was(watched: Watched, db: DictConnection) -> None:
    """A browser keeps what it cannot show: microseconds, and the second of two passes of an hour."""
    schedule = ("2099-10-25T01:30:00.123456+00:00", "2030-10-27T00:30:00.000001+00:00")
    db.execute(
        "insert into job (name, owner, kind, payload, timezone, run_at, starts_at)"
        " values ('once', 'alice', 'ping', %s, 'Europe/Berlin', %s, %s)",
        (json.dumps({"url": "https://example.com/"}), *schedule),
    )
    read = "select run_at, starts_at, ends_at, cron, every, timezone from job"
    [before] = db.execute(read).fetchall()
    page = watched.page("/jobs/1/edit")
    page.get_by_role("textbox", name="Name", exact=False).first.fill("renamed")
    page.get_by_role("button", name="Save").first.click()
    expect(page.locator("#said")).to_contain_text("is saved")
    assert db.execute(read).fetchall() == [before]
    assert db.execute("select name from job").fetchall() == [{"name": "renamed"}]
    assert watched.wrong == []


def test_which_of_two_is_asked_before_saving(watched: Watched, db: DictConnection) -> None:
    """A wall time that the clocks show twice asks which is meant as soon as it is typed, and the next times follow."""
    page = watched.page("/jobs/new")
    page.get_by_role("radio", name="Once").check()
    page.get_by_label("Time zone").fill("Europe/Berlin")
    which = page.get_by_label("Once at: the clocks go back, which of the two")
    expect(which).to_have_count(0)
    page.get_by_label("Once at", exact=True).fill("2030-10-27T02:30")
    expect(which).to_have_count(1)
    expect(page.locator("fieldset.schedule .next")).to_contain_text("twice on that day; choose which of the two")
    which.select_option(label="the second: 02:30 CET (UTC+01:00)")
    expect(page.locator("fieldset.schedule .fires li")).to_contain_text("02:30:00 CET (UTC+01:00)")
    expect(which).to_have_value("second")
    page.get_by_label("Once at", exact=True).fill("2030-10-27T04:30")
    expect(which).to_have_count(0)
    assert watched.wrong == []

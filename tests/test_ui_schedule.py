"""What a schedule means, told while people fill in a form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from include.ui.cron_words import reading
from tests.api_client import ALICE, VIEWER
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def told(pages: Pages, **form: Any) -> str:
    response = pages.send("/schedule/next", {"timezone": "UTC", **form}, HX_Request="true")
    assert response.status_code == 200
    assert "<html" not in response.text
    return response.text


def test_the_next_five_times_are_on_the_clock_of_the_row(pages: Pages, db: DictConnection) -> None:
    """The schedule in words, and five times with their offset and a countdown; nothing is stored."""
    form = {"schedule": "weekly", "weekly_on": ["1", "5"], "weekly_at": "03:00", "timezone": "Asia/Kathmandu"}
    said = told(pages.as_(ALICE), **form)
    assert "At 03:00, on Monday and Friday, on the clock of Asia/Kathmandu" in said
    assert said.count("<li>") == 5
    assert said.count("03:00:00</span>") == 5
    assert said.count("UTC+05:45") == 5
    assert said.count("data-relative") == 5
    [used] = db.execute("select is_called from job_id_seq").fetchall()
    assert used == {"is_called": False}


def test_an_abbreviation_names_the_offset(pages: Pages) -> None:
    """Zones with a name for it say whether it is winter or summer."""
    said = told(pages, schedule="daily", daily_at="09:00", timezone="Europe/Berlin", starts_at="2030-07-01T00:00")
    assert "Mon 2030-07-01 09:00:00" in said
    assert "CEST (UTC+02:00)" in said


def test_the_rest_of_the_form_does_not_matter(pages: Pages) -> None:
    """A name that is taken, or fields that are still wrong, stop nobody from seeing when it would fire."""
    said = told(pages, schedule="every", every="90", every_unit="seconds", name="", kind="?", timeout="never")
    assert "Every 90 s" in said
    assert "spread" in said
    assert said.count("<li>") == 5


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"schedule": "cron", "cron": "61 * * * *"}, "the minute cannot be"),
        ({"schedule": "cron", "cron": "0 0 30 2 *"}, "never fires"),
        ({"schedule": "cron", "cron": "\0"}, "NUL"),
        ({"schedule": "every", "every": "0.5", "every_unit": "seconds"}, "Every: write at least 1s"),
        ({"schedule": "every", "every": "x", "every_unit": "seconds"}, "Every: write a number"),
        ({"schedule": "once", "run_at": "2001-01-01T00:00"}, "Once at: not in the future"),
        ({"schedule": "daily", "daily_at": "09:00", "timezone": "Mars/Base"}, "unknown time zone"),
        ({"schedule": "daily", "daily_at": "09:00", "ends_at": "2001-01-01T00:00"}, "it never fires again"),
        ({"schedule": "by_hand"}, "Run now"),
        ({}, "choose when it is due"),
    ],
)
def test_what_is_wrong_is_told_in_words(pages: Pages, form: dict[str, Any], said: str) -> None:
    """What cannot be read, what never fires, and what has passed is said in the part itself."""
    assert said in told(pages, **form)


def test_text_is_no_html(pages: Pages) -> None:
    """What people write is told as they have written it."""
    assert "<script>" not in told(pages, schedule="cron", cron="<script>")


def test_it_is_told_whoever_fills_in_the_form(pages: Pages, db: DictConnection) -> None:
    """Neither a quota that is full nor a kind for admins keeps anybody from it; a login is needed, as everywhere."""
    db.execute("insert into quota (owner, max_rows) values ('alice', 0)")
    for caller in (ALICE, VIEWER):
        assert told(pages.as_(caller), schedule="daily", daily_at="09:00").count("<li>") == 5
    assert pages.as_(None).send("/schedule/next", {"schedule": "by_hand"}, follow=False).status_code == 303


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 3 * * 1,5", "At 03:00, on Monday and Friday"),
        ("*/5 9-17 * * 1-5", "Every 5 minutes, between 09:00 and 17:59, Monday through Friday"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("0 3 L * *", "At 03:00, on the last day of the month"),
        ("0 3 l * *", "At 03:00, on the last day of the month"),
        ("0 3 * * L5", "At 03:00, on the last Friday of the month"),
        ("0 3 * * mon#2", "At 03:00, on the second Monday of the month"),
        ("0 3 15W * *", "At 03:00, on the weekday nearest day 15 of the month"),
        ("0 0 13 * fri", "At 00:00, on day 13 of the month, or on Friday"),
        ("@daily", "At 00:00"),
        (" @Weekly ", "At 00:00, on Sunday"),
        ("0 0 1,15 * 1-5", None),  # either is enough, which the words would not say
        ("*/7 * * * *", None),  # each hour begins anew
        ("0 3 */2 * *", None),  # each month, too
        ("0 3 * * 1#1,3#2", None),
        ("0 3 1W,15 * *", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_cron_is_read_aloud_where_the_words_are_true(cron: str, said: str | None) -> None:
    """Expressions are said in words; what words would say wrongly stays an expression."""
    assert reading(cron) == said

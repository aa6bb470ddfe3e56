"""All that is wrong with a form is said in one round: what cannot be read, what is refused, and what kinds want."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.log_rows import add_connector
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

SCHEDULE = {"schedule": "every", "every": "5", "every_unit": "minutes", "timezone": "UTC"}
PING = {"name": "mine", "kind": "ping", "shown_kind": "ping", "payload.url": "https://example.com/"}


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as opened:
        yield opened


def said(pages: Pages, path: str, form: dict[str, Any]) -> dict[str, str]:
    """What the form that comes back says at its top: by the field that it leads to."""
    answer = pages.send(path, form)
    assert answer.status_code == 422, answer.text
    found = re.findall(r'<li><a href="#([^"]+)">([^<]+)</a></li>', answer.text)
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"retries": "many", "timeout": "0s", "payload.url": ""}, {"retries", "timeout", "payload-url"}),
        ({"every": "-5", "retries": "1000", "payload.url": "no url"}, {"every", "retries", "payload-url"}),
        ({"name": "", "retries": "many", "payload.expect_status": "[", "payload.url": ""}, None),
        ({"schedule": "cron", "cron": "", "every_mode": "fixed_delay", "retries": "many"}, {"cron", "retries"}),
        ({"retries": "-1", "payload.url": ""}, {"retries", "payload-url"}),
    ],
)
def test_a_job_is_mended_in_one_round(
    pages: Pages, db: DictConnection, form: dict[str, str], fields: set[str] | None
) -> None:
    """What cannot be read hides nothing of what else is wrong, and nothing is said to be wrong for want of it."""
    found = said(pages, "/jobs/new", PING | SCHEDULE | form)
    assert set(found) == (fields or {"name", "retries", "payload-expect_status", "payload-url"}), found
    assert db.execute("select from job").fetchall() == []


def test_a_bad_schedule_hides_nothing_and_is_said_once(pages: Pages) -> None:
    """Cron, URL and a name that is taken are told together; what the schedule means is asked for once it is mended."""
    pages.send("/jobs/new", PING | SCHEDULE)
    bad = PING | SCHEDULE | {"schedule": "cron", "cron": "61 * * * *", "payload.url": "no url"}
    assert set(said(pages, "/jobs/new", bad)) == {"name", "cron", "payload-url"}
    drawn = pages.send("/jobs/new", bad).text
    assert drawn.count("the minute cannot be") == 2  # in the list at the top, and beside its field
    assert "load, input from" not in drawn
    assert "load, input from" in pages.send("/jobs/new", PING | SCHEDULE | {"payload.url": "no url"}).text


@pytest.mark.parametrize(
    ("form", "is_taken"),
    [({"name": "mine"}, False), ({"name": "other"}, True), ({"name": "other", "owner": "bob"}, False)],
)
def test_a_name_is_taken_by_another_row_of_its_owner(pages: Pages, form: dict[str, str], is_taken: bool) -> None:
    """Beside another fault, too: neither by the row itself, nor by one of somebody else."""
    for name in ("mine", "other"):
        pages.send("/jobs/new", PING | SCHEDULE | {"name": name})
    found = said(pages, "/jobs/1/edit", PING | SCHEDULE | {"retries": "-1"} | form)
    assert set(found) == {"retries", *(["name"] if is_taken else [])}


def test_a_job_that_is_there_is_mended_in_one_round(pages: Pages, db: DictConnection) -> None:
    """The same of a row that is edited, which stays as it was."""
    made = pages.send("/jobs/new", PING | SCHEDULE)
    assert "is created" in made.text
    found = said(pages, "/jobs/1/edit", PING | SCHEDULE | {"timeout": "soon", "retries": "-1", "payload.url": "x"})
    assert set(found) == {"timeout", "retries", "payload-url"}
    assert db.execute("select retries from job").fetchall() == [{"retries": 3}]


def test_a_connector_and_a_workflow_are_mended_in_one_round(pages: Pages, db: DictConnection) -> None:
    """The same of the other forms, in which kinds have settings of their own."""
    rest = {"name": "c", "kind": "rest", "shown_kind": "rest", "every": "soon", "alert_after": "-1", "config.url": ""}
    assert {"every", "alert_after"} < set(said(pages, "/connectors/new", rest))
    add_connector(db, "source")
    flow = {
        "name": "",
        "kind": "webhook",
        "shown_kind": "webhook",
        "connector": "",
        "retries": "many",
        "batch_size": "0",
    }
    found = said(pages, "/workflows/new", flow | {"payload.url": ""})
    assert set(found) == {"name", "connector", "retries", "batch_size", "payload-url"}, found


def test_a_timer_is_mended_in_one_round(pages: Pages, db: DictConnection) -> None:
    """When and what at once; a number below 0 is said to be one."""
    found = said(pages, "/timers/new", {"when": "in", "seconds": "-5", "url": "", "retries": "many"})
    assert set(found) == {"seconds", "url", "retries"}
    assert found["seconds"] == "Seconds: write a whole number, 0 or more"
    assert db.execute("select from timer").fetchall() == []

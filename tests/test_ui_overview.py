"""The overview: what it counts, what it says where there is nothing, and whose rows it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, ok
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add_job(pages: Pages, name: str = "mine") -> int:
    body = {"name": name, "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m"}
    return int(ok(pages.api.post("/jobs", body), 201)["id"])


def execute(db: DictConnection, job_id: int, status: str, minutes_ago: int) -> None:
    db.execute(
        "insert into execution (job_id, scheduled_for, status, origin, attempt, started_at, finished_at, error)"
        " select %(job)s, due, %(status)s, 'schedule', 1, due + interval '0.2 seconds', due + interval '1 second',"
        " case when %(status)s = 'failed' then 'the server said no' end"
        " from (select now() - %(ago)s * interval '1 minute' as due) as at",
        {"job": job_id, "status": status, "ago": minutes_ago},
    )


def chart(page: str, kind: str) -> dict[str, Any]:
    """The data of a chart of the page."""
    data = page.partition(f'<time-chart kind="{kind}"')[2].partition(' data="')[2].partition('"')[0]
    return dict(json.loads(unescape(data)))


def tile(page: str, label: str) -> str:
    """The number that a tile shows."""
    found = page.partition(f'<span class="label">{label}</span><span class="value">')[2]
    return found.partition("<")[0]


def test_an_empty_system_says_what_to_do_first(pages: Pages) -> None:
    """Nothing there: an explanation and a way to the first job; and the charts are drawn all the same."""
    page = pages.get("/").text
    assert "Nothing is scheduled yet" in page
    assert "/ui/jobs/new" in page
    assert chart(page, "bars")["series"][0]["name"] == "success"


def test_outcomes_are_counted_in_the_range(pages: Pages, db: DictConnection) -> None:
    """What was due in the range is counted by status, drawn over time, and each number leads to its list."""
    job_id = add_job(pages)
    for minutes in (2, 3, 4):
        execute(db, job_id, "success", minutes)
    execute(db, job_id, "failed", 5)
    execute(db, job_id, "success", 120)
    page = pages.get("/", range="1h").text
    assert (tile(page, "Completed"), tile(page, "Failed"), tile(page, "Missed")) == ("3", "1", "0")
    drawn = {series["name"]: sum(series["values"]) for series in chart(page, "bars")["series"]}
    assert drawn == {"success": 3, "failed": 1}
    assert "/ui/executions?status=failed" in page
    assert tile(pages.get("/", range="6h").text, "Completed") == "4"


def test_an_unknown_range_is_the_usual_one(pages: Pages) -> None:
    """A range that there is not, as from an old link, shows a day."""
    assert "last 24 hours" in pages.get("/", range="century").text


def test_what_fails_is_shown_with_its_error(pages: Pages, db: DictConnection) -> None:
    """A job that fails is named, with since when and why; what a server has answered is text and not HTML."""
    job_id = add_job(pages)
    db.execute(
        "insert into job_health (job_id, failures, failing_since, last_error)"
        " values (%s, 3, now() - interval '1 hour', '<script>alert(1)</script>')",
        (job_id,),
    )
    page = pages.get("/").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "Nothing is failing" not in page


def test_everybody_sees_his_own_numbers(pages: Pages, db: DictConnection) -> None:
    """Another owner's job neither counts nor fails on my page."""
    execute(db, add_job(pages.as_(ALICE)), "failed", 5)
    assert tile(pages.as_(ALICE).get("/").text, "Failed") == "1"
    others = pages.as_(BOB).get("/").text
    assert tile(others, "Failed") == "0"
    assert "Nothing is scheduled yet" in others

"""The page of jobs: what it lists, what its buttons do, and whom it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, name: str = "a", **settings: Any) -> int:
    body = {"name": name, "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m", **settings}
    return int(ok(pages.api.post("/jobs", body), 201)["id"])


def test_an_empty_page_says_what_to_do_first(pages: Pages) -> None:
    """Without a job there is an explanation and a button, for those who may write; a filter that fits none says so."""
    page = pages.get("/jobs").text
    assert "No jobs yet" in page
    assert "Create the first job" in page
    assert "Create the first job" not in pages.as_(VIEWER).get("/jobs").text
    assert "Nothing matches" in pages.get("/jobs", search="x").text


def test_a_line_shows_what_a_job_does_and_when(pages: Pages) -> None:
    """Name, state, kind, schedule, the last outcome and the next fire; what people wrote is text and not HTML."""
    add(pages, "<b>bold</b>")
    page = pages.get("/jobs").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold</b>" not in page
    for part in ("every 5 min", ">ping<", 'class="badge active"', "never", "data-relative"):
        assert part in page


def test_everybody_sees_his_own_jobs(pages: Pages) -> None:
    """Others' jobs are not listed, and cannot be acted upon: they are not there."""
    mine = add(pages.as_(ALICE), "of alice")
    assert "of alice" in pages.as_(ALICE).get("/jobs").text
    assert "of alice" not in pages.as_(BOB).get("/jobs").text
    assert pages.as_(BOB).send(f"/jobs/{mine}/delete").status_code == 404
    assert pages.as_(VIEWER).send(f"/jobs/{mine}/pause").status_code == 404
    assert pages.as_(ALICE).get("/jobs").text.count("of alice") >= 1


def test_pages_lead_on_to_the_next(pages: Pages) -> None:
    """Fifty jobs are on a page; the link to the next keeps the filters."""
    for number in range(51):
        add(pages, f"job {number:02}")
    first = pages.get("/jobs", kind="ping").text
    assert "job 49" in first
    assert "job 50" not in first
    link = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "kind=ping" in link
    second = pages.get(link.removeprefix("/ui")).text
    assert "job 50" in second
    assert "First page" in second


def test_buttons_act_and_say_so(pages: Pages, db: DictConnection) -> None:
    """Pause, resume and delete change the row, and the page that comes back says what has been done, once."""
    job_id = add(pages, "mine")
    assert "mine is paused." in pages.send(f"/jobs/{job_id}/pause").text
    assert db.execute("select is_active from job").fetchall() == [{"is_active": False}]
    assert "mine is paused." not in pages.get("/jobs").text
    assert "mine is back on duty." in pages.send(f"/jobs/{job_id}/resume").text
    assert "mine is deleted." in pages.send(f"/jobs/{job_id}/delete").text
    assert db.execute("select id from job").fetchall() == []


def test_a_form_leads_back_to_the_page_that_it_was_on(pages: Pages) -> None:
    """Filters are kept; a page of another site is not gone to."""
    job_id = add(pages)
    here = pages.send(f"/jobs/{job_id}/pause", follow=False, Referer="http://millrace.test/ui/jobs?kind=ping")
    assert (here.status_code, here.headers["location"]) == (303, "/ui/jobs?kind=ping")
    elsewhere = pages.send(f"/jobs/{job_id}/resume", follow=False, Referer="http://elsewhere.test/ui/jobs")
    assert elsewhere.headers["location"] == "/ui/"


def test_many_jobs_are_changed_at_once(pages: Pages, db: DictConnection) -> None:
    """What is ticked is paused or deleted together; nothing ticked, or an unknown wish, is said and changes nothing."""
    ids = [add(pages, f"job {number}") for number in range(3)]
    assert "2 jobs are paused." in pages.send("/jobs/bulk", {"do": "pause", "id": ids[:2]}).text
    states = [row["is_active"] for row in db.execute("select is_active from job order by id")]
    assert states == [False, False, True]
    refused = pages.send("/jobs/bulk", {"do": "delete"})
    assert refused.status_code == 422
    assert "Tick at least one job first." in refused.text
    assert pages.send("/jobs/bulk", {"do": "explode", "id": ids}).status_code == 422
    assert len(db.execute("select id from job").fetchall()) == 3


def test_a_refusal_within_a_page_is_a_notice(pages: Pages) -> None:
    """What htmx has sent is answered with a notice for the page, which otherwise stays; else with a whole page."""
    job_id = add(pages.as_(ALICE))
    notice = pages.as_(VIEWER).send(f"/jobs/{job_id}/pause", HX_Request="true")
    assert notice.status_code == 404
    assert notice.headers["hx-reswap"] == "none"
    assert notice.text.lstrip().startswith("<hx-partial")
    assert "<html" in pages.as_(VIEWER).send(f"/jobs/{job_id}/pause").text

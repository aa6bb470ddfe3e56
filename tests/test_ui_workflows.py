"""The pages of workflows: how far they are, what their buttons do, and whom they refuse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER
from tests.log_rows import add_connector, add_workflow, progress
from tests.ui_client import Pages, pages_of
from tests.workflow_commands import add_records, bury, stop

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
HOUR = timedelta(hours=1)


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def crm(db: DictConnection) -> int:
    """Alice's workflow has finished 6 of 8 records, stored an hour apart and the last just now; its id."""
    issues = add_connector(db, "issues", owner="alice")
    now = datetime.now(timezone.utc)
    workflow_id = add_workflow(db, issues, URL, "crm", owner="alice", filter="$.n > 0")
    add_records(db, issues, *(now - hours * HOUR for hours in range(7, -1, -1)))
    db.execute("update workflow_progress set position = 6, in_hand = 7, processed = 6")
    return workflow_id


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def letters(db: DictConnection) -> list[tuple[Any, ...]]:
    rows = db.execute("select position, status from dead_letter order by position").fetchall()
    return [tuple(row.values()) for row in rows]


def test_an_empty_page_says_what_to_do_first(pages: Pages) -> None:
    """Without a workflow there is an explanation and a button, for those who may write; a filter says so."""
    page = pages.get("/workflows").text
    assert "No workflows yet" in page
    assert "Create the first workflow" in page
    assert "Create the first workflow" not in pages.as_(VIEWER).get("/workflows").text
    assert "Nothing matches" in pages.get("/workflows", search="x").text


def test_a_line_shows_how_far_a_workflow_is(pages: Pages, db: DictConnection, crm: int) -> None:
    """Name, state, connector, watermark, lag in records and seconds, dead letters; filters narrow the list."""
    bury(db, crm, 3)
    page = pages.get("/workflows").text
    said = text_of(page)
    for part in ("crm active issues webhook 6 2 for 1h", "1 dead letter"):
        assert part in said
    assert 'count="6"' in page
    assert "Nothing matches" in pages.get("/workflows", state="stopped").text
    assert "crm" in pages.get("/workflows", connector_id="1", kind="webhook", state="active").text
    assert pages.get("/workflows", connector_id="x").status_code == 422


def test_everybody_sees_his_own_workflows(pages: Pages, db: DictConnection, crm: int) -> None:
    """Others' workflows are not there; who only looks has no button that works, and nothing happens."""
    bob, viewer = pages.as_(BOB), pages.as_(VIEWER)
    assert "crm" not in bob.get("/workflows").text
    for path in ("", "/rewind?to=1"):
        assert bob.get(f"/workflows/{crm}{path}").status_code == 404
    bury(db, crm, 3)
    for what in ("pause", "resume", "run", "skip", "retry", "delete"):
        assert bob.send(f"/workflows/{crm}/{what}").status_code == 404
    assert bob.send(f"/workflows/{crm}/rewind", {"to": "0"}).status_code == 404
    db.execute("update workflow set owner = 'viewer'")
    page = viewer.get(f"/workflows/{crm}").text
    assert "HTTP 422" in page
    assert page.count("<button") - 2 == page.count(" disabled title=")
    assert viewer.send(f"/workflows/{crm}/rewind", {"to": "0"}).status_code == 403
    assert progress(db, crm)["position"] == 6


def test_a_page_shows_how_far_a_workflow_is(pages: Pages, db: DictConnection, crm: int) -> None:
    """Watermark, lag, settings and where it is in Airflow; the part that refreshes fetches this page."""
    page = pages.get(f"/workflows/{crm}").text
    said = text_of(page)
    for part in ("Lag in records 2 the oldest waits for 1h", "Watermark 6 of 8", "$.n &gt; 0", "Processed 6"):
        assert part in said
    for part in (f"/dags/workflow_{crm}", f'hx-get="/ui/workflows/{crm}"', "every 2s", 'max="8" value="6"'):
        assert part in page
    db.execute("update workflow_progress set position = 8, processed = 8")
    assert "Lag in records 0 it has caught up" in text_of(pages.get(f"/workflows/{crm}").text)


def test_buttons_act_and_say_so(pages: Pages, db: DictConnection, crm: int) -> None:
    """Pause, resume and delete change the row, and the page that comes back says what has been done."""
    path = f"/workflows/{crm}"
    assert "crm is paused." in pages.send(f"{path}/pause").text
    assert db.execute("select is_active from workflow").fetchall() == [{"is_active": False}]
    assert "crm is back on duty." in pages.send(f"{path}/resume").text
    assert "crm is deleted." in pages.send(f"{path}/delete").text
    assert db.execute("select id from workflow").fetchall() == []


def test_a_rewind_is_asked_for_and_then_done(pages: Pages, db: DictConnection, crm: int) -> None:
    """The page says what will be processed again before anything moves; then it is as it said."""
    path = f"/workflows/{crm}/rewind"
    asked = text_of(pages.get(path, to="2").text)
    assert "crm will process again the records 3 to 6, 4 records at most, if its filter lets them" in asked
    assert "every record up to 6 that was stored after 2026-11-21 09:00:00 UTC" in text_of(
        pages.get(path, to="2026-11-21T09:00:00Z").text
    )
    page = pages.get(path, to=" 150m ").text
    assert "that was stored after" in page
    assert progress(db, crm)["position"] == 6
    hidden = page.partition('name="to" value="')[2].partition('"')[0]  # however long one thinks about it
    assert (
        timedelta(minutes=150) <= datetime.now(timezone.utc) - datetime.fromisoformat(hidden[:-1] + "+00:00") < HOUR * 3
    )
    assert "crm is back at 2: 4 records will be processed again." in pages.send(path, {"to": "2"}).text
    assert progress(db, crm)["position"] == 2
    assert "is back at 0: 2 records" in pages.send(path, {"to": "0"}).text


@pytest.mark.parametrize("to", ["", "6", "9", "9" * 90, "yesterday", "-1", "1.5", "a\0"])
def test_a_rewind_that_makes_no_sense_is_said_beside_the_field(
    pages: Pages, db: DictConnection, crm: int, to: str
) -> None:
    """The page comes back with what was typed, and what is wrong with it; nothing moves."""
    page = pages.get(f"/workflows/{crm}/rewind", to=to)
    assert page.status_code == 422
    assert 'aria-invalid="true"' in page.text
    assert 'id="to-wrong"' in page.text
    assert pages.send(f"/workflows/{crm}/rewind", {"to": to}).status_code in (409, 422)
    assert progress(db, crm)["position"] == 6


def test_a_workflow_that_has_not_begun_is_not_rewound(pages: Pages, db: DictConnection) -> None:
    """It has no watermark yet, and its page says when it begins."""
    source = add_connector(db, owner="alice")
    waiting = add_workflow(db, source, URL, owner="alice", started_at=datetime.now(timezone.utc) + HOUR)
    assert "It begins at" in pages.get(f"/workflows/{waiting}").text
    assert "it has not begun" in pages.get(f"/workflows/{waiting}/rewind", to="0").text


def test_a_workflow_that_has_stopped_goes_on(pages: Pages, db: DictConnection, crm: int) -> None:
    """The page shows the record and why; it is tried again, or skipped; all that waits can be skipped, too."""
    stop(db, crm, 7)
    page = text_of(pages.get(f"/workflows/{crm}").text)
    assert "It has stopped at record 7 : HTTP 422: no such field" in page
    assert "crm tries that record again." in pages.send(f"/workflows/{crm}/retry").text
    stop(db, crm, 7)
    assert "crm goes on at 7: 1 record skipped." in pages.send(f"/workflows/{crm}/skip").text
    assert progress(db, crm)["position"] == 7
    assert "has not stopped" in pages.send(f"/workflows/{crm}/skip").text
    assert "crm goes on at 8: 1 record skipped." in pages.send(f"/workflows/{crm}/skip", {"to": "now"}).text


def test_dead_letters_are_decided_about_where_they_are_seen(pages: Pages, db: DictConnection, crm: int) -> None:
    """Those that are ticked are redriven or discarded, or all of this workflow; then the page comes back."""
    first = bury(db, crm, 2)
    bury(db, crm, 3)
    other = add_workflow(db, 1, URL, "other", owner="alice")
    bury(db, other, 4)
    page = pages.get(f"/workflows/{crm}").text
    for part in (f'value="workflow:{first}"', f'href="/ui/dead-letters/workflow/{first}"', "HTTP 422: no such field"):
        assert part in page
    action = page.partition('id="bulk"')[2].partition('action="/ui')[2].partition('"')[0]
    hidden = {"workflow_id": crm}
    here = {"Referer": f"http://millrace.test/ui/workflows/{crm}"}
    assert pages.get(f"/dead-letters/workflow/{first}").status_code == 200
    back = pages.send(action, {"do": "redrive", "id": f"workflow:{first}", **hidden}, follow=False, **here)
    assert (back.status_code, back.headers["location"]) == (303, f"/ui/workflows/{crm}")
    assert letters(db) == [(2, "redriving"), (3, "dead"), (4, "dead")]
    pages.send(action, {"do": "discard-all", **hidden})
    assert letters(db) == [(2, "redriving"), (3, "discarded"), (4, "dead")]


def test_a_row_that_cannot_run_can_be_looked_at(pages: Pages, db: DictConnection, crm: int) -> None:
    """A row made by plain SQL whose kind nobody knows has its page; ids that cannot be are said."""
    db.execute("update workflow set kind = 'nobody_knows', payload = '{\"a\": [1]}', error = 'unknown kind'")
    page = pages.get(f"/workflows/{crm}")
    assert page.status_code == 200
    assert "It cannot run: unknown kind" in page.text
    for path in ("/workflows/x", f"/workflows/{2**70}", "/workflows/0", "/workflows/987654"):
        assert pages.get(path).status_code in (404, 422)

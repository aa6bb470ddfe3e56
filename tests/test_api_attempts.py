"""Attempts over HTTP and on pages: what each has sent, by which change of the row, and for whom that is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, ok
from tests.job_commands import add_execution
from tests.log_rows import add_connector, add_workflow
from tests.timer_rows import add_timer
from tests.ui_client import Pages, pages_of
from tests.workflow_commands import add_records, bury, one

pytestmark = pytest.mark.xdist_group("api")

T0 = datetime.now(timezone.utc).replace(microsecond=250_000) - timedelta(days=1)
BEFORE, AFTER = "https://example.com/before?token=***", "https://example.com/after"
OLD = {"attempt": 1, "at": T0.isoformat(), "ms": 12.5, "code": 500, "error": "HTTP 500"}


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


def attempts_at(db: DictConnection, table: str, attempts: Any, **where: Any) -> None:
    column, value = next(iter(where.items()))
    db.execute(f"update {table} set attempts = %s::jsonb where {column} = %s", (json.dumps(attempts), value))


def sent(number: int, url: str, revision: int, **more: Any) -> dict[str, Any]:
    return {**OLD, "attempt": number, "revision": revision, "request": {"method": "POST", "url": url, **more}}


@pytest.fixture
def edited(pages: Pages, db: DictConnection) -> str:
    """Alice's job, edited between the two attempts at its execution, whose path is returned."""
    body = {"name": "a", "kind": "webhook", "payload": {"url": "https://example.com/before"}, "every": "5m"}
    job = int(ok(pages.api.post("/jobs", body), 201)["id"])
    first = one(db, "select revision from job")["revision"]
    ok(pages.api.patch(f"/jobs/{job}", {"payload": {"url": "https://example.com/after"}}))
    second = one(db, "select revision from job")["revision"]
    add_execution(db, job, T0, "failed", error="HTTP 500", code=500)
    attempts_at(db, "execution", [OLD, sent(2, BEFORE, first), sent(3, AFTER, second)], job_id=job)
    db.execute("update execution set config_revision = %s, attempt = 3", (second,))
    return f"/jobs/{job}/executions/{T0.isoformat().replace('+00:00', 'Z')}"


def test_each_attempt_has_its_request_and_the_change_that_led_to_it(pages: Pages, edited: str) -> None:
    """One that was made before such things were noted has neither, and is shown as it is."""
    old, first, second = ok(pages.api.get(edited))["attempts"]
    assert old.keys() == OLD.keys()
    assert (first["request"], second["request"]) == (
        {"method": "POST", "url": BEFORE},
        {"method": "POST", "url": AFTER},
    )
    change = ok(pages.api.get(f"/audit/{second['audit_id']}"))
    assert change["changes"]["payload"] == [{"url": "https://example.com/before"}, {"url": "https://example.com/after"}]
    assert ok(pages.api.get(f"/audit/{first['audit_id']}"))["operation"] == "insert"


def test_lists_leave_out_what_was_sent(pages: Pages, edited: str) -> None:
    """All else of the attempts is there."""
    for path in ("/executions", edited.rpartition("/")[0]):
        [item] = ok(pages.api.get(path))["items"]
        assert [attempt["attempt"] for attempt in item["attempts"]] == [1, 2, 3]
        assert "example.com" not in json.dumps(item)


def test_whoever_is_given_a_row_does_not_see_what_was_sent_before(
    pages: Pages, db: DictConnection, edited: str
) -> None:
    """What went out by the former owner's settings is his; admins see it."""
    db.execute("update job set owner = 'bob'")
    given = one(db, "select revision from job")["revision"]
    later = datetime.now(timezone.utc).isoformat()
    rows = [sent(1, BEFORE, given - 1), {**sent(2, AFTER, given), "at": later}, {**sent(3, BEFORE, 1), "at": "once"}]
    attempts_at(db, "execution", rows, status="failed")
    job_id = edited.split("/")[2]
    letter = f"/dead-letters/job/job_{job_id}_{round(T0.timestamp() * 1_000_000)}"
    for path in (edited, letter):
        before, after, undated = ok(pages.as_(BOB).api.get(path))["attempts"]
        assert "request" not in before
        assert "request" not in undated
        assert after["request"]["url"] == AFTER
        known = ok(pages.as_(ADMIN).api.get(path))["attempts"]
        assert [attempt["request"]["url"] for attempt in known] == [BEFORE, AFTER, BEFORE]
        assert pages.api.get(path).status_code == 404
    page = pages.as_(BOB).get(edited).text
    assert AFTER in page
    assert "/before" not in page


def test_the_page_shows_each_request(pages: Pages, edited: str) -> None:
    """With the revision that it was sent by, and a link to what that changed."""
    page = pages.get(edited).text
    old, first, second = page.split('<li class="card">')[1:]
    assert "Request" not in old
    assert "revision" not in old
    assert f"POST {BEFORE}" in first
    assert f"POST {AFTER}" in second
    for shown, attempt in zip((first, second), ok(pages.api.get(edited))["attempts"][1:], strict=True):
        assert f"revision {attempt['revision']} of the settings" in shown
        assert f'/audit/{attempt["audit_id"]}">what it changed</a>' in shown
    assert "it was changed between the attempts" in page


@pytest.mark.parametrize(
    "odd",
    [
        {"request": "GET https://example.com/", "revision": "seven", "audit_id": [1]},
        {"request": {"url": {"a": 1}, "more": None}, "revision": 10**30},
        {"request": ["a"], "revision": -1, "audit_id": 10**30},
        {"request": {}, "revision": None},
        {"revision": True},
        {"at": 7, "ms": "long", "code": [1], "error": {"a": 1}, "excerpt": [2], "attempt": {}},
        {"at": "2026-01-01", "ms": 10**400, "error": 7},
    ],
)
def test_whatever_plain_sql_has_put_there_is_shown(
    pages: Pages, db: DictConnection, edited: str, odd: dict[str, Any]
) -> None:
    """Neither the API nor the page minds."""
    letter = f"/dead-letters/job/job_{edited.split('/')[2]}_{round(T0.timestamp() * 1_000_000)}"
    for attempts, count in (([odd, 1, [odd]], 3), (odd, 1)):
        attempts_at(db, "execution", attempts, status="failed")
        for path in (edited, letter):
            assert len(ok(pages.as_(ADMIN).api.get(path))["attempts"]) == count
            for caller in (ALICE, ADMIN):
                assert pages.as_(caller).get(path).status_code == 200
        for path in ("/executions", edited.rpartition("/")[0], "/dead-letters"):
            assert len(ok(pages.as_(ADMIN).api.get(path))["items"]) == 1


def test_timers_and_records_show_it_as_well(pages: Pages, db: DictConnection) -> None:
    """On their pages, and in their documents; the audit does not number the changes of a workflow."""
    timer_id = add_timer(db, "https://example.com/", due_at=T0, owner="alice", status="failed", finished_at=T0)
    attempts_at(db, "timer", [{**OLD, "request": {"method": "POST", "url": AFTER}}], id=timer_id)
    connector = add_connector(db, "issues", owner="alice")
    add_records(db, connector, None)
    letter = bury(db, add_workflow(db, connector, "https://example.com/", "crm", owner="alice"), 1)
    revision = one(db, "select revision from workflow")["revision"]
    attempts_at(db, "dead_letter", [sent(1, BEFORE, revision, to="ann@example.com")], id=letter)
    assert ok(pages.api.get(f"/timers/{timer_id}"))["attempts"][0]["request"]["url"] == AFTER
    assert f"POST {AFTER}" in pages.get(f"/timers/{timer_id}").text
    [attempt] = ok(pages.api.get(f"/dead-letters/workflow/{letter}"))["attempts"]
    assert attempt["request"]["url"] == BEFORE
    assert "audit_id" not in attempt
    page = pages.get(f"/dead-letters/workflow/{letter}").text
    assert f"POST {BEFORE}\nto: ann@example.com" in page
    assert f"revision {revision} of the settings" in page

"""The page of dead letters: what it lists, and what is decided there, one by one, ticked, and all at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER
from tests.job_commands import add_execution
from tests.log_rows import add_connector, add_workflow
from tests.test_cli_dead_letters_jobs import add_timer
from tests.test_store import add_job
from tests.ui_client import Pages, pages_of
from tests.workflow_commands import add_records, bury

pytestmark = pytest.mark.xdist_group("api")

NOON = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def letters(db: DictConnection) -> dict[str, str]:
    """One of each source, all Alice's: what a ticked box sends, by source."""
    job = add_job(db, "nightly", owner="alice")
    add_execution(db, job, NOON, "failed", error="HTTP 503 <b>")
    issues = add_connector(db, "issues", owner="alice")
    add_records(db, issues, None, title="so <b>")
    crm = add_workflow(db, issues, "https://example.com/", "crm", owner="alice")
    return {
        "job": f"job:{webhook_id(job, NOON)}",
        "timer": f"timer:{add_timer(db, due_at=NOON, owner='alice')}",
        "workflow": f"workflow:{bury(db, crm, 1)}",
    }


def statuses(db: DictConnection) -> dict[str, Any]:
    """What has been decided: whether the execution and the timer are to be sent again, and the record's status."""
    [row] = db.execute(
        "select (select redrive_at is not null from execution) as job, (select status from timer) as timer,"
        " (select status from dead_letter) as workflow"
    ).fetchall()
    return dict(row)


def test_one_list_of_all_that_has_failed(pages: Pages, letters: dict[str, str]) -> None:
    """Executions, timers and records, each with a box to tick, what it is of, and its error."""
    page = pages.get("/dead-letters").text
    for value in letters.values():
        assert f'value="{value}"' in page
    for part in ("nightly</a>", "crm</a>, record 1 of issues", "HTTP 503 &lt;b&gt;", "/ui/jobs/1/executions/"):
        assert part in page
    assert 'value="job:' not in pages.get("/dead-letters", source="timer").text
    assert "Nothing matches" in pages.get("/dead-letters", status="discarded").text
    assert "Nothing has failed for good" in pages.as_(BOB).get("/dead-letters").text
    assert pages.get("/dead-letters", source="shop").status_code == 422


def test_what_is_ticked_is_redriven(pages: Pages, db: DictConnection, letters: dict[str, str]) -> None:
    """Those and no others; nothing ticked, or an unknown wish, is said and changes nothing."""
    before = statuses(db)
    assert "Tick at least one first." in pages.send("/dead-letters/decide", {"do": "redrive"}).text
    assert pages.send("/dead-letters/decide", {"do": "burn", "id": list(letters.values())}).status_code == 422
    assert pages.send("/dead-letters/decide", {"do": "redrive", "id": "nonsense"}).status_code == 422
    assert statuses(db) == before
    said = pages.send("/dead-letters/decide", {"do": "redrive", "id": [letters["job"], letters["workflow"]]})
    assert "2 are sent again." in said.text
    assert statuses(db) == {**before, "job": True, "workflow": "redriving"}


def test_all_that_are_dead_are_decided_at_once(pages: Pages, db: DictConnection, letters: dict[str, str]) -> None:
    """All of a source, or of all; never of one owner, which nobody has asked for when he ticks nothing."""
    for odd in ({"owner": "alice"}, {"job_id": "x"}, {"job_id": "1", "source": "timer"}, {"workflow_id": "٣"}):
        before = statuses(db)
        assert pages.send("/dead-letters/decide", {"do": "discard-all", **odd}).status_code == 422, odd
        assert statuses(db) == before
    assert "1 is discarded." in pages.send("/dead-letters/decide", {"do": "discard-all", "source": "workflow"}).text
    assert statuses(db)["workflow"] == "discarded"
    assert "1 is sent again." in pages.send("/dead-letters/decide", {"do": "redrive-all", "job_id": "1"}).text
    assert "1 is sent again." in pages.send("/dead-letters/decide", {"do": "redrive-all"}).text
    assert statuses(db)["job"] is True
    assert statuses(db)["timer"] != "failed"


def test_others_letters_cannot_be_decided_about(pages: Pages, db: DictConnection, letters: dict[str, str]) -> None:
    """They are not there for somebody else, one by one or all at once; who may only look has no buttons."""
    before = statuses(db)
    for other in (BOB, VIEWER):
        assert pages.as_(other).send("/dead-letters/decide", {"do": "redrive", "id": letters["job"]}).status_code >= 403
        pages.as_(other).send("/dead-letters/decide", {"do": "redrive-all"})
    assert statuses(db) == before
    db.execute("update job set owner = 'viewer'")
    page = pages.as_(VIEWER).get("/dead-letters").text
    assert "nightly" in page
    assert 'id="bulk"' not in page


def test_one_has_a_page_with_its_record(pages: Pages, db: DictConnection, letters: dict[str, str]) -> None:
    """Every attempt and the record that was to be processed; its buttons decide, and lead back to it."""
    here = f"/dead-letters/{letters['workflow'].replace(':', '/')}"
    page = pages.get(here).text
    for part in ("Attempt 1", "HTTP 422: no such field", "so &lt;b&gt;", "Redrive</button>", "Discard</button>"):
        assert part in page
    sent = pages.send(
        "/dead-letters/decide",
        {"do": "discard", "id": letters["workflow"]},
        Referer=f"http://millrace.test/ui{here}",
    ).text
    assert "1 is discarded." in sent
    assert "Redrive</button>" not in sent
    assert statuses(db)["workflow"] == "discarded"
    timer = pages.get(f"/dead-letters/{letters['timer'].replace(':', '/')}").text
    assert "out of order" in timer
    assert pages.as_(BOB).get(here).status_code == 404
    assert pages.get("/dead-letters/shop/1").status_code == 422

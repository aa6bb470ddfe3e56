"""The page of one execution: every attempt, its course, and what can still be done about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from include.ui import attempts
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.job_commands import add_execution
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

T0 = datetime.now(timezone.utc).replace(microsecond=250_000) - timedelta(days=1)
SPELT = T0.isoformat().replace("+00:00", "Z")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


@pytest.fixture
def job(pages: Pages) -> int:
    """Alice's job; its id."""
    body = {"name": "a", "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m"}
    return int(ok(pages.as_(ALICE).api.post("/jobs", body), 201)["id"])


def test_an_execution_is_shown_with_every_attempt(pages: Pages, db: DictConnection, job: int) -> None:
    """When it began and ended, what came back each time, the request, the webhook-id, and its log in Airflow."""
    add_execution(db, job, T0, "failed", error="HTTP 500", code=500, excerpt="<b>out of order</b>")
    entry = {"attempt": 2, "at": T0.isoformat(), "ms": 1500.0, "code": 503, "error": "HTTP 503"}
    db.execute(
        "update execution set attempts = attempts || %s::jsonb, attempt = 2, try_number = 2,"
        " config_revision = (select revision from job),"
        " dag_run_id = 'scheduled__2026-01-01T00:00:00+00:00', output = '{\"line\": \"so far\"}'",
        (json.dumps(entry),),
    )
    page = pages.get(f"/jobs/{job}/executions/{SPELT}").text
    for part in ("Attempt 1", "Attempt 2", "HTTP 503", "1.5 s", "&lt;b&gt;out of order", "https://example.com/"):
        assert part in page
    assert page.count('class="failed" x=') == 2
    assert ok(pages.api.get(f"/jobs/{job}/executions/{SPELT}"))["webhook_id"] in page
    run = "/dags/job_1/runs/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert f'href="{run}" data-airflow' in page
    assert f'href="{run}/tasks/fire?try_number=2" data-airflow' in page


def test_the_request_is_the_one_that_was_sent(pages: Pages, db: DictConnection, job: int) -> None:
    """What has been changed since is not shown for it, and whoever is given the job does not see what was before."""
    add_execution(db, job, T0, "failed", error="HTTP 500")
    db.execute("update execution set config_revision = (select revision from job)")
    ok(pages.as_(ALICE).api.patch(f"/jobs/{job}", {"payload": {"url": "https://example.org/later"}}))
    page = pages.as_(ALICE).get(f"/jobs/{job}/executions/{SPELT}").text
    assert "https://example.com/" in page
    assert "https://example.org/later" not in page
    assert "The job has been changed since." in page
    db.execute("update job set owner = 'bob'")
    given = pages.as_(BOB).get(f"/jobs/{job}/executions/{SPELT}").text
    assert "https://example.com/" not in given
    assert "What it was sent by is not known any more" in given
    db.execute("update execution set config_revision = null")
    assert "Nothing has been sent." in pages.get(f"/jobs/{job}/executions/{SPELT}").text


@pytest.mark.parametrize(
    "odd",
    [
        [1, None, "x"],
        [{"attempt": 1, "at": "yesterday", "ms": "long", "error": {"a": 1}, "excerpt": [1], "more": {"b": 2}}],
        [{"at": "2026-01-01T00:00:00", "ms": 1e300}, {"at": "2026-01-01T00:00:00Z", "ms": 1e300}],
    ],
)
def test_attempts_can_be_shown_whatever_is_in_them(odd: list[Any]) -> None:
    """What plain SQL has put there is shown as it is; what is no instant has no place on the line of time."""
    tries = attempts.shown(odd)
    assert len(tries) == len(odd)
    bars = attempts.line_of_time("2026-01-01T00:00:00Z", None, tries, datetime.now(timezone.utc))
    assert [bar.x >= 0 and bar.x + bar.width <= 1000 for bar in bars] == [True] * len(bars)


def test_a_failure_is_redriven_and_discarded(pages: Pages, db: DictConnection, job: int) -> None:
    """A failed execution has both buttons, and the page says what was decided; a success has none, and is refused."""
    add_execution(db, job, T0, "failed", error="HTTP 500")
    here = f"/jobs/{job}/executions/{SPELT}"
    mine = pages.as_(ALICE)
    assert "Redrive</button>" in mine.get(here).text
    said = mine.send(f"{here}/redrive").text
    assert "It is sent again within seconds." in said
    assert "It is to be sent again" in said
    assert db.execute("select redrive_at is not null as asked from execution").fetchall() == [{"asked": True}]
    assert "Somebody gave up on it" in mine.send(f"{here}/discard").text
    assert db.execute("select discarded_at is not null as gone from execution").fetchall() == [{"gone": True}]
    db.execute("update execution set status = 'success', discarded_at = null")
    assert "Redrive</button>" not in mine.get(here).text
    refused = mine.send(f"{here}/redrive")
    assert refused.status_code == 409
    assert "only what has failed" in refused.text


def test_everybody_sees_his_own(pages: Pages, db: DictConnection, job: int) -> None:
    """Others' executions are not there, and cannot be decided about."""
    add_execution(db, job, T0, "failed", error="HTTP 500")
    here = f"/jobs/{job}/executions/{SPELT}"
    for other in (BOB, VIEWER):
        assert pages.as_(other).get(here).status_code == 404
        assert pages.as_(other).send(f"{here}/redrive").status_code == 404
    assert db.execute("select redrive_at from execution").fetchall() == [{"redrive_at": None}]


def test_where_nothing_has_become_of_it_the_page_says_why(pages: Pages, job: int) -> None:
    """An occurrence that nobody has begun has a page that waits for it; what is no instant is refused."""
    soon = pages.get(f"/jobs/{job}/executions/{datetime.now(timezone.utc).isoformat().replace('+00:00', 'Z')}")
    assert soon.status_code == 404
    assert "Nothing has become of it yet" in soon.text
    assert "hx-trigger" in soon.text
    long_ago = pages.get(f"/jobs/{job}/executions/1")
    assert long_ago.status_code == 404
    assert "hx-trigger" not in long_ago.text
    for odd in ("yesterday", "%00", "9" * 40, "9999-01-01T00:00:00Z"):
        assert pages.get(f"/jobs/{job}/executions/{odd}").status_code == 422

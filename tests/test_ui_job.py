"""The page of one job: what it shows, what it says where something is wrong, and how it is paused for a while."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.job_commands import add_execution
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

T0 = datetime.now(timezone.utc).replace(microsecond=250_000) - timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, name: str = "nightly", **settings: Any) -> int:
    body = {"name": name, "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m", **settings}
    return int(ok(pages.api.post("/jobs", body), 201)["id"])


def test_a_job_is_shown_with_its_settings_and_what_comes_next(pages: Pages) -> None:
    """Schedule, zone, payload and retries, and the next fires on the clock of its zone and in UTC."""
    job_id = add(
        pages, "<i>nightly", every=None, cron="30 9 * * *", timezone="Asia/Kolkata", retries=4, retry_backoff=1.5
    )
    page = pages.get(f"/jobs/{job_id}").text
    assert "&lt;i&gt;nightly" in page
    for part in (
        "30 9 * * *",
        "At 09:30",
        "09:30:00 Asia/Kolkata",
        "04:00:00 UTC",
        "https://example.com/",
        "1.5 times",
        "job_1",
    ):
        assert part in page
    assert page.count("Asia/Kolkata <span") == 5
    assert "It has not run yet." in page


def test_history_is_a_strip_and_a_table(pages: Pages, db: DictConnection) -> None:
    """Each occurrence is a mark and a line, both a link to it, the newest last in the strip; a status can be chosen."""
    job_id = add(pages)
    for number in range(16):
        add_execution(db, job_id, T0 + number * MINUTE, "failed" if number == 3 else "success")
    page = pages.get(f"/jobs/{job_id}").text
    marks = page.partition('<ol class="strip"')[2].partition("</ol>")[0]
    assert marks.count("<li") == 16
    assert marks.index('class="failed"') < marks.rindex('class="success"')
    newest = ok(pages.api.get(f"/jobs/{job_id}/executions"))["items"][0]["webhook_id"].rpartition("_")[2]
    assert marks.rindex(f"/ui/jobs/{job_id}/executions/{newest}") > marks.rindex("executions/") - 30
    for part in ("80 ms", "120 ms", 'rel="next"'):
        assert part in page
    failed = pages.get(f"/jobs/{job_id}", status="failed").text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert failed.count("<tr>") == 1


def test_everybody_sees_his_own_job(pages: Pages) -> None:
    """Others' jobs are not there; who may only look has no button that works; no job is no fault of ours."""
    mine = add(pages.as_(ALICE), "of alice")
    assert pages.as_(ALICE).get(f"/jobs/{mine}").status_code == 200
    for other in (BOB, VIEWER):
        assert pages.as_(other).get(f"/jobs/{mine}").status_code == 404
        assert pages.as_(other).send(f"/jobs/{mine}/pause-until", {"until": "2090-01-01T00:00"}).status_code == 404
    its = add(pages, "of viewer", owner="viewer")
    page = pages.as_(VIEWER).get(f"/jobs/{its}").text
    for label in ("Run now", "Pause", "Delete"):
        assert f'disabled title="Your role in Airflow only looks">{label}<' in page
    assert "Pause until" not in page
    assert pages.get(f"/jobs/{10**30}").status_code == 422
    assert pages.get("/jobs/99").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("is_active = false", "This job is paused:"),
        ("paused_until = now() + interval '1 day'", "This job is paused until"),
        ("error = 'no such kind'", "This job cannot run:</strong> no such kind"),
    ],
)
def test_what_is_not_as_it_should_be_stands_at_the_top(
    pages: Pages, db: DictConnection, change: str, said: str
) -> None:
    """A job that is off duty, or that cannot run, says so, and why, without being asked."""
    job_id = add(pages)
    db.execute(f"update job set {change}".encode())
    page = pages.get(f"/jobs/{job_id}").text
    assert said in page.replace("\n", " ")
    assert 'class="answer"' in page


def test_failures_in_a_row_are_counted(pages: Pages, db: DictConnection) -> None:
    """It says how many have failed since the last success, and what the last one said; one success, and it is over."""
    job_id = add(pages)
    add_execution(db, job_id, T0, "success")
    for number in (1, 2, 3):
        add_execution(db, job_id, T0 + number * MINUTE, "failed", error=f"HTTP 50{number}")
    page = pages.get(f"/jobs/{job_id}").text
    assert "The last 3 executions have failed" in page
    assert "HTTP 503.\n" in page
    add_execution(db, job_id, T0 + 4 * MINUTE, "success")
    assert "have failed" not in pages.get(f"/jobs/{job_id}").text


def test_why_it_did_not_run_is_said_for_any_time(pages: Pages, db: DictConnection) -> None:
    """For the last occurrence, or the one that was due in a minute on the clock of the job's zone."""
    job_id = add(pages, timezone="Europe/Berlin", every=None, cron="0 9 * * *")
    due = datetime(2026, 1, 5, 8, 0, 30, tzinfo=timezone.utc)
    add_execution(db, job_id, due, "missed")
    page = pages.get(f"/jobs/{job_id}", why="2026-01-05T09:00").text
    assert "it was missed: 2026-01-05 08:00:30 UTC" in page
    assert 'value="2026-01-05T09:00"' in page
    assert 'class="answer"' in pages.get(f"/jobs/{job_id}", why="").text
    for at, wrong in (("nonsense", "is not an instant"), ("2090-01-01T00:00", "it has not come yet")):
        refused = pages.get(f"/jobs/{job_id}", why=at)
        assert refused.status_code == 200
        assert wrong in refused.text


def test_a_job_is_paused_until_a_time_on_its_clock(pages: Pages, db: DictConnection) -> None:
    """What is typed is read on the clock of the job's zone; what makes no sense comes back beside its field."""
    job_id = add(pages, timezone="Europe/Berlin")
    assert "is paused until 2090-01-01 08:00:00 UTC" in (
        pages.send(f"/jobs/{job_id}/pause-until", {"until": "2090-01-01T09:00"}).text
    )
    [row] = db.execute("select paused_until, is_active from job").fetchall()
    assert row == {"paused_until": datetime(2090, 1, 1, 8, tzinfo=timezone.utc), "is_active": True}
    pages.send(f"/jobs/{job_id}/resume")
    for typed, wrong in (("", "choose a day"), ("2020-01-01T00:00", "not in the future"), ("soon", "not an instant")):
        refused = pages.send(f"/jobs/{job_id}/pause-until", {"until": typed})
        assert refused.status_code == 422
        beside = refused.text.partition('id="until-wrong">')[2].partition("<")[0]
        assert wrong in beside
        assert f'value="{typed}"' in refused.text
    assert db.execute("select paused_until from job").fetchall() == [{"paused_until": None}]


def test_a_job_that_plain_sql_has_made_is_shown(pages: Pages, db: DictConnection) -> None:
    """A zone that there is not, or a payload that is nothing: the page is drawn, and says what it can."""
    db.execute("insert into job (name, kind, cron, payload) values ('odd', 'no_such_kind', '0 9 * * *', '{}')")
    assert "no_such_kind" in pages.get("/jobs/1").text


def test_what_cannot_run_is_not_said_to_be_due(pages: Pages, db: DictConnection) -> None:
    """A schedule alone makes nothing due: the row has to be mended first."""
    job_id = add(pages)
    assert "It is due" in pages.get(f"/jobs/{job_id}").text
    db.execute("update job set error = 'no such kind'")
    page = pages.get(f"/jobs/{job_id}").text
    assert "It is due" not in page
    assert "not while it cannot run" in page
    assert '<ol class="fires">' not in page


def test_a_long_run_of_failures_is_not_counted_too_low(pages: Pages, db: DictConnection) -> None:
    """Only the newest are looked at: where all of them have failed, there may be more."""
    job_id = add(pages)
    for number in range(60):
        add_execution(db, job_id, T0 + number * MINUTE, "failed", error="HTTP 500")
    assert "The last 60 executions have failed" in pages.get(f"/jobs/{job_id}").text
    add_execution(db, job_id, T0 - MINUTE, "failed", error="HTTP 500")
    assert "The last 60 or more executions have failed" in pages.get(f"/jobs/{job_id}").text


def test_it_looks_after_itself_while_something_can_happen(pages: Pages, db: DictConnection) -> None:
    """An active job is fetched again every few seconds; a paused one with nothing under way is not."""
    job_id = add(pages)
    assert 'hx-trigger="every 5s"' in pages.get(f"/jobs/{job_id}").text
    db.execute("update job set is_active = false")
    assert "hx-trigger" not in pages.get(f"/jobs/{job_id}").text
    db.execute("insert into execution (job_id, scheduled_for, status, attempt) values (1, now(), 'running', 1)")
    assert 'hx-trigger="every 5s"' in pages.get(f"/jobs/{job_id}").text

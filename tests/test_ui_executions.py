"""The page of all executions: what is in its lines, and how it is narrowed and paged."""

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

T0 = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, name: str = "a", **settings: Any) -> int:
    body = {"name": name, "kind": "ping", "payload": {"url": "https://example.com/"}, "every": "5m", **settings}
    return int(ok(pages.api.post("/jobs", body), 201)["id"])


def wall(instant: datetime) -> str:
    """An instant as a field for one has it, cut to the minute."""
    return f"{instant:%Y-%m-%dT%H:%M}"


def lines(page: str) -> list[str]:
    return page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]


def test_an_empty_page_says_what_comes_here(pages: Pages) -> None:
    """Before anything has run there is an explanation, and a button for those who may write."""
    page = pages.get("/executions").text
    assert "Nothing has run yet" in page
    assert "Create a job" in page
    assert "Create a job" not in pages.as_(VIEWER).get("/executions").text
    assert "Nothing matches" in pages.get("/executions", status="failed").text
    assert "No such job" in pages.get("/executions", job="<b>").text


def test_a_line_says_what_became_of_it(pages: Pages, db: DictConnection) -> None:
    """Job, type, status, retries, times, lateness, output or error in short; the rest is a click away."""
    job_id = add(pages, "<i>one</i>")
    add_execution(db, job_id, T0, "failed", error="<b>HTTP 500</b> " + "x" * 300)
    add_execution(db, job_id, T0 - MINUTE, "success")
    db.execute("update execution set output = '{\"line\": \"HTTP 200, 5 bytes\"}' where status = 'success'")
    db.execute("update execution set attempt = 3 where status = 'failed'")
    failed, success = lines(pages.get("/executions").text)
    for part in ("&lt;i&gt;one", ">ping<", 'badge failed">', '"number">2<', "80 ms", "&lt;b&gt;HTTP 500", "xx…"):
        assert part in failed
    assert "x" * 200 not in failed
    assert f"{T0:%Y-%m-%d %H:%M:%S}" in failed
    assert f"/ui/jobs/{job_id}/executions/{int(T0.timestamp()) * 1_000_000}" in failed
    assert "HTTP 200, 5 bytes" in success
    assert '"number">0<' in success


def test_everybody_sees_his_own(pages: Pages, db: DictConnection) -> None:
    """Others' executions are not listed, whatever the filter; an admin sees all, and can choose an owner."""
    add_execution(db, add(pages.as_(ALICE), "of alice"), T0)
    add_execution(db, add(pages.as_(BOB), "of bob"), T0)
    assert len(lines(pages.get("/executions").text)) == 2
    assert len(lines(pages.get("/executions", owner="bob").text)) == 1
    for query in ({}, {"owner": "bob"}, {"job": "of bob"}, {"job": "2"}):
        assert "of bob</a>" not in pages.as_(ALICE).get("/executions", **query).text


def test_the_list_is_narrowed(pages: Pages, db: DictConnection) -> None:
    """By status, type, time, and by a job's number or name, or what is in it; where several fit, one can be chosen."""
    one, other = add(pages, "nightly report"), add(pages, "hourly report 3", kind="http")
    add_execution(db, one, T0, "failed", error="no")
    add_execution(db, one, datetime.now(timezone.utc) - MINUTE)
    add_execution(db, other, T0)
    for query, count in (
        ({"status": "failed"}, 1),
        ({"kind": "http"}, 1),
        ({"within": "1 h"}, 1),
        ({"job": str(one)}, 2),
        ({"job": "nightly report"}, 2),
        ({"job": "hourly"}, 1),
        ({"job": "hourly", "status": "failed"}, 0),
        ({"job": "3"}, 0),
        ({"job": str(one), "kind": "http"}, 0),
        ({"job": str(one), "owner": "nobody"}, 0),
        ({"since": wall(T0), "until": wall(T0 + MINUTE)}, 2),
        ({"until": wall(T0)}, 0),
        ({"since": wall(T0 + MINUTE)}, 1),
        ({"since": wall(T0), "within": "1 h"}, 1),
        ({"job": "9" * 40}, 0),
    ):
        assert len(lines(pages.get("/executions", **query).text)) == count, query
    several = pages.get("/executions", job="report", status="failed").text
    assert "Which job?" in several
    assert f'href="/ui/executions?status=failed&amp;job={one}"' in several
    assert pages.get("/executions", status="lost").status_code == 422
    assert pages.get("/executions", within="for ever").status_code == 200
    assert pages.get("/executions", job="a\0").status_code == 422


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"since": "soon"}, "from: &#39;soon&#39; is not an instant"),
        ({"until": "2026-02-30T00:00"}, "until: "),
        ({"since": "2026-01-02T00:00", "until": "2026-01-01T00:00"}, "Nothing can lie between"),
    ],
)
def test_a_range_that_makes_no_sense_is_said(
    pages: Pages, db: DictConnection, typed: dict[str, str], said: str
) -> None:
    """The page says what is wrong, keeps what was typed, and neither lists anything nor fetches itself again."""
    add_execution(db, add(pages), T0)
    page = pages.get("/executions", status="success", **typed).text
    assert said in page.partition('role="alert">')[2].partition("</p>")[0]
    assert page.count('aria-invalid="true" aria-describedby="wrong"') == 2
    for value in typed.values():
        assert f'value="{value}"' in page
    assert lines(page) == []
    assert 'hx-trigger="every' not in page


def test_what_became_of_a_deleted_job_is_told_to_admins(pages: Pages, db: DictConnection) -> None:
    """It is listed without a link that leads nowhere; its owner's list has it no more."""
    job_id = add(pages, owner="alice")
    add_execution(db, job_id, T0)
    assert "ping" in lines(pages.as_(ALICE).get("/executions").text)[0]
    pages.api.delete(f"/jobs/{job_id}")
    [line] = lines(pages.get("/executions").text)
    assert f"job {job_id} <span" in line
    assert "(deleted)" in line
    assert "<a " not in line
    assert lines(pages.as_(ALICE).get("/executions").text) == []


def test_pages_lead_on_to_older_ones(pages: Pages, db: DictConnection) -> None:
    """Fifty are on a page; the link to the next keeps the filters, and only the first looks after itself."""
    job_id = add(pages)
    for number in range(51):
        add_execution(db, job_id, T0 - number * MINUTE)
    first = pages.get("/executions", kind="ping").text
    assert len(lines(first)) == 50
    assert 'hx-trigger="every' in first
    link = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "kind=ping" in link
    second = pages.get(link.removeprefix("/ui")).text
    assert len(lines(second)) == 1
    assert "Newest</a>" in second
    assert 'hx-trigger="every' not in second
    assert pages.get("/executions", cursor="nonsense").status_code == 400

"""The overview: what it counts, what it says where there is nothing, and whose rows it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, ok
from tests.log_rows import add_connector, add_workflow, append
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


def note(page: str, label: str) -> str:
    """What a tile says of its number."""
    return (
        page.partition(f'<span class="label">{label}</span>')[2].partition('<span class="label">')[2].partition("<")[0]
    )


def listed(pages: Pages, page: str, label: str) -> list[str]:
    """The lines of the list that a tile leads to."""
    before = page.partition(f'<span class="label">{label}</span>')[0]
    link = unescape(before.rpartition('href="')[2].partition('"')[0])
    found = pages.get(link.removeprefix("/ui"))
    assert found.status_code == 200
    return found.text.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]


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
    assert len(listed(pages, page, "Completed")) == 3
    assert len(listed(pages, page, "Failed")) == 1
    assert tile(pages.get("/", range="6h").text, "Completed") == "4"


@pytest.mark.parametrize(
    ("executed", "range", "rate"),
    [
        (0, "24h", "0/day"),
        (1, "24h", "1/day"),
        (1, "30d", "0.0333/day"),
        (48, "24h", "2/h"),
        (10_800_000, "6h", "500/s"),
    ],
)
def test_throughput_is_told_in_a_unit_that_fits(
    pages: Pages, db: DictConnection, executed: int, range: str, rate: str
) -> None:
    """Few in a day are so many a day, and not millionths a second; what nobody has executed does not count."""
    job_id = add_job(pages)
    execute(db, job_id, "missed", 2)
    execute(db, job_id, "success", 2)
    db.execute("update tally set executions = %s where status = 'success'", (executed,))
    assert tile(pages.get("/", range=range).text, "Throughput") == rate


def test_tiles_say_what_their_numbers_are(pages: Pages, db: DictConnection) -> None:
    """One is no plural, none is said in words, and what waits for a person leads to where it is decided about."""
    page = pages.get("/").text
    assert (tile(page, "Pull lag"), note(page, "Workflow lag")) == ("none", "records ahead")
    assert note(page, "Lateness") == "nothing has begun, last 24 hours"
    assert listed(pages, page, "Dead letters") == []
    connector = add_connector(db, "issues")
    append(db, connector, [{}])
    add_workflow(db, connector, "https://example.com/", "crm")
    execute(db, add_job(pages), "failed", 2)
    page = pages.get("/").text
    assert note(page, "Workflow lag").startswith("record ahead, for")
    assert note(page, "Lateness").startswith("99 % began within")
    assert (tile(page, "Dead letters"), note(page, "Dead letters")) == ("1", "waits for you to redrive or discard")
    assert len(listed(pages, page, "Dead letters")) == 1
    db.execute("insert into timer (url, due_at, status, finished_at) values ('https://x/', now(), 'failed', now())")
    page = pages.get("/").text
    assert note(page, "Timers") == "pending, 1 failed"
    assert (tile(page, "Dead letters"), note(page, "Dead letters")) == ("2", "wait for you to redrive or discard")


def test_who_has_timers_only_is_no_beginner(pages: Pages) -> None:
    """A timer is scheduled, too."""
    ok(pages.api.post("/timers", {"url": "https://example.com/", "seconds": 3600}), 201)
    assert "Nothing is scheduled yet" not in pages.get("/").text


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


def test_what_cannot_run_or_has_stopped_is_failing(pages: Pages, db: DictConnection) -> None:
    """Whatever a tile counts as failing is named below, with why."""
    connector = add_connector(db, "issues")
    workflow = add_workflow(db, connector, "https://example.com/", "crm")
    db.execute("update workflow_progress set stopped_at = 1, error = 'HTTP 422' where workflow_id = %s", (workflow,))
    db.execute("update connector set error = 'no such host'")
    page = pages.get("/").text
    assert note(page, "Connectors") == "0 active, 0 paused, 1 in error"
    assert note(page, "Workflows") == "1 active, 0 paused; 1 stopped"
    failing = page.partition("<h2>Failing now</h2>")[2]
    for part in (f"/ui/workflows/{workflow}", "HTTP 422", f"/ui/connectors/{connector}", "no such host", "cannot run"):
        assert part in failing


def test_what_is_due_next_is_a_tile_that_leads_to_it(pages: Pages) -> None:
    """The first of all to be due, by name and with its instant, which a script never tells as past; or nothing."""
    assert tile(pages.get("/").text, "Due next") == "nothing"
    job_id = add_job(pages, "<soon>")
    page = pages.get("/").text
    assert note(page, "Due next") == "&lt;soon&gt;"
    shown, _, rest = page.partition('<span class="label">Due next</span>')
    assert shown.rstrip().endswith(f'href="/ui/jobs/{job_id}">')
    assert 'data-relative="due"' in rest.partition("</a>")[0]


def test_commands_in_a_warning_are_code(pages: Pages, db: DictConnection) -> None:
    """What stands between backticks is marked as code, and whatever else is in the text stays text."""
    db.execute(
        "insert into warning (subject, what, name, since, first_seen_at, last_seen_at, text)"
        " values ('1', 'disk', 'the disk', now(), now(), now(), 'full of <b>: `./millrace <x>` mends it, not ` this')"
    )
    page = pages.get("/").text
    assert "full of &lt;b&gt;: <code>./millrace &lt;x&gt;</code> mends it, not ` this." in page


def test_everybody_sees_his_own_numbers(pages: Pages, db: DictConnection) -> None:
    """Another owner's job neither counts nor fails on my page."""
    execute(db, add_job(pages.as_(ALICE)), "failed", 5)
    assert tile(pages.as_(ALICE).get("/").text, "Failed") == "1"
    others = pages.as_(BOB).get("/").text
    assert tile(others, "Failed") == "0"
    assert "Nothing is scheduled yet" in others

"""Every screen, with rows in every state: for people who cannot see it, who use no mouse, or who hold a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from include.store.db import DictConnection
from tests.browser import Watched, dashboard_of, keep_picture
from tests.log_rows import add_connector, add_workflow, append
from tests.test_store import add_job

pytest_plugins = ["tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

AXE = (Path(__file__).parent / "vendor" / "axe-core-4.14.1.min.js").read_text("utf-8")
STATUSES = ("success", "failed", "retrying", "missed", "skipped", "running", "cancelled")
NARROW, WIDE = {"width": 360, "height": 800}, {"width": 1280, "height": 900}


def seed(db: DictConnection) -> dict[str, str]:
    """Rows in every state; the paths of all screens by their names, those of empty lists and of forms, too."""
    job = add_job(db, "nightly report", every="5 minutes", owner="admin")
    add_job(db, "a name without any blank in which it could be broken_" + "x" * 140, every="1 hour")
    add_job(db, "paused", every="1 hour", is_active=False)
    broken = add_job(db, "cannot run", every="1 hour")
    db.execute("update job set error = 'payload.url: Field required' where id = %s", (broken,))
    for minutes in range(60):
        db.execute(
            "insert into execution (job_id, scheduled_for, status, origin, attempt, started_at, finished_at, error)"
            " select %(job)s, due, %(status)s, 'schedule', 1, due + interval '3 ms',"
            " case when %(status)s not in ('running', 'retrying') then due + interval '1 second' end,"
            " case when %(status)s = 'failed' then 'POST https://example.com/: 503 Service Unavailable' end"
            " from (select date_trunc('minute', now()) - %(ago)s * interval '1 minute' as due) as at",
            {"job": job, "status": STATUSES[minutes % len(STATUSES)], "ago": minutes + 1},
        )
    db.execute(
        "insert into job_health (job_id, failures, failing_since, last_error)"
        " values (%s, 3, now() - interval '1 hour', '503 Service Unavailable')",
        (job,),
    )
    connector = add_connector(db, "tickets")
    append(db, connector, [{"title": f"ticket {number}", "tags": ["a", "b"]} for number in range(20)])
    workflow = add_workflow(db, connector, "https://example.com/hook", "to the desk")
    db.execute("update workflow_progress set position = 5 where workflow_id = %s", (workflow,))
    timer = db.execute(
        "insert into timer (url, due_at) values ('https://example.com/t', now() + interval '1 hour') returning id"
    ).fetchone()
    assert timer is not None
    row = db.execute("select id from audit where table_name = 'job' order by id desc limit 1").fetchone()
    due = db.execute(
        "select (extract(epoch from scheduled_for) * 1000000)::bigint as due from execution where status = 'failed'"
    ).fetchone()
    assert row is not None
    assert due is not None
    lists = ("jobs", "executions", "connectors", "workflows", "timers", "audit", "records")
    return {
        "overview": "/",
        **{name: f"/{name}" for name in lists},
        **{f"{name}-form": f"/{name}s/new" for name in ("job", "connector", "workflow", "timer")},
        "jobs-none": "/jobs?search=nothing",
        "dead-letters": "/dead-letters",
        "job": f"/jobs/{job}",
        "job-edit": f"/jobs/{job}/edit",
        "job-error": f"/jobs/{broken}",
        "execution": f"/jobs/{job}/executions/{due['due']}",
        "connector": f"/connectors/{connector}",
        "connector-edit": f"/connectors/{connector}/edit",
        "records-of-one": f"/records?connector={connector}",
        "record": f"/records/{connector}/3",
        "workflow": f"/workflows/{workflow}",
        "workflow-edit": f"/workflows/{workflow}/edit",
        "timer": f"/timers/{timer['id']}",
        "audit-entry": f"/audit/{row['id']}",
        "row-tab": f"/dag/job_{job}",
    }


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical on the page (WCAG 2.2, AA, and its own good practice)."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_screen_is_accessible_and_fits(
    browser: Browser, database_url: str, db: DictConnection, theme: str
) -> None:
    """axe-core finds nothing serious, nothing scrolls sideways at 360 px, the console is silent; pictures are kept."""
    paths = seed(db)
    with dashboard_of(database_url) as url:
        person = Watched(browser, url, caller="admin", theme=theme)
        wrong = []
        for name, path in paths.items():
            page = person.page(path)
            page.set_viewport_size(WIDE)
            assert page.locator("h1").count() == 1, name
            keep_picture(page, f"{name}-{theme}")
            wrong += [f"{name}: {fault}" for fault in faults(page)]
            page.set_viewport_size(NARROW)
            keep_picture(page, f"{name}-{theme}-narrow")
            width = page.evaluate("document.documentElement.scrollWidth")
            wrong += [f"{name}: {width} px wide"] if width > NARROW["width"] else []
            page.close()
        assert wrong + person.wrong == []
        person.close()


def test_a_deletion_needs_no_mouse(browser: Browser, database_url: str, db: DictConnection) -> None:
    """With the keyboard alone: to the search, to a button, through the question; Escape leaves everything as it is."""
    add_job(db, "mine", every="1 hour", owner="admin")
    with dashboard_of(database_url) as url:
        person = Watched(browser, url, caller="admin")
        page = person.page("/jobs")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "search"
        button = page.get_by_role("row", name="mine").get_by_role("button", name="Delete")
        button.focus()
        page.keyboard.press("Enter")
        page.locator("dialog[open]").wait_for()
        page.keyboard.press("Escape")
        page.locator("dialog:not([open])").wait_for(state="attached")
        assert db.execute("select name from job").fetchall() == [{"name": "mine"}]
        button.focus()
        page.keyboard.press("Enter")
        page.locator("dialog[open]").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_text("mine is deleted.").wait_for()
        assert db.execute("select name from job").fetchall() == []
        assert person.wrong == []
        person.close()

"""The form for jobs in a real browser: the settings of a kind, and a trial, come in place; errors get the focus."""

from __future__ import annotations

import time
from ipaddress import ip_network
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.browser import Watched, chromium, dashboard_of, keep_picture
from tests.json_server import answering

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_job_is_filled_in_tried_mended_and_created(theme: str, database_url: str, db: DictConnection) -> None:
    """Nothing typed is lost on the way from an empty form to a job, and every step can be made by keyboard; who presses
    twice tries it once, and the focus stays where it is."""
    allowed = (ip_network("127.0.0.0/8"),)
    asked: list[Any] = []

    def answer(method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        asked.append(body)
        time.sleep(0.5)  # as long as it takes to press twice
        return 200, {"ok": True}

    with (
        dashboard_of(database_url, egress_allow=allowed) as url,
        answering(answer) as receiver,
        chromium() as browser,
    ):
        watched = Watched(browser, url, caller="admin", theme=theme)
        page = watched.page("/jobs/new")
        page.get_by_label("Name").fill("nightly")
        page.get_by_label("Kind").select_option("webhook")
        page.get_by_label("URL").fill(receiver)
        page.get_by_label("Body").fill("{")
        page.get_by_role("button", name="Try it now").click()
        page.get_by_role("link", name="Body: it is no JSON").click()
        assert page.evaluate("document.activeElement.id") == "payload-body"
        watched.expect_refusal(422)
        page.keyboard.press("Control+A")
        page.keyboard.type('{"report": "nightly"}')
        for _ in range(2):
            page.get_by_role("button", name="Try it now").press("Enter")
        page.locator("#trial .badge.success").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "Try it now"
        assert len(asked) == 1
        keep_picture(page, f"job-form-{theme}")
        page.get_by_text("Attempts and retries").click()
        page.get_by_label("Retries", exact=True).fill("many")
        page.get_by_role("button", name="Create the job").click()
        page.get_by_role("alert").wait_for()
        assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"
        watched.expect_refusal(422)
        page.get_by_role("link", name="Retries").click()
        assert page.evaluate("document.activeElement.id") == "retries"
        page.set_viewport_size({"width": 360, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.get_by_label("Retries", exact=True).fill("7")
        page.keyboard.press("Enter")
        page.get_by_text("nightly is created.").wait_for()
        assert watched.wrong == []
        watched.close()
    [row] = db.execute("select name, payload, retries from job").fetchall()
    assert row == {"name": "nightly", "payload": {"url": receiver, "body": {"report": "nightly"}}, "retries": 7}

"""Take the pictures of the README anew, of the system that `./millrace up --detach` has started with its demo.

.venv/bin/python docs/screens/take.py

Let the demo run for a while first, so that there is something to see. It needs Chromium, and what the tests need.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_HERE = Path(__file__).parent
_PROJECT = _HERE.parents[1]
_CHROMIUM = "/usr/bin/chromium"
_SIZE = {"width": 1280, "height": 800}
_WITHIN_AIRFLOW = "/plugin/millrace/millrace/ui"


def main() -> None:
    """Log in by Airflow's form, once in light and once in dark, and keep what each page looks like in its window."""
    told = subprocess.run([_PROJECT / "millrace", "status", "--json"], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    facts = json.loads(told.stdout)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for theme in ("light", "dark"):
            page = browser.new_context(viewport=_SIZE, locale="en-GB").new_page()
            _log_in(page, facts, theme)
            for name, path in _pages(facts).items():
                page.goto(f"{facts['url']}{_WITHIN_AIRFLOW}{path}")
                frame = page.frame_locator("iframe[title=Millrace]")
                frame.get_by_role("heading", level=1).wait_for()
                _choose(page, name)
                page.wait_for_timeout(1_500)  # charts are drawn, and what comes by itself has come
                page.screenshot(path=_HERE / f"{name}-{theme}.png")
        browser.close()


def _pages(facts: dict[str, str]) -> dict[str, str]:
    """What is shown, by the names of the pictures."""
    rows = "select (select min(id) from job where every is not null), (select min(id) from workflow)"
    told = subprocess.run(  # noqa: S603 - ours
        [_PROJECT / "millrace", "sql", f"copy ({rows}) to stdout"], capture_output=True, text=True, check=True
    )
    job, workflow = told.stdout.split()
    return {
        "overview": "/?range=1h",
        "job": f"/jobs/{job}",
        "new-job": "/jobs/new?kind=webhook",
        "workflow": f"/workflows/{workflow}",
    }


def _log_in(page: Page, facts: dict[str, str], theme: str) -> None:
    page.goto(facts["url"])
    page.wait_for_selector("input[name=username]")
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.fill("input[name=username]", facts["user"])
    page.fill("input[name=password]", facts["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Millrace").wait_for()


def _choose(page: Page, name: str) -> None:
    """Fill in a part of the form, so that the picture shows what it is for."""
    if name != "new-job":
        return
    frame = page.frame_locator("iframe[title=Millrace]")
    frame.locator("#name").fill("weekly report")
    frame.locator("[name='payload.url']").fill("https://example.com/hooks/report")
    frame.locator("input[name=schedule][value=weekly]").check()
    frame.locator("input[name=weekly_at]").fill("09:00")
    frame.locator("#timezone").fill("Europe/Berlin")
    frame.locator("ol").first.wait_for()


if __name__ == "__main__":
    main()

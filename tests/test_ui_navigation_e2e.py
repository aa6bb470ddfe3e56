"""The dashboard inside Airflow's own UI, in a browser, against the whole system."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser import keep_picture
from tests.real_system import Receiver, System, wait_for

pytest_plugins = ["tests.real_system_fixtures", "tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

_PATIENCE_MS = 30_000
# Airflow's own choice of a sandbox, of which the browser warns at each page in it.
_NO_FAULT = "can escape its sandboxing"


def log_in(browser: Browser, system: System, theme: str, wrong: list[str]) -> Page:
    """Airflow's UI as a person opens it, by its form; what its console says of our pages is noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()

    def hear(message: ConsoleMessage) -> None:
        is_ours = "/millrace/" in message.location.get("url", "")
        if is_ours and message.type in ("error", "warning") and _NO_FAULT not in message.text:
            wrong.append(message.text)

    page.on("console", hear)
    page.goto(system.facts["url"])
    page.wait_for_selector("input[name=username]")
    page.evaluate(f"localStorage.setItem('theme', '{theme}')")
    page.fill("input[name=username]", system.facts["user"])
    page.fill("input[name=password]", system.facts["password"])
    page.get_by_role("button", name="Sign in").click()
    return page


def wait_for_scripts(page: Page) -> None:
    """Until what is in the frame has come as a whole: it is a script that leads out of it."""
    page.wait_for_function("document.querySelector('iframe')?.contentDocument?.readyState === 'complete'")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_airflow_leads_to_the_dashboard_and_back(
    system: System, receiver: Receiver, browser: Browser, theme: str
) -> None:
    """An entry in the navigation opens the pages, in Airflow's theme; a link leads out of the frame to the DAG, whose
    tab shows the row, and from there back to the job, and to the log of its run."""
    job = system.add(f"seen in {theme}", receiver.url(f"/{theme}"), every="2 seconds")
    wait_for(lambda: receiver.to(f"/{theme}"), "call")
    root, wrong = system.facts["url"], list[str]()
    page = log_in(browser, system, theme, wrong)
    expect.set_options(timeout=_PATIENCE_MS)

    page.get_by_role("link", name="Millrace", exact=True).click()
    frame = page.frame_locator("iframe[title=Millrace]")
    expect(frame.get_by_role("navigation", name="Millrace")).to_be_visible()
    expect(frame.locator("html")).to_have_attribute("data-theme", theme)
    frame.get_by_role("link", name="Jobs", exact=True).click()
    expect(frame.get_by_role("heading", name="Jobs")).to_be_visible()
    page.wait_for_url(f"{root}/plugin/millrace/millrace/ui/jobs")
    keep_picture(page, f"airflow-jobs-{theme}")

    frame.get_by_label("Search").fill(theme)
    page.wait_for_url(f"{root}/plugin/millrace/millrace/ui/jobs?search={theme}*")

    frame.get_by_role("link", name=f"seen in {theme}").click()
    page.wait_for_url(f"{root}/plugin/millrace/millrace/ui/jobs/{job}")
    page.reload()
    expect(frame.get_by_role("heading", name=f"seen in {theme}")).to_be_visible()
    wait_for_scripts(page)
    frame.get_by_role("link", name=f"job_{job}", exact=True).click()
    page.wait_for_url(f"{root}/dags/job_{job}")

    page.get_by_role("link", name="Row", exact=True).click()
    tab = page.frame_locator("iframe[title=Row]")
    expect(tab.get_by_role("heading", name=f"seen in {theme}")).to_be_visible()
    keep_picture(page, f"airflow-row-{theme}")
    wait_for_scripts(page)
    tab.get_by_role("link", name="Open the job").click()
    page.wait_for_url(f"{root}/plugin/millrace/millrace/ui/jobs/{job}")

    frame.locator("ol.strip a").first.click()
    run = system.sql("select dag_run_id from execution where job_id = %s order by scheduled_for", job)[0]["dag_run_id"]
    page.wait_for_url(f"{root}/plugin/millrace/millrace/ui/jobs/{job}/executions/*")
    frame.get_by_role("link", name="its log").click()
    page.wait_for_url(f"{root}/dags/job_{job}/runs/{quote(run, safe='')}/tasks/fire*")
    expect(page.get_by_text("starting")).to_be_visible()
    page.context.close()
    assert wrong == []


def test_pages_follow_when_airflow_changes_its_theme(system: System, browser: Browser) -> None:
    """Light becomes dark in the frame as soon as it does around it."""
    page = log_in(browser, system, "light", [])
    page.get_by_role("link", name="Millrace", exact=True).click()
    inside = page.frame_locator("iframe[title=Millrace]").locator("html")
    expect(inside).to_have_attribute("data-theme", "light", timeout=_PATIENCE_MS)
    page.get_by_role("button", name="User").click()
    page.get_by_role("menuitem", name="Appearance").click()
    page.get_by_role("menuitemradio", name="Dark Mode").click()
    expect(inside).to_have_attribute("data-theme", "dark", timeout=_PATIENCE_MS)
    page.context.close()

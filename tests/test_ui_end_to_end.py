"""People at a browser configure and watch everything, in a really started system: no SQL, no command line."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from tests.person import Person
from tests.real_system import Receiver, System, wait_for
from tests.smtp_server import Mailing, serving

pytest_plugins = ["tests.real_system_fixtures", "tests.browser_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


@pytest.fixture
def admin(browser: Browser, system: System) -> Iterator[Person]:
    person = Person(browser, system)
    yield person
    person.leave()


def connect(system: System, mailing: Mailing) -> None:
    """The connections that kinds need, as an admin makes them in Airflow."""
    place = urlsplit(system.facts["database_url"])
    own = {"conn_type": "postgres", "host": place.hostname, "port": place.port, "login": place.username}
    own |= {"password": place.password, "schema": place.path[1:]}
    mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": mailing.port}
    mail["extra"] = '{"disable_ssl": true, "disable_tls": true, "from_email": "millrace@example.com"}'
    known = {row["connection_id"] for row in system.api("GET", "/connections")["connections"]}
    for name, connection in {"screens_sql": own, "screens_mail": mail}.items():
        if name not in known:
            system.api("POST", "/connections", {"connection_id": name, **connection})


def fill_job(person: Person, name: str, kind: str, payload: dict[str, str], schedule: str) -> None:
    """The form of a new job, filled in and sent; `schedule` is every so many seconds, or by hand."""
    page = person.open("/jobs/new")
    page.fill("#name", name)
    page.select_option("#kind", kind)
    expect(page.locator("input[name=shown_kind]")).to_have_value(kind)
    for field, value in payload.items():
        control = page.locator(f"[name='payload.{field}']")
        if not control.is_visible():
            page.locator("details.more", has=control).locator("summary").click()
        control.fill(value)
    if schedule == "by_hand":
        page.check("input[name=schedule][value=by_hand]")
    else:
        page.check("input[name=schedule][value=every]")
        page.fill("#every", schedule)
        page.select_option("select[name=every_unit]", "seconds")
    person.press("Create the job")
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def test_a_job_of_each_kind_is_made_in_a_form_and_fires(admin: Person, system: System, receiver: Receiver) -> None:
    """Every kind has a form of its own; the job's page shows its success by itself, however it is run."""
    with serving(Mailing()) as mailing:
        connect(system, mailing)
        kinds = {
            "ping": ({"url": receiver.url("/screens/ping")}, "2"),
            "http": ({"url": receiver.url("/screens/http")}, "2"),
            "webhook": ({"url": receiver.url("/screens/webhook"), "body": '{"a": 1}'}, "2"),
            "slack": ({"url": receiver.url("/screens/slack"), "text": "Hello"}, "by_hand"),
            "email": ({"conn_id": "screens_mail", "to": "a@example.com", "subject": "Hi", "text": "x"}, "by_hand"),
            "sql": ({"conn_id": "screens_sql", "sql": "select 1"}, "by_hand"),
            "python": ({"function": "example:greet", "arguments": '{"name": "Ada"}'}, "by_hand"),
            "shell": ({"command": "echo hello"}, "by_hand"),
        }
        for kind, (payload, schedule) in kinds.items():
            fill_job(admin, f"screens: {kind}", kind, payload, schedule)
            if schedule == "by_hand":
                admin.press("Run now")
                admin.expect_said("has been started")
        for kind in kinds:
            [job] = system.sql("select id from job where name = %s", f"screens: {kind}")
            wait_for(
                lambda job=job: system.sql(
                    "select 1 as found from execution where job_id = %s and status = 'success'", job["id"]
                ),
                f"success of {kind}",
            )
            page = admin.open(f"/jobs/{job['id']}")
            expect(page.locator("table .badge.success").first).to_be_visible()
        assert [mail.parsed["subject"] for mail in mailing.mails] == ["Hi"]
    system.sql("delete from job where name like 'screens: %%'")


def test_a_job_is_edited_paused_and_removed(admin: Person, system: System, receiver: Receiver) -> None:
    """What is wrong is said beside its field; an edit counts at the next fire; a paused job is silent."""
    fill_job(admin, "screens edited", "webhook", {"url": receiver.url("/screens/old")}, "1")
    [job] = system.sql("select id from job where name = 'screens edited'")
    wait_for(lambda: receiver.to("/screens/old"), "call")
    page = admin.open(f"/jobs/{job['id']}/edit")
    page.fill("[name='payload.url']", "nonsense")
    admin.press("Save")
    expect(page.locator("#payload-url-wrong")).to_be_visible()
    expect(page.locator("[name='payload.url']")).to_have_value("nonsense")
    admin.expect_refusal(422)
    page.fill("[name='payload.url']", receiver.url("/screens/new"))
    admin.press("Save")
    expect(page.get_by_role("heading", name="screens edited", level=1)).to_be_visible()
    wait_for(lambda: receiver.to("/screens/new"), "call by the new address")
    admin.press("Pause")
    admin.expect_said("screens edited is paused.")
    wait_for(lambda: system.api("GET", f"/dags/job_{job['id']}")["is_paused"], "pause in Airflow")
    admin.press("Delete")
    admin.expect_said("screens edited is deleted.")
    assert system.sql("select id from job where name = 'screens edited'") == []


def test_a_trial_runs_once_and_saves_nothing(admin: Person, system: System, receiver: Receiver) -> None:
    """Try it now shows what came back, of a kind in the triggerer and of one on a worker, and there is no job."""
    page = admin.open("/jobs/new")
    page.fill("#name", "screens tried")
    page.select_option("#kind", "webhook")
    page.fill("[name='payload.url']", receiver.url("/screens/tried"))
    admin.press("Try it now")
    expect(page.locator("#trial .badge.success")).to_be_visible()
    assert len(receiver.to("/screens/tried")) == 1
    page.select_option("#kind", "shell")
    page.fill("[name='payload.command']", "echo tried here")
    admin.press("Try it now")
    expect(page.locator("#trial")).to_contain_text("tried here")
    assert system.sql("select id from job where name = 'screens tried'") == []


def test_a_failure_is_seen_and_redriven(admin: Person, system: System, receiver: Receiver) -> None:
    """A permanent failure is in the list of executions with its error; redriving it makes a success of it."""
    receiver.answers["/screens/broken"] = [404]
    fill_job(admin, "screens broken", "webhook", {"url": receiver.url("/screens/broken")}, "by_hand")
    admin.press("Run now")
    admin.expect_said("has been started")
    [job] = system.sql("select id from job where name = 'screens broken'")
    failed = "select 1 as found from execution where job_id = %s and status = %s"
    wait_for(lambda: system.sql(failed, job["id"], "failed"), "failure")
    page = admin.open("/executions?status=failed")
    row = page.locator("tr", has_text="screens broken").first
    expect(row).to_contain_text("404")
    admin.open(f"/jobs/{job['id']}").locator("table.list tbody th a").first.click()
    expect(page.locator("h1 .badge.failed")).to_be_visible()
    admin.keep("execution-failed-light")
    admin.press("Redrive")
    wait_for(lambda: system.sql(failed, job["id"], "success"), "success")
    expect(page.locator("h1 .badge.success")).to_be_visible()


def test_records_come_in_and_a_workflow_catches_up(admin: Person, system: System, receiver: Receiver) -> None:
    """A connector is previewed, saved and pulls; its records can be looked through; a workflow's lag falls to none."""
    receiver.pages["/screens/items"] = [{"id": number, "title": f"item {number}"} for number in range(1, 8)]
    page = admin.open("/connectors/new")
    page.fill("#name", "screens items")
    page.select_option("#kind", "rest")
    expect(page.locator("input[name=shown_kind]")).to_have_value("rest")
    page.fill("[name='config.base_url']", receiver.url(""))
    page.fill("[name='config.path']", "/screens/items")
    key = page.locator("[name='config.primary_key']")
    if not key.is_visible():
        page.locator("details.more", has=key).locator("summary").click()
    key.fill("id")
    page.fill("#every", "2s")
    admin.press("Preview")
    expect(page.locator("#preview")).to_contain_text("7 records, the first 5 of them")
    assert system.sql("select id from connector where name = 'screens items'") == []
    admin.press("Create the connector")
    expect(page.get_by_role("heading", name="screens items", level=1)).to_be_visible()
    wait_for(lambda: len(system.sql("select * from record where payload->>'title' like 'item %%'")) == 7, "records")
    [connector] = system.sql("select id from connector where name = 'screens items'")
    page = admin.open(f"/records?connector={connector['id']}&search=item%206")
    expect(page.locator("table.list")).to_contain_text("item 6")
    expect(page.locator("table.list")).not_to_contain_text("item 5")

    page = admin.open("/workflows/new")
    page.fill("#name", "screens flow")
    page.select_option(
        "[name=connector]", label=page.locator("[name=connector] option", has_text="screens items").inner_text()
    )
    page.select_option("#kind", "webhook")
    expect(page.locator("input[name=shown_kind]")).to_have_value("webhook")
    page.fill("[name='payload.url']", receiver.url("/screens/flow"))
    page.fill("#every", "1s")
    page.fill("[name=start_from]", "beginning")
    admin.press("Create the workflow")
    expect(page.get_by_role("heading", name="screens flow", level=1)).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("it has caught up")
    admin.press("Pause")
    admin.expect_said("screens flow is paused")
    receiver.pages["/screens/items"] = [{"id": number, "title": f"item {number}"} for number in range(1, 21)]
    expect(page.locator("#progress .tile", has_text="Lag in records").locator(".value")).to_have_text("13")
    admin.press("Resume")
    expect(page.locator("#progress")).to_contain_text("it has caught up")
    assert [call for call in receiver.bodies["/screens/flow"] if b"item 20" in call]
    admin.keep("workflow-light")


def test_a_timer_is_set_and_cancelled(admin: Person, system: System, receiver: Receiver) -> None:
    """A timer counts down before one's eyes; once cancelled, it is never sent."""
    page = admin.open("/timers/new")
    page.fill("#hours", "2")
    page.fill("[name='url'], [name='payload.url']", receiver.url("/screens/timer"))
    admin.press("Set the timer")
    page = admin.open("/timers")
    row = page.locator("tr", has_text="/screens/timer")
    expect(row).to_contain_text("in 1h 59m")
    row.get_by_role("button", name="Cancel").click()
    page.locator("dialog#confirm").get_by_role("button", name="Confirm").click()
    expect(row).to_have_count(0)
    assert system.sql("select status from timer where url like '%%/screens/timer'") == [{"status": "cancelled"}]


def test_another_owners_row_is_not_there(browser: Browser, admin: Person, system: System) -> None:
    """A user sees his own rows, and of another's not even that they exist."""
    job = system.add("screens of somebody", "http://127.0.0.1:9/", every="1 hour", owner="somebody")
    user = Person(browser, system, name="bea")
    page = user.open(f"/jobs/{job}")
    expect(page.get_by_role("heading", name="Not Found")).to_be_visible()
    user.expect_refusal(404)
    expect(user.open("/jobs").locator("main")).not_to_contain_text("screens of somebody")
    user.leave()
    expect(admin.open("/jobs?search=screens of somebody").locator("main")).to_contain_text("somebody")
    page = admin.open(f"/audit?table=job&row_id={job}")
    expect(page.locator("main")).to_contain_text("insert")

"""Trying a job out from its form: it is really done, its outcome is shown beside the form, and nothing is saved."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from psycopg.types.json import Json

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.html_form import form_of
from tests.json_server import answering
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url, egress_allow=(ip_network("127.0.0.0/8"),)) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """A URL, and what it was sent; it answers with a status and with HTML."""
    asked: list[Any] = []

    def answer(method: str, path: str, headers: dict[str, str], body: Any) -> tuple[int, Any]:
        asked.append(body)
        return (500 if path == "/broken" else 200), {"said": "<script>alert(1)</script>"}

    with answering(answer) as url:
        yield url, asked


def filled(pages: Pages, kind: str, **typed: str) -> dict[str, Any]:
    form: dict[str, Any] = form_of(pages.get("/jobs/new", kind=kind).text, "job-form")
    return form | {name.replace("__", "."): value for name, value in typed.items()}


def part(page: str) -> str:
    """What is said of the trial."""
    return page.partition('<div id="trial"')[2].partition("</aside>")[0].partition("</main>")[0]


def test_what_is_filled_in_is_run_once(pages: Pages, db: DictConnection, receiver: tuple[str, list[Any]]) -> None:
    """The receiver is called; what it said is shown as text, the form keeps all that was typed, and no job is there."""
    url, asked = receiver
    form = filled(pages, "webhook", payload__url=url, payload__body='{"n": 1}', retries="7")
    page = pages.send("/jobs/trial", form)
    assert page.status_code == 200
    assert asked == [{"n": 1}]
    assert 'class="badge success"' in part(page.text)
    assert f"POST {url}" in part(page.text)
    assert "&lt;script&gt;" in part(page.text)
    again = form_of(page.text, "job-form")
    assert (again["retries"], again["payload.url"], again["key"]) == (["7"], [url], form["key"])
    assert db.execute("select id from job union all select id from trial").fetchall() == []
    failed = part(pages.send("/jobs/trial", form | {"payload.url": f"{url}/broken"}).text)
    assert 'class="badge failed"' in failed
    assert "500" in failed


def test_what_is_wrong_is_said_where_it_was_tried(pages: Pages, receiver: tuple[str, list[Any]]) -> None:
    """A field that does not fit is linked to; a schedule, or a name, that is still missing does not matter."""
    url, asked = receiver
    wrong = pages.send("/jobs/trial", filled(pages, "webhook", payload__body="{", timeout="soon"))
    assert wrong.status_code == 422
    assert 'href="#payload-body"' in part(wrong.text)
    missing = pages.send("/jobs/trial", filled(pages, "webhook", timeout="soon"), HX_Request="true")
    assert missing.status_code == 422
    assert 'href="#timeout"' in part(missing.text)
    assert asked == []
    assert "choose what the job does" in part(pages.send("/jobs/trial", {"name": "a"}).text)
    assert pages.send("/jobs/trial", filled(pages, "webhook", payload__url=url, cron="nonsense")).status_code == 200


def test_an_edit_can_be_tried_before_it_is_saved(
    pages: Pages, db: DictConnection, receiver: tuple[str, list[Any]]
) -> None:
    """What is typed is tried, what is stored stays."""
    url, asked = receiver
    job = {"name": "a", "kind": "webhook", "payload": {"url": url, "body": {"old": 1}}}
    job_id = ok(pages.api.post("/jobs", job), 201)["id"]
    form: dict[str, Any] = form_of(pages.get(f"/jobs/{job_id}/edit").text, "job-form")
    page = pages.send("/jobs/trial", form | {"payload.body": '{"new": 2}'})
    assert asked == [{"new": 2}]
    assert f'action="/ui/jobs/{job_id}/edit"' in page.text
    assert db.execute("select payload from job").fetchall() == [{"payload": job["payload"]}]


def test_who_may_not_write_tries_nothing(pages: Pages, receiver: tuple[str, list[Any]]) -> None:
    """Viewers are refused, and so are kinds that are for admins."""
    url, asked = receiver
    form = filled(pages, "webhook", payload__url=url)
    assert pages.as_(VIEWER).send("/jobs/trial", form).status_code == 403
    refused = pages.as_(ALICE).send("/jobs/trial", filled(pages, "shell", payload__command="true"))
    assert refused.status_code == 403
    assert "is for admins" in part(refused.text)
    assert asked == []


def test_a_trial_on_a_worker_is_waited_for(pages: Pages, db: DictConnection) -> None:
    """While it runs, its part of the page asks again; once it has ended, it shows what came of it, to who tried."""
    add = "insert into trial (owner, kind, payload, timeout) values ('alice', 'sql', '{}', '30s') returning id"
    [row] = db.execute(add).fetchall()
    path = f"/jobs/trials/{row['id']}"
    running = pages.as_(ALICE).get(path).text
    assert f'hx-get="/ui{path}"' in part(running)
    assert 'hx-trigger="every 2s"' in part(running)
    assert pages.as_(BOB).get(path).status_code == 404
    assert pages.get("/jobs/trials/99999999999999999999").status_code == 422
    outcome = {"attempts": [{"attempt": 1, "error": "no table <a>"}], "output": None, "error": "no table <a>"}
    ended = "status = 'failed', started_at = now(), finished_at = now(), payload = null, outcome = %s"
    db.execute(f"update trial set {ended}".encode(), [Json(outcome)])
    shown = part(pages.as_(ALICE).get(path).text)
    assert "hx-get" not in shown
    assert 'class="badge failed"' in shown
    assert "no table &lt;a&gt;" in shown

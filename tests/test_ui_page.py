"""What is the same of every page: where it leads after a form or without a login, wherever it is mounted."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from include.settings import Settings
from include.store.db import DictConnection
from include.ui.app import create_app
from tests.api_client import ADMIN, stated_login
from tests.test_store import add_job
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

FORM = {"X-Caller": ADMIN.name, "Content-Type": "application/x-www-form-urlencoded"}
HOST = "http://millrace.test"


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


@pytest.fixture
def below_a_path(database_url: str) -> Iterator[TestClient]:
    """The dashboard where Airflow itself is below a path: `[api] base_url` is http://millrace.test/airflow."""
    airflow = FastAPI(root_path="/airflow")
    inside = create_app(Settings(database_url=database_url), login=stated_login)
    airflow.mount("/millrace", inside)
    airflow.router.lifespan_context = lambda _: inside.router.lifespan_context(inside)
    with TestClient(airflow, base_url=HOST) as client:
        yield client


@pytest.mark.parametrize(
    "before",
    [
        "http://[",
        "",
        "https://elsewhere.test/ui/jobs",
        f"{HOST}//elsewhere.test/ui/jobs",
        f"{HOST}\\@elsewhere.test/ui/jobs",
        f"http://user@{HOST[7:]}/ui/jobs",
        f"{HOST}/logout",
        f"{HOST}/uijobs",
        "//elsewhere.test/ui/jobs",
        "javascript:alert(1)",
    ],
)
def test_a_form_leads_to_no_page_but_ours(pages: Pages, db: DictConnection, before: str) -> None:
    """Whatever a browser, or something else, says of the page before: what was asked for is done, and said."""
    job_id = add_job(db, owner=ADMIN.name)
    for name in ("Referer", "HX_Current_URL"):
        answer = pages.send(f"/jobs/{job_id}/pause", follow=False, **{name: before})
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")
    assert db.execute("select is_active from job").fetchone() == {"is_active": False}


def test_what_was_done_is_told_to_our_pages_only(pages: Pages, db: DictConnection) -> None:
    """The cookie that says it is for no script, for no other path and, where there is TLS, not sent without."""
    path = f"/ui/jobs/{add_job(db, owner=ADMIN.name)}/pause"
    client = pages._client
    plain, tls = (
        client.post(f"{origin}{path}", headers=FORM, follow_redirects=False) for origin in ("", "https://a.b")
    )
    for answer in (plain, tls):
        assert {"HttpOnly", "Path=/ui", "SameSite=lax"} <= set(answer.headers["set-cookie"].split("; "))
    assert "Secure" in tls.headers["set-cookie"]
    assert "Secure" not in plain.headers["set-cookie"]


def test_what_the_cookie_says_is_text(pages: Pages) -> None:
    """Whoever could set it could make no element of it."""
    shown = pages._client.get("/ui/jobs", headers={**FORM, "Cookie": "millrace_said=%3Cb%3Ehello%00%ff"})
    assert "&lt;b&gt;hello" in shown.text
    assert shown.headers["set-cookie"].startswith('millrace_said=""')


def test_the_overview_needs_no_slash(pages: Pages) -> None:
    """Who types the address without it comes to the page; and who has no login comes back to it, without a `?`."""
    assert pages.get("").url.path == "/ui/"
    assert pages.as_(None).get("/jobs", follow=False).headers["location"] == "/api/v2/auth/login?next=%2Fui%2Fjobs"


def test_pages_work_below_a_path(below_a_path: TestClient, db: DictConnection) -> None:
    """Every address in them, what forms lead to, the login and the cookie have the path in front."""
    job_id = add_job(db, owner=ADMIN.name)
    ui = "/airflow/millrace/ui"
    for path in ("/", "/jobs", f"/jobs/{job_id}", "/jobs/new"):
        page = below_a_path.get(ui + path, headers=FORM)
        assert page.status_code == 200, path
        addresses = set(re.findall(r'(?:href|src|action|hx-get|hx-post)="([^"#]+)"', page.text))
        assert len(addresses) > 10
        assert [one for one in addresses if not one.startswith("/airflow/")] == []
    assert below_a_path.get(f"{ui}/static/millrace.css").status_code == 200
    login = below_a_path.get(f"{ui}/jobs?kind=ping", follow_redirects=False).headers["location"]
    assert login == "/airflow/api/v2/auth/login?next=%2Fairflow%2Fmillrace%2Fui%2Fjobs%3Fkind%3Dping"
    given = {**FORM, "Referer": f"{HOST}{ui}/jobs?kind=ping"}
    done = below_a_path.post(f"{ui}/jobs/{job_id}/pause", headers=given, follow_redirects=False)
    assert done.headers["location"] == f"{ui}/jobs?kind=ping"
    assert f"Path={ui};" in done.headers["set-cookie"]


def test_pages_are_asked_for_as_http_has_it(pages: Pages, db: DictConnection) -> None:
    """HEAD is answered as GET is, without the page; what an address is not for is refused with what it is for."""
    job_id = add_job(db, owner=ADMIN.name)
    client, caller = pages._client, {"X-Caller": ADMIN.name}
    for path in ("/", "/jobs", f"/jobs/{job_id}", "/nothing"):
        seen, asked = (client.request(method, f"/ui{path}", headers=caller) for method in ("GET", "HEAD"))
        assert asked.status_code == seen.status_code
        assert asked.headers["content-type"] == seen.headers["content-type"]
    for method, path, allowed in (
        ("PUT", "/jobs", "GET, HEAD"),
        ("DELETE", f"/jobs/{job_id}", "GET, HEAD"),
        ("POST", "/executions", "GET, HEAD"),
        ("GET", f"/jobs/{job_id}/pause", "POST"),
        ("PATCH", "/timers/new", "GET, HEAD, POST"),
    ):
        refused = client.request(method, f"/ui{path}", headers=caller)
        assert (refused.status_code, refused.headers["allow"]) == (405, allowed)
        assert "<h1>Method Not Allowed</h1>" in refused.text
    assert client.request("PUT", "/ui/nothing", headers=caller).status_code == 404
    assert client.request("PUT", "/ui/jobs", follow_redirects=False).status_code == 303

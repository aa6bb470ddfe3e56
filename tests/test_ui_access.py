"""Every page demands Airflow's login, says by whom it may be framed, and lets nobody act who may only look."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from include.store.db import DictConnection
from include.ui.app import PAGES
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.log_rows import add_connector, add_workflow
from tests.test_store import add_job
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

# What is changed whenever somebody acts: each change of a row is in the audit.
TABLES = ("audit", "job", "connector", "workflow", "timer", "trial")


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def paths(method: str, ids: dict[str, int] | None = None) -> list[str]:
    """The paths of all pages that answer to a method; where a parameter is not among `ids`, there is a 1."""

    def filled(path: str) -> str:
        return re.sub(r"\{(\w+)[^}]*\}", lambda found: str((ids or {}).get(found[1], 1)), path)

    routes = [route for page in PAGES for route in page.router.routes if isinstance(route, APIRoute)]
    found = [route.path for route in routes if method in route.methods]
    # What is the same of several tables is one route.
    nouns = ("job", "connector", "workflow")
    every = [path.replace("{table}/{row_id}", f"{noun}s/{{{noun}_id}}") for path in found for noun in nouns]
    return [filled(path) for path in dict.fromkeys(every)]


def counts(db: DictConnection) -> dict[str, int]:
    return {table: len(db.execute(f"select id from {table}".encode()).fetchall()) for table in TABLES}


def rows_of(db: DictConnection, owner: str) -> dict[str, int]:
    """A job, a connector and a workflow of the owner."""
    connector = add_connector(db, f"source of {owner}", owner=owner)
    workflow = add_workflow(db, connector, "https://example.com/", f"flow of {owner}", owner=owner)
    return {"job_id": add_job(db, owner=owner), "connector_id": connector, "workflow_id": workflow}


def test_without_a_login_every_page_leads_to_airflows(pages: Pages) -> None:
    """Pages lead to the login and back; forms do nothing and lead there, too; within a page, a notice does, and what is
    typed in it stays."""
    nobody = pages.as_(None)
    for path in paths("GET"):
        answer = nobody.get(path, follow=False, a="b")
        assert answer.status_code == 303, path
        assert re.fullmatch(r"/api/v2/auth/login\?next=%2Fui.*%3Fa%3Db", answer.headers["location"]), path
    for path in paths("POST"):
        assert nobody.send(path, follow=False).headers["location"] == "/api/v2/auth/login?next=%2Fui%2F", path
        notice = nobody.send(path, HX_Request="true", HX_Current_URL="http://millrace.test/ui/jobs/new")
        assert (notice.status_code, notice.headers["hx-reswap"]) == (401, "none"), path
        assert 'href="/api/v2/auth/login?next=%2Fui%2Fjobs%2Fnew">Log in again' in notice.text, path


def test_every_page_carries_the_policy(pages: Pages, db: DictConnection) -> None:
    """No script, style or request but our own, and no frame but our own host's: on pages, and on refusals."""
    for path in [*paths("GET", rows_of(db, "admin")), "/nothing/here"]:
        answer = pages.get(path)
        assert answer.status_code in (200, 400, 404, 422), (path, answer.status_code)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy, path
        assert "frame-ancestors 'self'" in policy, path
        assert "unsafe" not in policy, path
        assert answer.headers["cache-control"] == "no-store", path
        assert " style=" not in answer.text, path
        assert "<script>" not in answer.text, path


def test_a_viewer_changes_nothing(pages: Pages, db: DictConnection) -> None:
    """Whoever may only look is refused by every form, of rows of his own, too."""
    ids = rows_of(db, "viewer")
    before = counts(db)
    for path in paths("POST", ids):
        assert pages.as_(VIEWER).send(path, {"id": "1", "do": "delete"}).status_code in range(200, 500), path
    assert counts(db) == before
    assert db.execute("select is_active from job where id = %s", (ids["job_id"],)).fetchone() == {"is_active": True}


def test_nobody_reaches_anothers_rows(pages: Pages, db: DictConnection) -> None:
    """Pages of another owner's rows are not there, in the words of those that never were; forms do nothing."""
    ids = rows_of(db, ALICE.name)
    before = counts(db)
    for path in paths("GET", ids):
        if f"/{ids['job_id']}" in path or f"/{ids['connector_id']}" in path or f"/{ids['workflow_id']}" in path:
            assert "of alice" not in pages.as_(BOB).get(path).text, path
    for path in paths("POST", ids):
        assert pages.as_(BOB).send(path, {"id": "1", "do": "delete"}).status_code in range(200, 500), path
    assert counts(db) == before


def test_pages_are_no_part_of_the_api(pages: Pages) -> None:
    """The API's document is for programs, and says nothing of pages."""
    assert not [path for path in ok(pages.api.get("/openapi.json"))["paths"] if path.startswith("/ui")]

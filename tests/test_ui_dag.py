"""Our tab on Airflow's page of a DAG: the row that the DAG is made of, and kind words where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest

from include.store.db import DictConnection
from include.ui.navigation import EXTERNAL_VIEWS
from tests.api_client import ALICE, BOB, VIEWER
from tests.job_commands import add_execution
from tests.log_rows import add_connector, add_workflow, append
from tests.test_store import add_job
from tests.ui_client import Pages, pages_of
from tests.workflow_commands import stop

pytestmark = pytest.mark.xdist_group("api")

NOON = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running.as_(ALICE)


def test_a_job_shows_its_last_executions(pages: Pages, db: DictConnection) -> None:
    """Its state, its settings, a strip of executions, buttons, and the way to its own page."""
    job = add_job(db, "nightly", owner="alice")
    add_execution(db, job, NOON, "failed", error="HTTP 503 <b>")
    page = pages.get(f"/dag/job_{job}").text
    for part in ("nightly</a>", "HTTP 503 &lt;b&gt;", '<ol class="strip"', f'href="/ui/jobs/{job}"', "Pause</button>"):
        assert part in page


def test_a_connector_and_a_workflow_show_how_they_are(pages: Pages, db: DictConnection) -> None:
    """How many records there are and what went wrong last; how far behind a workflow is, and where it has stopped."""
    issues = add_connector(db, "issues", owner="alice")
    append(db, issues, [{"n": 1}, {"n": 2}])
    crm = add_workflow(db, issues, "https://example.com/", "crm", owner="alice")
    db.execute("update connector set last_error = 'HTTP 500 <b>', failures = 2")
    stop(db, crm, 1, "HTTP 422")
    connector, workflow = pages.get(f"/dag/connector_{issues}").text, pages.get(f"/dag/workflow_{crm}").text
    assert "2 failures in a row:</strong> HTTP 500 &lt;b&gt;" in connector
    assert '<span class="value">2</span>' in connector
    assert "It has stopped at record 1:</strong> HTTP 422" in workflow
    assert '<span class="value">2</span>' in workflow


@pytest.mark.parametrize("table", ["job", "connector", "workflow"])
def test_its_buttons_act_on_the_row(pages: Pages, db: DictConnection, table: str) -> None:
    """Pause and resume change the row and lead back to the tab; others, and those who only look, cannot."""
    issues = add_connector(db, "issues", owner="alice")
    add_workflow(db, issues, "https://example.com/", "crm", owner="alice")
    add_job(db, "nightly", owner="alice")
    here = f"/dag/{table}_1"
    for other in (BOB, VIEWER):
        assert pages.as_(other).get(here).status_code == 404
        assert pages.as_(other).send(f"{here}/pause").status_code == 404
    assert f"The {table} is paused." in pages.send(f"{here}/pause").text
    active = f"select is_active from {table}".encode()
    assert db.execute(active).fetchall() == [{"is_active": False}]
    assert "Resume</button>" in pages.get(here).text
    assert f"The {table} is back on duty." in pages.send(f"{here}/resume").text
    assert db.execute(active).fetchall() == [{"is_active": True}]
    assert pages.send(f"{here}/delete").status_code == 404


@pytest.mark.parametrize(
    ("dag_id", "status", "said"),
    [
        ("etl", 200, "made by a file of its own"),
        ("job_x", 200, "made by a file of its own"),
        ("millrace_timers", 200, "It sends the timers of everybody"),
        ("millrace_trial", 200, "It tries settings of jobs out"),
        ("millrace_upkeep", 200, "It removes what is older than is kept"),
        ("job_99", 404, "Its job was deleted"),
        ("job_" + "9" * 18, 404, "Its job was deleted"),
        ("%3Cb%3E", 200, "&lt;b&gt;"),
    ],
)
def test_a_dag_that_is_no_row_says_so(pages: Pages, dag_id: str, status: int, said: str) -> None:
    """Somebody's own DAG, one of Millrace's own, or that of a row that is gone: each says what it is."""
    page = pages.get(f"/dag/{dag_id}")
    assert page.status_code == status
    assert said in page.text
    assert pages.send(f"/dag/{dag_id}/pause").status_code == 404


def test_airflow_is_told_of_pages_that_there_are(pages: Pages) -> None:
    """What the entry and the tab lead to, and their icons, are served; addresses have no slash in front."""
    assert [view["destination"] for view in EXTERNAL_VIEWS] == ["nav", "dag"]
    for view in EXTERNAL_VIEWS:
        for address in (view["href"], view["icon"]):
            path = address.removeprefix("millrace/ui")
            assert path.startswith("/")
            assert pages.get(path.replace("{DAG_ID}", "etl")).status_code == 200

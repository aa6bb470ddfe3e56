"""Warnings as people see them: over HTTP, on the overview, on the command line, and as a metric."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from include.cli.warnings import warnings
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.commands import environment
from tests.test_store import add_job
from tests.ui_client import pages_of

__all__ = ["environment"]

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def warn(db: DictConnection, what: str, subject: str, *, ended: bool = False, **columns: Any) -> int:
    values = {"what": what, "subject": subject, "since": "2026-11-21 09:00Z", "text": f"{subject} is wrong", **columns}
    row = db.execute(
        f"insert into warning ({', '.join(values)}, first_seen_at, last_seen_at, ended_at)"
        f" values ({', '.join(['%s'] * len(values))}, now(), now(), case when %s then now() end) returning id",
        [*values.values(), ended],
    ).fetchone()
    assert row is not None
    return int(str(row["id"]))


def some(db: DictConnection) -> int:
    """A job of Alice's, dead letters of Bob's, a disk, and what is over; the id of the job."""
    job_id = add_job(db, "nightly <report>", owner="alice")
    warn(db, "unfired", f"job:{job_id}", table_name="job", row_id=job_id)
    warn(db, "dead_letters", "bob", name="dead letters", owner="bob")
    warn(db, "disk", "here:/logs", name="disk of /logs")
    warn(db, "stopped", "workflow:7", ended=True, table_name="job", row_id=job_id)
    return job_id


def names(api: Api, **query: Any) -> list[str]:
    return [item["name"] for item in ok(api.get("/warnings", **query))["items"]]


def test_a_warning_says_what_is_wrong_and_whose_it_is(api: Api, db: DictConnection) -> None:
    """The row by its name as it is now, since when, and what to do."""
    job_id = some(db)
    [shown] = ok(api.as_(ALICE).get("/warnings"))["items"]
    assert shown.pop("last_seen_at").endswith("Z")
    assert shown == {
        "id": 1,
        "what": "unfired",
        "table": "job",
        "row_id": job_id,
        "name": "nightly <report>",
        "owner": "alice",
        "since": "2026-11-21T09:00:00Z",
        "text": f"job:{job_id} is wrong",
        "notified_at": None,
        "ended_at": None,
    }


def test_owners_see_their_own_and_admins_everything(api: Api, db: DictConnection) -> None:
    """What nobody owns is for admins; asking for another owner's finds nothing."""
    some(db)
    assert names(api.as_(ADMIN)) == ["disk of /logs", "dead letters", "nightly <report>"]
    assert names(api.as_(ADMIN), owner="bob") == ["dead letters"]
    assert names(api.as_(BOB)) == ["dead letters"]
    assert names(api.as_(BOB), owner="alice") == names(api.as_(VIEWER)) == []
    problem(api.as_(None).get("/warnings"), 401)


def test_a_warning_goes_with_its_row(api: Api, db: DictConnection) -> None:
    """To its next owner at once; and away when it is deleted."""
    job_id = some(db)
    db.execute("update job set owner = 'bob' where id = %s", (job_id,))
    assert names(api.as_(ALICE), state="all") == []
    assert names(api.as_(BOB)) == ["dead letters", "nightly <report>"]
    db.execute("delete from job where id = %s", (job_id,))
    assert names(api, state="all") == ["disk of /logs", "dead letters"]


def test_warnings_are_filtered_and_come_in_pages(api: Api, db: DictConnection) -> None:
    """By what they are of, and whether they are over; each once."""
    some(db)
    assert names(api, what="disk") == ["disk of /logs"]
    assert [item["what"] for item in ok(api.get("/warnings", state="ended"))["items"]] == ["stopped"]
    page = ok(api.get("/warnings", state="all", limit=3))
    assert len(page["items"]) == 3
    rest = ok(api.get("/warnings", state="all", limit=3, cursor=page["next"]))
    assert [item["what"] for item in rest["items"]] == ["unfired"]
    assert rest["next"] is None
    for query in ({"what": "nonsense"}, {"state": "nonsense"}, {"owner": "a\0"}, {"limit": 0}, {"nonsense": 1}):
        problem(api.get("/warnings", **query), 422)
    problem(api.get("/warnings", cursor="nonsense"), 400)


def test_the_overview_has_a_line_for_each(database_url: str, db: DictConnection) -> None:
    """With a link to the row and what to do; nothing at all where nothing is wrong."""
    with pages_of(database_url) as pages:
        assert "Needs attention" not in pages.get("/").text
        job_id = some(db)
        page = pages.get("/").text
        section = page.partition("Needs attention")[2].partition("</section>")[0]
        assert section.count("<li>") == 3
        assert f'href="/ui/jobs/{job_id}">nightly &lt;report&gt;</a> (alice)' in section
        assert "here:/logs is wrong" in section
        assert 'href="/ui/dead-letters"' in section
        bobs = pages.as_(BOB).get("/").text.partition("Needs attention")[2].partition("</section>")[0]
        assert bobs.count("<li>") == 1
        assert "Needs attention" not in pages.as_(VIEWER).get("/").text


def test_they_are_counted_for_monitoring(api: Api, db: DictConnection) -> None:
    """Those that are open, by what they are of; 0 of what there is none."""
    some(db)
    text = api.as_(None).get("//metrics").text
    assert 'millrace_warnings{what="disk"} 1.0' in text
    assert 'millrace_warnings{what="stopped"} 0.0' in text


def test_the_command_lists_them_and_its_exit_code_says_whether_there_are_any(
    environment: None, db: DictConnection
) -> None:
    """0 and nothing on stdout, or 1 and a table; as JSON too."""
    app = typer.Typer()
    app.command()(warnings)
    empty = CliRunner().invoke(app)
    assert (empty.exit_code, empty.stdout) == (0, "")
    some(db)
    listed = CliRunner().invoke(app)
    assert listed.exit_code == 1
    lines = listed.stdout.splitlines()
    assert len(lines) == 1 + 3
    assert "nightly <report> (job 1)" in lines[3]
    spelt = CliRunner().invoke(app, ["--json"])
    assert spelt.exit_code == 1
    assert [row["what"] for row in json.loads(spelt.stdout)] == ["disk", "dead_letters", "unfired"]

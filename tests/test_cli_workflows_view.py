"""`./millrace workflows list`, `show` and `lag`: what people read is so."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store import workflows
from include.store.db import DictConnection, queries
from tests.workflow_commands import (
    URL,
    Refused,
    Run,
    add_records,
    bury,
    document,
    environment,
    issues,
    refused,
    run,
    stop,
)

__all__ = ["environment", "issues", "refused", "run"]


@pytest.fixture
def three(run: Run, db: DictConnection, issues: int) -> list[int]:
    """Ada's workflow `a` is 2 records behind, `b` stopped at record 1, and Bob's `c` is paused; their ids."""
    now = datetime.now(timezone.utc)
    add_records(db, issues, now - timedelta(minutes=10), now - timedelta(minutes=5))
    run(f"workflows add a webhook --connector issues {URL} --start-from beginning --owner ada@example.com")
    run(f"workflows add b http --connector issues {URL} --start-from beginning --on-error stop")
    run(f"workflows add c webhook --connector issues {URL} --owner bob@example.com --inactive")
    a, b, c = (row["id"] for row in workflows.page(db))
    stop(db, b, 1)
    bury(db, c, 1)
    return [a, b, c]


def test_list_shows_how_workflows_are(run: Run, three: list[int]) -> None:
    """One line per workflow, with its lag; one that has stopped comes with the record, the error and the remedies."""
    a, b, c = document(run("workflows list --json"))
    assert [a["state"], b["state"], c["state"]] == ["active", "stopped", "paused"]
    assert (a["connector"], a["schedule"], a["owner"]) == ("issues", "every 30 s", "ada@example.com")
    assert (a["position"], a["head"], a["lag_records"]) == (0, 2, 2)
    assert 600 <= a["lag_seconds"] < 700
    assert (c["lag_records"], c["lag_seconds"], c["dead_letters"], c["next"]) == (0, 0, 1, None)
    result = run("workflows list")
    header, *lines = result.stdout.splitlines()
    assert header.split()[:5] == ["id", "name", "owner", "connector", "kind"]
    assert "10m" in lines[0]
    assert "stopped" in lines[1]
    assert result.stderr.startswith(f"workflow {b['id']} (b): stopped at record 1: HTTP 422: no such field; ")
    assert f"`./millrace workflows retry {b['id']}`" in result.stderr
    assert f"`./millrace workflows skip {b['id']}`" in result.stderr


FILTERS = (
    ("--owner ada@example.com", "a"),
    ("--connector issues", "abc"),
    ("--connector others", ""),
    ("--active", "ab"),
    ("--paused", "c"),
    ("--failing", "bc"),
    ("--limit 2", "ab"),
    ("--limit 0", "abc"),
    ("--failing --owner ada@example.com", ""),
)


def test_list_filters(run: Run, db: DictConnection, three: list[int]) -> None:
    """Only the workflows that were asked for."""
    db.execute("insert into connector (name, kind) values ('others', 'rest')")
    for options, names in FILTERS:
        result = run(f"workflows list {options} --json")
        assert [row["name"] for row in document(result)] == list(names), options
        assert ("there are more: --after" in result.stderr) == (options == "--limit 2")


def test_following_the_hint_shows_all_once(run: Run, db: DictConnection, issues: int) -> None:
    """Pages have 100 workflows unless told otherwise, and together they are all of them."""
    db.execute(
        "insert into workflow (name, connector_id, kind)"
        " select 'w ' || n, %s, 'webhook' from generate_series(1, 250) n",
        (issues,),
    )
    seen: list[int] = []
    for size in (100, 100, 50):
        page = document(run(f"workflows list --after {seen[-1] if seen else 0} --json"))
        assert len(page) == size
        seen += [row["id"] for row in page]
    assert seen == sorted(set(seen))


def test_list_works_out_the_lag_of_its_page_only(db: DictConnection, issues: int) -> None:
    """However many workflows there are, the log and the dead letters are asked about those that are shown."""
    db.execute(
        "insert into workflow (name, connector_id, kind)"
        " select 'w ' || n, %s, 'webhook' from generate_series(1, 1000) n",
        (issues,),
    )
    add_records(db, issues, *[None] * 20)
    db.execute("analyze workflow, workflow_progress, connector, record, dead_letter")
    wanted = {"id": None, "name": None, "owner": None, "connector_id": None, "paused": None}
    parameters = {**wanted, "failing": False, "after": 0, "limit": 21}
    explain = "explain (analyze, format json) " + queries("workflows")["list_workflows"]
    row = db.execute(explain.encode(), parameters).fetchone()
    assert row is not None
    plan: Any = row["QUERY PLAN"]

    def looked_up(node: dict[str, Any]) -> int:
        own = node["Actual Loops"] if node.get("Relation Name", "").startswith(("record", "dead_letter")) else 0
        return max([own, *(looked_up(child) for child in node.get("Plans", []))])

    assert 0 < looked_up(plan[0]["Plan"]) <= 21


def test_show_tells_everything(run: Run, db: DictConnection, three: list[int]) -> None:
    """Columns, payload, watermark, fires, and the newest dead letters; JSON has every column by its name."""
    db.execute("update workflow set filter = '$.n > 1', every = '90 seconds' where name = 'c'")
    db.execute("update workflow set error = 'its DAG is broken', payload = payload || '{\"body\": 1}' where name = 'c'")
    text = run("workflows show c").stdout
    for part in (
        "bob@example.com",
        "$.n > 1",
        '"body": 1',
        "its DAG is broken",
        "issues",
        "every 90 s",
        "no such field",
    ):
        assert part in text
    assert "2 of 2, caught up" in text
    shown = document(run(f"workflows show {three[2]} --json"))
    assert set(workflows.find(db, "c")) - {"schedule_revision", "schedule_changed_at"} <= set(shown)
    assert (shown["state"], shown["every"], shown["timeout"]) == ("error", 90.0, 30.0)
    assert [letter["position"] for letter in shown["newest_dead_letters"]] == [1]
    assert len(document(run("workflows show a --json"))["next"]) == 5
    assert "0 of 2, 2 records ahead, the oldest 10m" in run("workflows show a").stdout
    assert "stopped at record 1" in run("workflows show b").stdout


def test_show_and_list_survive_a_row_that_makes_no_sense(run: Run, db: DictConnection, issues: int) -> None:
    """A bad row that was written by SQL is shown with what is wrong, before anybody else has noticed."""
    db.execute("insert into workflow (name, connector_id, kind) values ('bad', %s, 'nonsense')", (issues,))
    assert [row["name"] for row in document(run("workflows list --json"))] == ["bad"]
    assert "unknown kind 'nonsense'" in run("workflows show bad").stdout


def test_lag_puts_first_what_needs_a_person(run: Run, db: DictConnection, three: list[int]) -> None:
    """Those that have stopped come first, then the one that is furthest behind; each with the view's columns."""
    rows = document(run("workflows lag --json"))
    assert [row["name"] for row in rows] == ["b", "a", "c"]
    columns = db.execute("select column_name from information_schema.columns where table_name = 'workflow_lag'")
    assert {row["column_name"] for row in columns} <= set(rows[0])
    assert (rows[0]["state"], rows[0]["stopped_at"], rows[0]["stopped_by"]) == ("stopped", 1, "HTTP 422: no such field")
    assert (rows[2]["lag_records"], rows[2]["dead_letters"]) == (0, 1)
    result = run("workflows lag")
    assert len(result.stdout.splitlines()) == 4
    assert "stopped at record 1: HTTP 422" in result.stderr
    assert [row["name"] for row in document(run("workflows lag a --json"))] == ["a"]
    short = run("workflows lag --limit 1 --json")
    assert [row["name"] for row in document(short)] == ["b"]
    assert "there are more" in short.stderr


def test_nothing_to_show_says_how_to_begin(run: Run, refused: Refused, issues: int) -> None:
    """With no workflows the lists point at `add`; a connector that is not there is an error."""
    assert "`./millrace workflows add --help`" in run("workflows list").stderr
    assert "`./millrace workflows add --help`" in run("workflows lag").stderr
    assert document(run("workflows list --json")) == []
    assert "there is no connector named" in refused("workflows list --connector nobody")

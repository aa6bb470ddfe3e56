"""The pages of the audit: who changed what, and what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from include.ui import row_changes
from tests.api_client import ALICE, BOB, VIEWER, ok
from tests.ui_client import Pages, pages_of

pytestmark = pytest.mark.xdist_group("api")

HOOK = {"kind": "webhook", "payload": {"url": "https://example.com/", "body": {"a": 1, "b": "<b>"}}}


@pytest.fixture
def pages(database_url: str) -> Iterator[Pages]:
    with pages_of(database_url) as running:
        yield running


def add(pages: Pages, name: str = "a", **settings: Any) -> int:
    return int(ok(pages.api.post("/jobs", {"name": name, **HOOK, "every": "5m", **settings}), 201)["id"])


def newest(pages: Pages) -> int:
    return int(ok(pages.api.get("/audit"))["items"][0]["id"])


def test_an_empty_audit_says_what_will_be_there(pages: Pages) -> None:
    """Without a change there is an explanation; filters that fit none say so."""
    page = pages.get("/audit").text
    assert "Nothing has been changed yet" in page
    assert "Create the first job" not in pages.as_(VIEWER).get("/audit").text
    assert "Nothing matches" in pages.get("/audit", actor="nobody").text


def test_a_line_tells_who_did_what_to_which_row(pages: Pages, db: DictConnection) -> None:
    """Actor, means, what was done and which fields, with a link to the row as long as it is there."""
    job_id = add(pages.as_(ALICE), "<nightly>")
    ok(pages.api.patch(f"/jobs/{job_id}", {"retries": 1, "every": "10m"}))
    page = pages.get("/audit").text
    for part in ("job &lt;nightly&gt;", "via api", "every, retries", ">created<", ">changed<", f"/ui/jobs/{job_id}"):
        assert part in page
    db.execute("delete from job")
    assert ">deleted<" in pages.get("/audit", operation="delete").text
    assert f'href="/ui/jobs/{job_id}"' not in pages.get("/audit", operation="delete").text


def test_no_link_leads_to_a_row_that_is_gone(pages: Pages, db: DictConnection) -> None:
    """What was created and has been deleted since is named without a link, in the list and by itself, whatever is
    filtered; what is still there has its link."""
    there, gone = add(pages, "there"), add(pages, "gone")
    created = newest(pages)
    ok(pages.api.delete(f"/jobs/{gone}"), 204)
    for page in (pages.get("/audit"), pages.get("/audit", operation="insert"), pages.get(f"/audit/{created}")):
        assert "job gone" in page.text
        assert f'href="/ui/jobs/{gone}"' not in page.text
    assert f'href="/ui/jobs/{there}"' in pages.get("/audit").text


def test_changes_are_filtered(pages: Pages) -> None:
    """By table, row, actor and what was done."""
    first, second = add(pages, "first"), add(pages.as_(ALICE), "second")
    for query, there in (
        ({"table": "job", "row_id": first}, "first"),
        ({"table": "job", "row_id": second}, "second"),
        ({"actor": "alice"}, "second"),
        ({"owner": "alice"}, "second"),
        ({"table": "connector"}, ""),
        ({"operation": "delete"}, ""),
    ):
        page = pages.get("/audit", **query).text
        assert [name for name in ("first", "second") if f"job {name}<" in page] == [name for name in (there,) if name]


@pytest.mark.parametrize("query", [{"row_id": "x"}, {"row_id": "9" * 30}, {"table": "timer"}, {"cursor": "nonsense"}])
def test_a_filter_that_cannot_be_read_is_said(pages: Pages, query: dict[str, str]) -> None:
    """The page stays, with its filters as they were written."""
    response = pages.get("/audit", **query, actor="keep me")
    assert response.status_code in (400, 422)
    assert 'class="notice bad"' in response.text
    assert 'value="keep me"' in response.text


def test_pages_lead_on_to_the_next(pages: Pages) -> None:
    """Fifty are on a page; the link to the next keeps the filters."""
    jobs = [{"name": f"job {number:02}", **HOOK, "every": "5m"} for number in range(51)]
    ok(pages.api.post("/jobs/bulk", {"jobs": jobs}), 201)
    first = pages.get("/audit", table="job").text
    assert "job 50<" in first
    link = first.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "table=job" in link
    second = pages.get(link.removeprefix("/ui")).text
    assert "job 00<" in second
    assert "job 50<" not in second


def test_one_change_is_told_field_by_field(pages: Pages) -> None:
    """Old and new stand side by side; durations as people write them, JSON line by line, and text is no HTML."""
    job_id = add(pages, retries=3)
    payload = {**HOOK["payload"], "body": {"a": 2, "b": "<b>"}}  # type: ignore[dict-item] # a mapping, as it stands above
    ok(pages.api.patch(f"/jobs/{job_id}", {"every": "10m", "half_open": True, "payload": payload, "run_at": None}))
    page = pages.get(f"/audit/{newest(pages)}").text
    for part in (
        "<del>5m</del>",
        "<ins>10m</ins>",
        "<del>no</del>",
        "<ins>yes</ins>",
        "&#34;a&#34;: 1",
        "&#34;a&#34;: 2",
        "Job a was changed",
        "&lt;b&gt;",
        f"/ui/audit?table=job&amp;row_id={job_id}",
    ):
        assert part in page
    assert "<b>" not in page
    assert page.count("<del>") == 3
    assert page.count("<ins>") == 3


def test_what_was_created_or_deleted_has_one_side(pages: Pages) -> None:
    """A new row has nothing before, and a deleted one nothing after."""
    job_id = add(pages)
    created = pages.get(f"/audit/{newest(pages)}").text
    assert "Job a was created" in created
    assert "<del>" not in created
    assert pages.api.delete(f"/jobs/{job_id}").status_code == 204
    deleted = pages.get(f"/audit/{newest(pages)}").text
    assert "Job a was deleted" in deleted
    assert "<ins>" not in deleted


def test_everybody_sees_changes_of_his_own_rows(pages: Pages) -> None:
    """Others' changes are not listed, and are not there."""
    add(pages.as_(ALICE), "of alice")
    entry = newest(pages)
    assert "of alice" in pages.as_(ALICE).get("/audit").text
    assert "of alice" not in pages.as_(BOB).get("/audit").text
    assert pages.as_(BOB).get(f"/audit/{entry}").status_code == 404
    assert "quota" not in pages.as_(BOB).get("/audit").text
    assert "quota" in pages.get("/audit").text
    assert pages.as_(VIEWER).get(f"/audit/{entry}").status_code == 404


def test_values_of_any_kind_are_compared() -> None:
    """Nothing, empty text, numbers, lists and what plain SQL has put there: each side says what it was."""
    changes = row_changes.shown(
        {
            "filter": [None, ""],
            "every": ["1 mon", 1e300],
            "no_retry_on": [[], [404]],
            "payload": [{"a": [1, 2]}, {"a": [1, 3]}],
            "name": ["x" * 10, None],
        }
    )
    told = {
        change.name: [
            None if side is None else [line.text for line in side if line.is_changed]
            for side in (change.before, change.after)
        ]
        for change in changes
    }
    assert told == {
        "filter": [None, [""]],
        "every": [["1 mon"], ["1e+300"]],
        "no_retry_on": [["[]"], ["[", "  404", "]"]],
        "payload": [["    2"], ["    3"]],
        "name": [["xxxxxxxxxx"], None],
    }
    many = row_changes.shown({"payload": [list(range(5000)), list(range(1, 5001))]})
    assert many[0].before is not None
    assert len(many[0].before) == 5002


def test_of_a_long_value_only_what_differs_is_marked() -> None:
    """Of thousands of lines those that are the same before and after a change are not marked."""
    before = [f"line {number}" for number in range(5_000)]
    [changed] = row_changes.shown({"payload": [before, [*before[:2_000], "new", *before[2_001:]]]})
    assert changed.before is not None
    assert changed.after is not None
    assert [line.text.strip() for line in changed.before if line.is_changed] == ['"line 2000",']
    assert [line.text.strip() for line in changed.after if line.is_changed] == ['"new",']


@pytest.mark.parametrize(("before", "after"), [([], [1]), ([1], []), ([1], [1, 1]), ([1, 2, 1], [1]), ([2, 1], [1, 2])])
def test_no_line_is_the_same_as_two(before: list[int], after: list[int]) -> None:
    """As many lines are the same on one side as on the other, and they are the same ones."""
    [change] = row_changes.shown({"payload": [before, after]})
    same = [[line.text for line in side or () if not line.is_changed] for side in (change.before, change.after)]
    assert same[0] == same[1]

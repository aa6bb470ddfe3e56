"""What became of jobs, over HTTP: what is listed, in which order, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import pytest

from include.api.paging import Place, encode
from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.job_commands import add_execution

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
T0 = datetime.now(timezone.utc).replace(microsecond=250_000) - timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def add(api: Api, name: str = "a", **settings: Any) -> int:
    job = {"name": name, "kind": "ping", "payload": {"url": URL}, "every": "5m", **settings}
    return int(ok(api.post("/jobs", job), 201)["id"])


def spelt(due: datetime) -> str:
    return due.isoformat().replace("+00:00", "Z")


def dues(page: dict[str, Any]) -> list[str]:
    return [item["scheduled_for"] for item in page["items"]]


def all_pages(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """What all pages hold; each has a `next` if there is more."""
    items: list[dict[str, Any]] = []
    page = ok(api.get(path, **query))
    while True:
        items += page["items"]
        if page["next"] is None:
            return items
        page = ok(api.get(path, **query, cursor=page["next"]))


def test_an_execution_is_shown_with_all_that_is_known(api: Api, db: DictConnection) -> None:
    """By its instant, as ISO 8601 with any offset or in microseconds, one gets the same whole document."""
    job_id = add(api)
    add_execution(db, job_id, T0, "failed", error="HTTP 500", code=500)
    shown = ok(api.get(f"/jobs/{job_id}/executions/{spelt(T0)}"))
    assert (shown["job_id"], shown["job"], shown["scheduled_for"]) == (job_id, "a", spelt(T0))
    assert (shown["status"], shown["error"], shown["code"], shown["attempt"]) == ("failed", "HTTP 500", 500, 1)
    assert (shown["lateness"], shown["duration"]) == (0.08, 0.12)
    assert shown["attempts"][0]["ms"] == 120.0
    assert shown["attempts"][0]["at"].endswith("Z")
    assert shown["webhook_id"] == webhook_id(job_id, T0)
    assert (shown["kind"], shown["owner"]) == ("ping", "admin")
    elsewhere = T0.astimezone(timezone(timedelta(hours=2))).isoformat()
    microseconds = shown["webhook_id"].rpartition("_")[2]
    for due in (elsewhere, microseconds):
        assert ok(api.get(f"/jobs/{job_id}/executions/{due}")) == shown


@pytest.mark.parametrize("due", ["yesterday", "2026-01-01T00:00:00", "1" * 40, "%00", "-1", "9999-01-01T00:00:00Z"])
def test_what_is_no_instant_is_refused(api: Api, due: str) -> None:
    """A path with something else in the place of an instant is the sender's error."""
    job_id = add(api)
    problem(api.get(f"/jobs/{job_id}/executions/{due}"), 422)
    problem(api.get(f"/jobs/{job_id}/why", due=unquote(due)), 422)
    assert "has no execution" in problem(api.get(f"/jobs/{job_id}/executions/1"), 404)


@pytest.mark.parametrize("sort", ["scheduled_for", "-scheduled_for"])
def test_pages_of_a_job_follow_each_other(api: Api, db: DictConnection, sort: str) -> None:
    """Cursors lead through all executions of a job, each once, in either order, whatever is added meanwhile."""
    job_id, other = add(api), add(api, "b")
    for number in range(7):
        add_execution(db, job_id, T0 + number * MINUTE)
        add_execution(db, other, T0 + number * MINUTE)
    found = all_pages(api, f"/jobs/{job_id}/executions", sort=sort, limit=3)
    expected = [spelt(T0 + number * MINUTE) for number in range(7)]
    assert [item["scheduled_for"] for item in found] == (expected if sort == "scheduled_for" else expected[::-1])
    assert {item["job_id"] for item in found} == {job_id}
    first = api.get(f"/jobs/{job_id}/executions", limit=3)
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    assert "in this order" in problem(
        api.get(f"/jobs/{job_id}/executions", sort="scheduled_for", cursor=first.json()["next"]), 400
    )
    problem(api.get(f"/jobs/{job_id}/executions", sort="status"), 422)


def test_executions_are_filtered(api: Api, db: DictConnection) -> None:
    """By status, by kind, and by when they were due: from an instant on, until before another."""
    job_id, other = add(api), add(api, "b", kind="http")
    for number, status in enumerate(("success", "failed", "success", "skipped")):
        add_execution(db, job_id, T0 + number * MINUTE, status)
    add_execution(db, other, T0, "failed")
    path = f"/jobs/{job_id}/executions"
    assert dues(ok(api.get(path, status="failed"))) == [spelt(T0 + MINUTE)]
    window = {"since": spelt(T0 + MINUTE), "until": spelt(T0 + 3 * MINUTE)}
    assert dues(ok(api.get(path, **window))) == [spelt(T0 + 2 * MINUTE), spelt(T0 + MINUTE)]
    assert dues(ok(api.get("/executions", since=spelt(T0 + 2 * MINUTE)))) == [
        spelt(T0 + 3 * MINUTE),
        spelt(T0 + 2 * MINUTE),
    ]
    for limit in (1, 10):
        assert [item["scheduled_for"] for item in all_pages(api, "/executions", **window, limit=limit)] == [
            spelt(T0 + 2 * MINUTE),
            spelt(T0 + MINUTE),
        ]
    assert ok(api.get("/executions", since=spelt(T0 + MINUTE), until=spelt(T0 + MINUTE)))["items"] == []
    problem(api.get("/executions", until="yesterday"), 422)
    assert [item["job_id"] for item in all_pages(api, "/executions", status="failed")] == [job_id, other]
    assert [item["job_id"] for item in all_pages(api, "/executions", kind="http")] == [other]
    problem(api.get("/executions", status="lost"), 422)
    problem(api.get("/executions", kind="a\0"), 422)


@pytest.mark.parametrize("caller", ["admin", "alice"])
def test_pages_of_all_jobs_follow_each_other(api: Api, db: DictConnection, caller: str) -> None:
    """The newest of all jobs first, far apart and at the same instant, each once: admins see all, others their own."""
    alices = [add(api, f"a {number}", owner="alice") for number in range(3)]
    foreign = add(api, "not hers")
    when = [T0 + timedelta(days=1, minutes=3), T0, T0 - timedelta(seconds=1), T0 - timedelta(days=400)]
    for due in when:
        for job_id in (*alices, foreign):
            add_execution(db, job_id, due)
    asking = api if caller == "admin" else api.as_(ALICE)
    seen = [foreign, *alices[::-1]] if caller == "admin" else alices[::-1]
    for limit in (1, 4, 5, 100):
        found = all_pages(asking, "/executions", limit=limit)
        assert [(item["scheduled_for"], item["job_id"]) for item in found] == [
            (spelt(due), job_id) for due in when for job_id in sorted(seen, reverse=True)
        ]
    owned = all_pages(asking, "/executions", owner="alice")
    assert {item["job_id"] for item in owned} == set(alices)


def test_a_job_is_told_of_as_it_is_now(api: Api, db: DictConnection) -> None:
    """Kind and owner go with what the job is; once it was deleted there are none, and admins see what became of it."""
    kept, gone = add(api, owner="alice"), add(api, "b", owner="alice")
    for job_id in (kept, gone):
        add_execution(db, job_id, T0)
    ok(api.patch(f"/jobs/{kept}", {"kind": "http", "name": "renamed"}))
    api.delete(f"/jobs/{gone}")
    found = ok(api.get("/executions"))["items"]
    assert [(item["job_id"], item["job"], item["kind"], item["owner"]) for item in found] == [
        (gone, None, None, None),
        (kept, "renamed", "http", "alice"),
    ]
    [of_job] = ok(api.as_(ALICE).get(f"/jobs/{kept}/executions"))["items"]
    [of_alice] = ok(api.as_(ALICE).get("/executions"))["items"]
    assert of_alice == of_job == found[1]


def test_attempts_that_plain_sql_has_made_do_no_harm(api: Api, db: DictConnection) -> None:
    """A list of anything is shown as it is; what is no status code is none."""
    job_id = add(api)
    for number, attempts in enumerate(("[1]", '["x"]', '[{"code": "many"}]')):
        add_execution(db, job_id, T0 + number * MINUTE)
        db.execute("update execution set attempts = %s where scheduled_for = %s", (attempts, T0 + number * MINUTE))
    assert [item["code"] for item in all_pages(api, "/executions")] == [None] * 3


def test_a_forged_cursor_is_refused(api: Api) -> None:
    """A cursor that is none, or that leads beyond all instants, is a 400."""
    job_id = add(api)
    for key in ("soon", "9" * 60, ""):
        forged = encode(Place("-scheduled_for", key, 1))
        assert "cursor" in problem(api.get("/executions", cursor=forged), 400)
    first_of_all, last_of_all = "-62135596800000000", "253402300799999999"
    for key in (first_of_all, last_of_all, "9" * 30, "-1", "1_0"):
        problem(api.get("/executions", cursor=encode(Place("-scheduled_for", key, 1))), 400)
        for sort in ("scheduled_for", "-scheduled_for"):
            problem(api.get(f"/jobs/{job_id}/executions", sort=sort, cursor=encode(Place(sort, key, 1))), 400)
    assert ok(api.get("/executions", cursor=encode(Place("-scheduled_for", "0", 1))))["items"] == []


def test_a_failed_execution_is_redriven_or_discarded(api: Api, db: DictConnection) -> None:
    """Redriving marks it to be sent again, discarding takes that back; asked for twice, each happens once."""
    job_id = add(api)
    add_execution(db, job_id, T0, "failed")
    path = f"/jobs/{job_id}/executions/{spelt(T0)}"
    asked = ok(api.post(path + "/redrive"))
    assert (asked["status"], asked["discarded_at"]) == ("failed", None)
    assert asked["redrive_at"] == ok(api.post(path + "/redrive"))["redrive_at"] is not None
    given_up = ok(api.post(path + "/discard"))
    assert given_up["redrive_at"] is None
    assert given_up["discarded_at"] == ok(api.post(path + "/discard"))["discarded_at"] is not None


def test_only_what_has_failed_is_redriven(api: Api, db: DictConnection) -> None:
    """What has not failed is a 409, what is not there a 404, and nothing is changed."""
    job_id = add(api)
    add_execution(db, job_id, T0)
    for verb in ("redrive", "discard"):
        assert "it is success" in problem(api.post(f"/jobs/{job_id}/executions/{spelt(T0)}/{verb}"), 409)
        assert "has no execution" in problem(api.post(f"/jobs/{job_id}/executions/{spelt(T0 + MINUTE)}/{verb}"), 404)
    row = db.execute("select redrive_at, discarded_at from execution").fetchone()
    assert row == {"redrive_at": None, "discarded_at": None}


def test_others_see_no_execution_and_viewers_change_none(api: Api, db: DictConnection) -> None:
    """Executions are their job's owner's; who may only look changes nothing."""
    job_id = add(api, owner="alice")
    looked_at = add(api, owner="viewer")
    for owned in (job_id, looked_at):
        add_execution(db, owned, T0, "failed")
    bob = api.as_(BOB)
    for path in ("executions", f"executions/{spelt(T0)}", "why"):
        for caller, expected in ((bob, 404), (api.as_(ALICE), 200), (api.as_(None), 401)):
            assert caller.get(f"/jobs/{job_id}/{path}").status_code == expected
    for verb in ("redrive", "discard"):
        assert "no job" in problem(bob.post(f"/jobs/{job_id}/executions/{spelt(T0)}/{verb}"), 404)
        problem(api.as_(VIEWER).post(f"/jobs/{looked_at}/executions/{spelt(T0)}/{verb}"), 403)
    assert all_pages(bob, "/executions") == []
    assert [item["job_id"] for item in all_pages(api.as_(VIEWER), "/executions")] == [looked_at]
    assert (
        db.execute("select from execution where redrive_at is not null or discarded_at is not null").fetchone() is None
    )


def test_why_is_answered_in_words(api: Api, db: DictConnection) -> None:
    """Why the last occurrence, or another one, did not run: the answer, and its reasons."""
    job_id = add(api)
    add_execution(db, job_id, T0, "failed", error="HTTP 500")
    said = ok(api.get(f"/jobs/{job_id}/why", due=spelt(T0)))
    assert (said["job_id"], said["name"], said["scheduled_for"]) == (job_id, "a", spelt(T0))
    assert said["answer"] == said["lines"][0]
    assert "it failed" in said["answer"]
    assert "HTTP 500" in said["answer"]
    assert ok(api.get(f"/jobs/{job_id}/why")) == said
    assert "it has not been due yet" in ok(api.get(f"/jobs/{add(api, 'b')}/why"))["answer"]


def test_why_of_a_row_that_cannot_run_says_so(api: Api, db: DictConnection) -> None:
    """A row made by plain SQL that nothing can be made of is told to be so, whatever is wrong with it."""
    for name, kind, cron in (("a", "pong", None), ("b", "ping", "99 99 * * *")):
        row = db.execute(
            "insert into job (name, kind, payload, cron) values (%s, %s, '{}', %s) returning id", (name, kind, cron)
        ).fetchone()
        assert row is not None
        assert ok(api.get(f"/jobs/{row['id']}/why"))["answer"].startswith("it cannot run: ")

"""Dead letters over HTTP: one list of all that has failed for good, and what a person decides about it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.shifts.execution import webhook_id
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.job_commands import add_execution
from tests.log_rows import add_connector, add_workflow
from tests.test_cli_dead_letters_jobs import add_timer
from tests.test_store import add_job
from tests.workflow_commands import add_records, bury, one

pytestmark = pytest.mark.xdist_group("api")

NOON = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def job(db: DictConnection) -> int:
    """Alice's job `nightly`; its id."""
    return add_job(db, "nightly", owner="alice")


@pytest.fixture
def crm(db: DictConnection) -> int:
    """Alice's workflow `crm`, on a log of 5 records; its id."""
    issues = add_connector(db, "issues", owner="alice")
    add_records(db, issues, *[None] * 5)
    return add_workflow(db, issues, "https://example.com/", "crm", owner="alice")


def die(db: DictConnection, job_id: int, due: datetime) -> str:
    add_execution(db, job_id, due, "failed", code=503, error="HTTP 503", excerpt="overloaded")
    return webhook_id(job_id, due)


def expire(db: DictConnection, workflow_id: int, position: int, at: datetime) -> str:
    letter = bury(db, workflow_id, position)
    db.execute("update dead_letter set created_at = %s where id = %s", (at, letter))
    return str(letter)


def fail(db: DictConnection, due: datetime, **columns: Any) -> str:
    return add_timer(db, due_at=due, owner=columns.pop("owner", "alice"), **columns)


def ids(page: Any) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_one_list_of_three_sources(api: Api, db: DictConnection, job: int, crm: int) -> None:
    """All dead letters in one order, the newest first, each with what it is about."""
    oldest = die(db, job, NOON - HOUR)
    record = expire(db, crm, 2, NOON)
    newest = fail(db, NOON + HOUR)
    timer, letter, execution = ok(api.get("/dead-letters"))["items"]
    assert [timer["id"], letter["id"], execution["id"]] == [newest, record, oldest]
    assert (letter["source"], letter["workflow"], letter["connector"], letter["position"]) == (
        "workflow",
        "crm",
        "issues",
        2,
    )
    assert (execution["source"], execution["job"], execution["job_id"], execution["error"]) == (
        "job",
        "nightly",
        job,
        "HTTP 503",
    )
    assert (timer["source"], timer["url"]) == ("timer", "http://127.0.0.1:9/hook?token=hush-hush")
    assert {item["attempt"] for item in (timer, letter)} == {1}
    assert letter["at"] == NOON.isoformat().replace("+00:00", "Z")


def test_cursors_lead_through_what_died_at_the_same_instant(api: Api, db: DictConnection, crm: int) -> None:
    """Pages follow each other without a gap or a repetition, even where many died at once and more die meanwhile."""
    jobs = [add_job(db, f"job {n}", owner="alice") for n in range(4)]
    made = [die(db, job_id, at) for job_id in jobs for at in (NOON, NOON - HOUR)]
    made += [expire(db, crm, n, NOON) for n in (1, 2, 3)] + [fail(db, NOON) for _ in range(3)]
    whole = ids(ok(api.get("/dead-letters", limit=100)))
    assert sorted(whole) == sorted(made)
    for limit in (1, 2, 5):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while not seen or cursor:
            response = api.get("/dead-letters", limit=limit, **cursor)
            page = ok(response)
            seen += ids(page)
            cursor = {"cursor": page["next"]} if page["next"] else {}
            assert ("cursor" in response.headers.get("link", "")) == bool(cursor)
            die(db, jobs[0], NOON + len(seen) * HOUR / 60 + limit * timedelta(seconds=1))
        assert [letter for letter in seen if letter in made] == whole
        whole, made = (ids(ok(api.get("/dead-letters", limit=100))),) * 2
    for bad in ("nonsense", "WyJhdCIsICJ4IGpvYiIsIDFd", "WyJhdCIsICI5OTk5OTk5OTk5OTk5OTk5OTk5OSBqb2IiLCAxXQ"):
        assert "cursor" in problem(api.get("/dead-letters", cursor=bad), 400)


def test_the_list_is_narrowed(api: Api, db: DictConnection, job: int, crm: int) -> None:
    """By source, status, job, workflow and instant; what cannot be both is nothing."""
    execution, record, timer = die(db, job, NOON), expire(db, crm, 1, NOON - HOUR), fail(db, NOON - 2 * HOUR)
    done = fail(db, NOON, discarded_at=NOON)
    ok(api.post(f"/dead-letters/workflow/{record}/redrive"))
    for query, found in (
        ({}, [execution, record, timer]),
        ({"status": "dead"}, [execution, timer]),
        ({"status": "redriving"}, [record]),
        ({"status": "discarded"}, [done]),
        ({"status": "all"}, [done, execution, record, timer]),
        ({"source": "timer"}, [timer]),
        ({"job_id": job}, [execution]),
        ({"workflow_id": crm}, [record]),
        ({"workflow_id": crm, "job_id": job}, []),
        ({"workflow_id": crm, "source": "job"}, []),
        ({"since": (NOON - HOUR).isoformat()}, [execution]),
    ):
        assert ids(ok(api.get("/dead-letters", **query))) == found, query
    for wrong in ({"status": "alive"}, {"source": "x"}, {"job_id": 2**63}, {"since": "2026-01-01"}, {"limit": 0}):
        problem(api.get("/dead-letters", **wrong), 422)


def test_one_shows_every_attempt_and_its_record(api: Api, db: DictConnection, job: int, crm: int) -> None:
    """Attempts and what came back; of a workflow the record, as long as it is kept."""
    execution, record, timer = die(db, job, NOON), expire(db, crm, 2, NOON), fail(db, NOON)
    assert ok(api.get(f"/dead-letters/job/{execution}"))["attempts"][-1]["error"] == "HTTP 503"
    assert ok(api.get(f"/dead-letters/job/{execution.removeprefix('job_')}"))["id"] == execution
    assert ok(api.get(f"/dead-letters/timer/{timer.removeprefix('timer_')}"))["attempts"][0]["code"] == 500
    shown = ok(api.get(f"/dead-letters/workflow/{record}"))
    assert (shown["record"]["key"], shown["kept"], shown["attempts"][0]["code"]) == ("key 2", True, 422)
    db.execute("delete from record where position = 2")
    db.execute("update dead_letter set attempts = '{}'")
    shown = ok(api.get(f"/dead-letters/workflow/{record}"))
    assert (shown["record"], shown["kept"], shown["attempts"]) == (None, False, [{}])


def test_what_succeeded_or_is_not_there_is_no_dead_letter(api: Api, db: DictConnection, job: int) -> None:
    """An id that leads nowhere is a 404, whatever it looks like; an unknown source is a 422."""
    add_execution(db, job, NOON, "success")
    for path in (
        f"job/{webhook_id(job, NOON)}",
        "job/job_1",
        f"job/job_{2**63}_1",
        "workflow/1",
        "workflow/job_1_1",
        "workflow/" + "9" * 40,
        "timer/timer_1",
        "timer/-1",
    ):
        for answered in (api.get(f"/dead-letters/{path}"), api.post(f"/dead-letters/{path}/discard")):
            assert "there is no dead letter" in problem(answered, 404)
    problem(api.get("/dead-letters/hook/1"), 422)
    problem(api.get("/dead-letters/timer/a%00"), 422)


def test_others_dead_letters_are_not_there(api: Api, db: DictConnection, job: int, crm: int) -> None:
    """Nobody but the owner and admins sees one, and deciding about it is answered as about one that is not there."""
    made = {"job": die(db, job, NOON), "workflow": expire(db, crm, 1, NOON), "timer": fail(db, NOON)}
    bob = api.as_(BOB)
    assert ok(bob.get("/dead-letters", owner="alice"))["items"] == []
    assert ok(bob.get("/dead-letters", job_id=job))["items"] == []
    assert len(ok(api.as_(ADMIN).get("/dead-letters", owner="alice"))["items"]) == 3
    for source, letter in made.items():
        refused = [bob.get(f"/dead-letters/{source}/{letter}")]
        for verb in ("redrive", "discard"):
            refused.append(bob.post(f"/dead-letters/{source}/{letter}/{verb}"))
            refused.append(bob.post(f"/dead-letters/{verb}", {"ids": [{"source": source, "id": letter}]}))
            assert ok(bob.post(f"/dead-letters/{verb}", {"source": source}))["count"] == 0
        assert {problem(answered, 404) for answered in refused} == {f"there is no dead letter {source} {letter}"}
    assert ok(bob.post("/dead-letters/discard", {"source": "job", "job_id": job}))["count"] == 0
    assert {item["status"] for item in ok(api.get("/dead-letters"))["items"]} == {"dead"}
    db.execute("delete from job")
    assert [item["source"] for item in ok(api.get("/dead-letters"))["items"]] == ["workflow", "timer"]
    assert [item["owner"] for item in ok(api.as_(ADMIN).get("/dead-letters", source="job"))["items"]] == [None]


def test_a_viewer_decides_nothing(api: Api, db: DictConnection) -> None:
    """Who may only look sees his own, and is told that he may not do more."""
    letter = fail(db, NOON, owner="viewer")
    viewer = api.as_(VIEWER)
    assert ids(ok(viewer.get("/dead-letters"))) == [letter]
    assert "may look" in problem(viewer.post(f"/dead-letters/timer/{letter}/redrive"), 403)
    assert "may look" in problem(viewer.post("/dead-letters/discard", {"source": "timer"}), 403)
    assert "log in" in problem(api.as_(None).get("/dead-letters"), 401)
    assert one(db, "select status, discarded_at from timer") == {"status": "failed", "discarded_at": None}

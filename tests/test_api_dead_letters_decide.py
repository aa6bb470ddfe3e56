"""Redriving and discarding dead letters over HTTP: what happens to the rows, and how many of what is answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ADMIN, Api, ok, problem
from tests.test_api_dead_letters import HOUR, NOON, api, crm, die, expire, fail, ids, job
from tests.test_store import add_job
from tests.workflow_commands import one

__all__ = ["api", "crm", "job"]

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def letters(db: DictConnection, job: int, crm: int) -> list[dict[str, Any]]:
    """Of each source one, as a request names them."""
    return [
        {"source": "job", "id": die(db, job, NOON)},
        {"source": "timer", "id": fail(db, NOON)},
        {"source": "workflow", "id": int(expire(db, crm, 1, NOON))},
    ]


def rows(db: DictConnection) -> tuple[Any, ...]:
    execution = one(
        db, "select status, redrive_at is not null as asked, discarded_at is not null as gone from execution"
    )
    timer = one(db, "select status, base_attempt, discarded_at is not null as gone from timer")
    return tuple(execution.values()), tuple(timer.values()), one(db, "select status from dead_letter")["status"]


def test_redriving_has_them_sent_again(api: Api, db: DictConnection, letters: list[Any]) -> None:
    """Each goes on in its own row; asked again, it is counted as asked for already."""
    done = ok(api.post("/dead-letters/redrive", {"ids": [*letters, letters[0]]}))
    count = {"count": 3, "job": 1, "timer": 1, "workflow": 1, "at_next_run": 0, "already": 0, "more": False}
    assert done == count
    assert rows(db) == (("failed", True, False), ("pending", 1, False), "redriving")
    again = ok(api.post("/dead-letters/redrive", {"ids": letters}))
    assert (again["count"], again["already"]) == (0, 3)
    assert {item["status"] for item in ok(api.get("/dead-letters"))["items"]} == {"redriving"}


def test_discarding_resolves_them(api: Api, db: DictConnection, letters: list[Any]) -> None:
    """They are kept, and resolved; executions and timers can be redriven still, a record cannot."""
    assert ok(api.post("/dead-letters/discard", {"ids": letters}))["count"] == 3
    assert rows(db) == (("failed", False, True), ("failed", 0, True), "discarded")
    assert ok(api.get("/dead-letters"))["items"] == []
    for letter in letters:
        path = f"/dead-letters/{letter['source']}/{letter['id']}"
        assert "is resolved: it was discarded at" in problem(api.post(path + "/discard"), 409)
        assert ok(api.get(path))["finished_at"] is not None
    for letter in letters[:2]:
        shown = ok(api.post(f"/dead-letters/{letter['source']}/{letter['id']}/redrive"))
        assert shown["status"] == "redriving"
    assert "is resolved" in problem(api.post(f"/dead-letters/workflow/{letters[2]['id']}/redrive"), 409)


def test_all_that_are_named_or_none(api: Api, db: DictConnection, letters: list[Any]) -> None:
    """One that is not there, or resolved, and nothing happens to the others."""
    before = rows(db)
    missing = {"source": "timer", "id": "timer_999"}
    assert problem(api.post("/dead-letters/redrive", {"ids": [*letters, missing]}), 404).endswith("timer timer_999")
    db.execute("update timer set status = 'fired', base_attempt = 1")
    assert "is resolved: it was redriven" in problem(api.post("/dead-letters/redrive", {"ids": letters}), 409)
    assert "is resolved: it was redriven" in problem(api.post("/dead-letters/discard", {"ids": letters}), 409)
    assert (rows(db)[0], rows(db)[2]) == (before[0], before[2])


def test_what_is_being_sent_is_not_discarded(api: Api, db: DictConnection) -> None:
    """Whoever is at it comes to its end first."""
    timer = fail(db, NOON, status="firing", base_attempt=1, error=None)
    assert "being sent again just now (firing)" in problem(api.post(f"/dead-letters/timer/{timer}/discard"), 409)


def test_what_is_gone_cannot_be_sent_again(api: Api, db: DictConnection, job: int, letters: list[Any]) -> None:
    """Without its record, or its job, nobody knows what to send; it can be discarded, and holds up no other."""
    admin = api.as_(ADMIN)
    db.execute("delete from record")
    db.execute("delete from job")
    for letter, said in ((letters[0], "its job was deleted"), (letters[2], "no longer has its record")):
        path = f"/dead-letters/{letter['source']}/{letter['id']}"
        assert ok(admin.get(path))["kept"] is False
        assert said in problem(admin.post(path + "/redrive"), 409)
        assert ok(admin.post("/dead-letters/redrive", {"source": letter["source"]}))["count"] == 0
        assert ok(admin.post(path + "/discard"))["status"] == "discarded"


def test_a_source_is_decided_about_as_a_whole(api: Api, db: DictConnection, job: int, crm: int) -> None:
    """Those of a job or a workflow, since an instant; what is not dead is left alone."""
    other = add_job(db, "other", owner="alice")
    for hours in range(4):
        die(db, job, NOON + hours * HOUR)
    die(db, other, NOON)
    newest = {"source": "job", "job_id": job, "since": (NOON + HOUR).isoformat()}
    assert ok(api.post("/dead-letters/discard", newest))["job"] == 2
    done = ok(api.post("/dead-letters/redrive", {"source": "job", "job_id": job}))
    assert (done["count"], done["more"]) == (2, False)
    assert ids(ok(api.get("/dead-letters", status="dead"))) == [f"job_{other}_{int(NOON.timestamp() * 1_000_000)}"]
    expire(db, crm, 1, NOON)
    assert ok(api.post("/dead-letters/redrive", {"source": "workflow", "workflow_id": crm}))["workflow"] == 1


def test_a_thousand_are_decided_about_at_once(api: Api, db: DictConnection, job: int) -> None:
    """The answer says that there are more; asking again gets on, until none is left."""
    db.execute(
        "insert into execution (job_id, scheduled_for, status, origin, attempt, finished_at)"
        " select %s, %s + n * interval '1 s', 'failed', 'schedule', 1, now() from generate_series(1, 1500) n",
        (job, NOON),
    )
    counts = [ok(api.post("/dead-letters/redrive", {"source": "job"})) for _ in range(3)]
    assert [(done["count"], done["more"]) for done in counts] == [(1000, True), (500, False), (0, False)]


def test_jobs_on_a_worker_wait_for_their_next_run(api: Api, db: DictConnection) -> None:
    """They are asked for as the others, and the answer says how many the job itself has to see to."""
    report = add_job(db, "report", owner="alice", kind="python", payload='{"function": "example:hello"}')
    letter = die(db, report, NOON)
    assert ok(api.post("/dead-letters/redrive", {"source": "job"}))["at_next_run"] == 1
    assert ok(api.get(f"/dead-letters/job/{letter}"))["status"] == "redriving"


def test_a_request_with_a_key_decides_once(api: Api, db: DictConnection) -> None:
    """Sent again, it is answered the same, and what has died since is left for another decision."""
    fail(db, NOON)
    first = ok(api.post("/dead-letters/discard", {"source": "timer"}, Idempotency_Key="k"))
    fail(db, NOON - timedelta(minutes=1))
    assert ok(api.post("/dead-letters/discard", {"source": "timer"}, Idempotency_Key="k")) == first
    assert len(ok(api.get("/dead-letters"))["items"]) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "write ids, or source, one of them"),
        ({"ids": []}, "body.ids"),
        ({"ids": [{"source": "job", "id": "1"}], "source": "job"}, "write ids, or source, one of them"),
        ({"ids": [{"source": "job", "id": "1"}], "job_id": 1}, "write ids alone"),
        ({"ids": [{"source": "job", "id": "1"}] * 1001}, "body.ids"),
        ({"ids": [{"source": "hook", "id": "1"}]}, "body.ids.0.source"),
        ({"ids": [{"source": "timer", "id": "a\0"}]}, "NUL cannot be stored"),
        ({"ids": [{"source": "timer", "id": 2**63}]}, "body.ids.0.id"),
        ({"source": "timer", "job_id": 1}, "job_id: it goes with source job"),
        ({"source": "job", "workflow_id": 1}, "workflow_id: it goes with source workflow"),
        ({"source": "job", "since": "yesterday"}, "body.since"),
        ({"source": "job", "all": True}, "body.all: Extra inputs are not permitted"),
        (None, "body: Field required"),
    ],
)
def test_a_choice_that_is_unclear_is_refused(api: Api, db: DictConnection, body: Any, said: str) -> None:
    """Nothing is decided about unless it is clear what is meant."""
    fail(db, NOON)
    for verb in ("redrive", "discard"):
        assert said in problem(api.post(f"/dead-letters/{verb}", body), 422)
    assert one(db, "select status, discarded_at from timer") == {"status": "failed", "discarded_at": None}

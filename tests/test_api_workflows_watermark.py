"""How far workflows are, over HTTP, and what a person does about it: seen by the owner, and written to the audit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, VIEWER, Api, api_of, ok, problem
from tests.log_rows import add_connector, add_workflow
from tests.workflow_commands import Run, add_records, environment, one, run, stop

__all__ = ["environment", "run"]

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
HOUR = timedelta(hours=1)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running.as_(ALICE)


@pytest.fixture
def crm(db: DictConnection) -> int:
    """Alice's workflow has finished 6 of 8 records, stored an hour apart and the last just now; its id."""
    issues = add_connector(db, "issues", owner="alice")
    now = datetime.now(timezone.utc)
    workflow_id = add_workflow(db, issues, URL, "crm", owner="alice")
    add_records(db, issues, *(now - hours * HOUR for hours in range(7, -1, -1)))
    db.execute("update workflow_progress set position = 6, in_hand = 7, processed = 6")
    return workflow_id


def mark(db: DictConnection) -> tuple[Any, ...]:
    row = one(db, "select position, stopped_at, error, in_hand from workflow_progress")
    return row["position"], row["stopped_at"], row["error"], row["in_hand"]


def audited(db: DictConnection, workflow_id: int) -> list[Any]:
    """What Alice sees of the moves of a workflow's watermark, as the index on the owner finds it."""
    rows = db.execute(
        "select actor, via, operation, old, new, changes_dag from audit where table_name = 'workflow_progress'"
        " and row_id = %s and coalesce(new, old) ->> 'owner' = 'alice' order by id",
        (workflow_id,),
    ).fetchall()
    return [tuple(row.values()) for row in rows]


def at(position: int, stopped_at: int | None = None) -> dict[str, Any]:
    return {"owner": "alice", "position": position, "stopped_at": stopped_at}


@pytest.mark.parametrize(("to", "position", "records"), [(0, 0, 6), ("5", 5, 1), ("150m", 5, 1), ("-7h", 1, 5)])
def test_rewind_goes_back_to_a_position_or_a_time(
    api: Api, db: DictConnection, crm: int, to: object, position: int, records: int
) -> None:
    """It answers how many records come again, and the audit says who did it."""
    moved = ok(api.post(f"/workflows/{crm}/rewind", {"to": to}))
    assert moved == {"id": crm, "name": "crm", "from": 6, "to": position, "records": records, "lost": 0, "head": 8}
    assert mark(db) == (position, None, None, None)
    assert audited(db, crm) == [("alice", "api", "update", at(6), at(position), False)]


def test_rewind_goes_back_to_an_instant(api: Api, db: DictConnection, crm: int) -> None:
    """An instant is that after which records are processed again; those that are no longer kept are counted apart."""
    since = one(db, "select created_at from record where position = 2")["created_at"]
    db.execute("delete from record where position <= 4")
    moved = ok(api.post(f"/workflows/{crm}/rewind", {"to": since.isoformat()}))
    assert (moved["to"], moved["records"], moved["lost"]) == (4, 2, 0)
    moved = ok(api.post(f"/workflows/{crm}/rewind", {"to": 1}))
    assert (moved["from"], moved["to"], moved["records"], moved["lost"]) == (4, 1, 0, 3)


BAD = (
    ("rewind", {"to": 9}, "to: position 9 lies beyond the head of the log, which is 8"),
    ("rewind", {"to": "9" * 30}, "to: position that lies beyond the head"),
    ("rewind", {"to": 2**63}, "body.to"),
    ("rewind", {"to": -1}, "body.to: write a position, which is 0 or more; or an instant, or how long ago"),
    ("rewind", {"to": "2" * 101}, "body.to: write a position"),
    ("rewind", {"to": True}, "body.to"),
    ("rewind", {"to": 1.5}, "body.to"),
    ("rewind", {"to": "now"}, "to: 'now' is not an instant"),
    ("rewind", {"to": "yesterday"}, "to: 'yesterday' is not an instant"),
    ("rewind", {"to": "0001-01-01T00:00+23:59"}, "is not an instant"),
    ("rewind", {"to": "a\0"}, "the character NUL cannot be stored"),
    ("rewind", {}, "body.to: Field required"),
    ("rewind", None, "body: Field required"),
    ("skip", {"to": 9}, "lies beyond the head of the log"),
)
NOT_THERE = (
    ("rewind", {"to": 6}, "is not before it; skip goes ahead"),
    ("skip", None, "has not stopped at a record"),
    ("skip", {"to": 6}, "there is nothing to skip"),
    ("retry", None, "has not stopped, so there is nothing to try again"),
)


@pytest.mark.parametrize(
    ("status", "what", "body", "said"), [*((422, *case) for case in BAD), *((409, *case) for case in NOT_THERE)]
)
def test_a_move_that_makes_no_sense_is_refused(
    api: Api, db: DictConnection, crm: int, status: int, what: str, body: Any, said: str
) -> None:
    """It is a 422 if what is asked for is wrong, a 409 if the workflow is not where it could be done; nothing moves."""
    response = api.post(f"/workflows/{crm}/{what}", body)
    assert said in problem(response, status)
    assert len(response.json().get("errors", [])) <= 1
    assert mark(db) == (6, None, None, 7)
    assert audited(db, crm) == []


def test_who_has_stopped_is_helped_on(api: Api, db: DictConnection, crm: int) -> None:
    """A workflow that has stopped tries the record again, or goes on after it; both are in the audit."""
    stop(db, crm, 7)
    assert ok(api.get(f"/workflows/{crm}"))["state"] == "stopped"
    assert ok(api.post(f"/workflows/{crm}/retry"))["state"] == "active"
    stop(db, crm, 7)
    moved = ok(api.post(f"/workflows/{crm}/skip", Idempotency_Key="once"))
    assert ok(api.post(f"/workflows/{crm}/skip", Idempotency_Key="once")) == moved
    assert (moved["from"], moved["to"], moved["records"]) == (6, 7, 1)
    assert mark(db) == (7, None, None, None)
    assert [entry[3:5] for entry in audited(db, crm)] == [(at(6, 7), at(6)), (at(6, 7), at(7))]


def test_skip_goes_ahead(api: Api, db: DictConnection, crm: int) -> None:
    """It passes over what was stored until then; a record at which the workflow has stopped needs a decision still."""
    stop(db, crm, 8)
    db.execute("update workflow_progress set position = 5")
    assert ok(api.post(f"/workflows/{crm}/skip", {"to": "90m"}))["to"] == 6
    assert mark(db)[:2] == (6, 8)
    assert ok(api.post(f"/workflows/{crm}/skip", {"to": "now"}))["records"] == 2
    assert mark(db)[:2] == (8, None)
    assert [entry[4] for entry in audited(db, crm)] == [at(6, 8), at(8)]


def test_a_move_on_the_command_line_is_in_the_audit(run: Run, db: DictConnection, crm: int) -> None:
    """Whoever moves a watermark by command line is written down as well, where its owner sees it."""
    run("workflows rewind crm --to 2")
    stop(db, crm, 7)
    run("workflows retry crm")
    run("workflows skip crm --to now --yes")
    entries = audited(db, crm)
    assert [entry[3:5] for entry in entries] == [(at(6), at(2)), (at(6, 7), at(6)), (at(6), at(8))]
    assert {entry[1] for entry in entries} == {"cli"}


def test_who_only_looks_moves_nothing(api: Api, db: DictConnection, crm: int) -> None:
    """A viewer sees how far his workflow is, and may not move it."""
    db.execute("update workflow set owner = 'viewer'")
    viewer = api.as_(VIEWER)
    assert ok(viewer.get(f"/workflows/{crm}/lag"))["position"] == 6
    for what, body in (("rewind", {"to": 0}), ("skip", {"to": "now"}), ("retry", None), ("pause", None)):
        assert "may look" in problem(viewer.post(f"/workflows/{crm}/{what}", body), 403)
    assert mark(db) == (6, None, None, 7)


def test_a_workflow_that_has_not_begun_has_no_lag(api: Api, db: DictConnection, crm: int) -> None:
    """It waits, and there is nothing to move."""
    db.execute("update workflow_progress set begun = false, position = 0")
    lag = ok(api.get(f"/workflows/{crm}/lag"))
    assert (lag["state"], lag["begun"], lag["lag_records"], lag["lag_seconds"]) == ("waiting", False, None, None)
    assert "has not begun; start_from says where" in problem(api.post(f"/workflows/{crm}/rewind", {"to": 0}), 409)


def test_lag_shows_who_has_stopped_and_then_who_is_furthest_behind(api: Api, db: DictConnection, crm: int) -> None:
    """Pages of what the caller sees: first those that have stopped, then by age of what lies ahead, each once."""
    issues = one(db, "select id from connector")["id"]
    for name, position in (("caught up", 8), ("fresh", 7), ("old", 1), ("stuck", 7), ("waits", 0), ("wrong", 8)):
        workflow_id = add_workflow(db, issues, URL, name, owner="alice")
        db.execute("update workflow_progress set position = %s where workflow_id = %s", (position, workflow_id))
        if name == "stuck":
            stop(db, workflow_id, 8)
    db.execute("update workflow_progress set begun = false where position = 0")
    db.execute("update workflow set error = 'bad' where name = 'wrong'")
    add_workflow(db, issues, URL, "of bob", owner="bob")
    names: list[str] = []
    cursor: dict[str, str] = {}
    while not names or cursor:
        response = api.get("/workflows/lag", limit=2, **cursor)
        page = ok(response)
        names += [item["name"] for item in page["items"]]
        assert page["total"] == 7
        cursor = {"cursor": page["next"]} if page["next"] else {}
        assert ("cursor" in response.headers.get("link", "")) == bool(cursor)
    assert names == ["stuck", "wrong", "old", "crm", "fresh", "caught up", "waits"]
    old = ok(api.get("/workflows/lag", limit=3))["items"][2]
    assert (old["lag_records"], old["state"]) == (7, "active")
    assert old["lag_seconds"] == pytest.approx(6 * 3600, abs=60)
    assert "in this order" in problem(api.get("/workflows/lag", cursor="bm9uc2Vuc2U"), 400)

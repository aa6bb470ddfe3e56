"""Timers over HTTP: what is answered, and what is in the table then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from include.store.db import DictConnection
from include.times import utcnow
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/hook"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def timer(**settings: Any) -> dict[str, Any]:
    when = {} if "due_at" in settings else {"hours": 4, "seconds": 1}
    return {"url": URL, **when, **settings}


def count(db: DictConnection) -> object:
    row = db.execute("select count(*) as n from timer").fetchone()
    return row and row["n"]


def test_a_created_timer_is_a_row_of_the_caller(api: Api, db: DictConnection) -> None:
    """POST makes a row that belongs to the caller, and answers 201 with where it is and the time that is left."""
    response = api.as_(ALICE).post("/timers", timer(body={"order": 17}, headers={"x-a": "b"}, retry_delay="1m30s"))
    made = ok(response, 201)
    assert response.headers["location"] == f"/millrace/api/v1/timers/{made['id']}"
    assert 14_390 < made["time_left"] <= 14_401
    assert (made["owner"], made["status"], made["retry_delay"], made["hours"]) == ("alice", "pending", 90.0, 4)
    assert made["due_at"].endswith("Z")
    assert not {"claim", "claimed_by"} & set(made)
    row = db.execute("select owner, url, method, body, headers, due_at - created_at as delay from timer").fetchone()
    assert row is not None
    delay: Any = row.pop("delay")
    assert timedelta(seconds=14_401) <= delay < timedelta(seconds=14_411)
    assert row == {"owner": "alice", "url": URL, "method": "POST", "body": {"order": 17}, "headers": {"x-a": "b"}}
    assert ok(api.as_(ALICE).get(f"/timers/{made['id']}"))["due_at"] == made["due_at"]


def test_an_instant_is_taken_as_it_is_written(api: Api) -> None:
    """`due_at` is an instant with an offset; it is answered in UTC."""
    made = ok(api.post("/timers", timer(due_at="2999-01-01T01:00:00+01:00", method="get", body=None)), 201)
    assert (made["due_at"], made["method"], made["body"]) == ("2999-01-01T00:00:00Z", "GET", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hours": 0, "seconds": 0}, "write hours, minutes and seconds, of which one is more than 0; or due_at"),
        ({"due_at": "2999-01-01T00:00:00Z", "hours": 1}, "or due_at, and none of them"),
        ({"due_at": "2020-01-01T00:00:00Z", "hours": 0, "seconds": 0}, "body.due_at: not in the future"),
        ({"due_at": "2999-01-01T00:00:00", "hours": 0, "seconds": 0}, "body.due_at: write an instant with its offset"),
        ({"hours": -1}, "body.hours: Input should be greater than or equal to 0"),
        ({"hours": 2**31}, "body.hours"),
        ({"hours": 2**31 - 1}, "at most 36525 days together"),
        ({"url": ""}, "body.url"),
        ({"url": "ftp://example.com/"}, "body.url"),
        ({"url": "http://"}, "body.url"),
        ({"url": "http://a/\0"}, "body.url: the character NUL"),
        ({"url": "https://example.com/" + "x" * 2050}, "body.url: String should have at most 2048 characters"),
        ({"method": "TRACE"}, "body.method"),
        ({"headers": {"webhook-id": "1"}}, "body.headers: leave out webhook-id"),
        ({"headers": {"a": "b\r\nc: d"}}, "body.headers: write the value of a in one line"),
        ({"body": 5}, "body.body: write an object, a list or a text"),
        ({"body": {"a": "\0"}}, "body.body: the character NUL"),
        ({"timeout": 0}, "body.timeout: write at least"),
        ({"retries": 101}, "body.retries"),
        ({"conn_id": ""}, "body.conn_id"),
        ({"sceonds": 5}, "body.sceonds: Extra inputs are not permitted"),
    ],
)
def test_a_timer_that_could_never_be_sent_is_refused(
    api: Api, db: DictConnection, change: dict[str, Any], said: str
) -> None:
    """What is wrong is a 422 that says where and what, and nothing is stored."""
    assert said in problem(api.post("/timers", timer() | change), 422)
    assert count(db) == 0


def test_an_external_id_makes_creating_idempotent(api: Api, db: DictConnection) -> None:
    """The same timer again is answered as it is, even once it was sent; with other settings it is a 409."""
    relative = timer(external_id="x", body=[1])
    absolute = timer(external_id="y", due_at=(utcnow() + timedelta(hours=1)).isoformat())
    for settings in (relative, absolute):
        first = ok(api.post("/timers", settings), 201)
        again = ok(api.post("/timers", settings), 200)
        assert (again["id"], again["due_at"]) == (first["id"], first["due_at"])
    assert "other settings" in problem(api.post("/timers", relative | {"seconds": 2}), 409)
    assert "other settings" in problem(api.post("/timers", absolute | {"due_at": "2999-01-01T00:00:00Z"}), 409)
    db.execute("update timer set due_at = '2020-01-01Z' where external_id = 'y'")
    past = ok(api.post("/timers", absolute | {"due_at": "2020-01-01T00:00:00Z"}), 200)
    assert past["external_id"] == "y"
    ok(api.as_(ALICE).post("/timers", relative), 201)
    assert count(db) == 3


def test_an_idempotency_key_makes_a_post_happen_once(api: Api, db: DictConnection) -> None:
    """The same request with the same key is answered the same and happens once."""
    first = api.post("/timers", timer(), Idempotency_Key="k")
    again = api.post("/timers", timer(), Idempotency_Key="k")
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert count(db) == 1


def test_others_cannot_tell_that_a_timer_exists(api: Api) -> None:
    """Whatever one does with a timer of somebody else, the answer is that of a timer that is not there."""
    path = f"/timers/{ok(api.as_(ALICE).post('/timers', timer(external_id='x')), 201)['id']}"
    bob = api.as_(BOB)
    for real, missing in (
        (bob.get(path), bob.get("/timers/999")),
        (bob.post(path + "/cancel"), bob.post("/timers/999/cancel")),
        (bob.delete(path), bob.delete("/timers/999")),
    ):
        assert problem(real, 404).replace(path.rpartition("/")[2], "999") == problem(missing, 404)
    for query in ({}, {"owner": "alice"}, {"external_id": "x"}):
        assert ok(bob.get("/timers", **query))["items"] == []
    assert ok(api.as_(ALICE).get(path))["status"] == "pending"
    assert "rows of your own" in problem(bob.post("/timers", timer(owner="alice")), 403)
    assert ok(api.post("/timers", timer(owner="alice")), 201)["owner"] == "alice"


def test_a_viewer_adds_and_cancels_nothing(api: Api, db: DictConnection) -> None:
    """Who may only look is told so."""
    viewer = api.as_(VIEWER)
    made = ok(api.post("/timers", timer(owner="viewer")), 201)
    for answer in (
        viewer.post("/timers", timer()),
        viewer.post("/timers/bulk", {"timers": [timer()]}),
        viewer.post(f"/timers/{made['id']}/cancel"),
        viewer.delete(f"/timers/{made['id']}"),
    ):
        assert "may look" in problem(answer, 403)
    assert ok(viewer.get(f"/timers/{made['id']}"))["status"] == "pending"
    assert "log in" in problem(api.as_(None).get("/timers"), 401)


def test_only_listed_connections_may_sign(api: Api, db: DictConnection) -> None:
    """A user names the connections that an admin has listed for him; an admin names any."""
    alice = api.as_(ALICE)
    assert "key is not among the connections" in problem(alice.post("/timers", timer(conn_id="key")), 403)
    ok(api.post("/timers", timer(conn_id="key", owner="alice")), 201)
    db.execute("insert into connection_grant (owner, conn_id) values ('alice', 'key')")
    assert ok(alice.post("/timers", timer(conn_id="key")), 201)["conn_id"] == "key"


def test_a_quota_holds_for_timers_that_wait(api: Api, db: DictConnection) -> None:
    """A user has no more timers waiting than he may have rows; what was sent or cancelled does not count."""
    alice = api.as_(ALICE)
    db.execute("insert into quota (owner, max_rows) values ('alice', 2)")
    problem(alice.post("/timers/bulk", {"timers": [timer()] * 3}), 403)
    ids = ok(alice.post("/timers/bulk", {"timers": [timer()] * 2}), 201)["ids"]
    assert "2 rows are the most" in problem(alice.post("/timers", timer()), 403)
    assert count(db) == 2
    ok(alice.post(f"/timers/{ids[0]}/cancel"))
    ok(alice.post("/timers", timer()), 201)
    ok(api.post("/timers", timer(owner="alice")), 201)
    ok(api.as_(BOB).post("/timers", timer()), 201)


def test_a_timer_is_cancelled_in_either_way(api: Api) -> None:
    """POST cancel answers the timer, DELETE nothing; both may come again, and the timer stays to be seen."""
    for number in (1, 2):
        made = ok(api.post("/timers", timer()), 201)
        path = f"/timers/{made['id']}"
        if number == 1:
            cancelled = ok(api.post(path + "/cancel"))
            assert (cancelled["status"], cancelled["time_left"]) == ("cancelled", None)
        assert api.delete(path).status_code == 204
        assert ok(api.post(path + "/cancel"))["status"] == "cancelled"
        assert ok(api.get(path))["finished_at"] is not None


@pytest.mark.parametrize(
    ("status", "said"),
    [("firing", "it is being sent"), ("fired", "it has been sent"), ("failed", "it has failed")],
)
def test_it_can_be_too_late_to_cancel(api: Api, db: DictConnection, status: str, said: str) -> None:
    """409 says what became of the timer, and it stays so."""
    path = f"/timers/{ok(api.post('/timers', timer()), 201)['id']}"
    db.execute(
        "update timer set status = %(status)s, finished_at = case when %(status)s <> 'firing' then now() end",
        {"status": status},
    )
    for answer in (api.post(path + "/cancel"), api.delete(path)):
        assert said in problem(answer, 409)
    assert ok(api.get(path))["status"] == status


def test_ids_that_no_timer_can_have_are_refused(api: Api) -> None:
    """An id is a number that a row can have."""
    for timer_id in ("0", "-1", "x", str(2**63)):
        problem(api.get(f"/timers/{timer_id}"), 422)

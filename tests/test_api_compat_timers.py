"""The timers of a predecessor: its calls work as they stand, with the statuses that they should have had."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

PATH = "//compat/timers"
URL = "https://example.com/hook"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


@pytest.mark.parametrize(
    ("when", "left"),
    [
        ({"hours": 4, "minutes": 0, "seconds": 1}, 14_401),
        ({"minutes": 10}, 600),
        ({"seconds": "10"}, 10),
        ({"hours": None, "seconds": 5, "unknown": True}, 5),
    ],
)
def test_a_timer_has_so_many_seconds_left(api: Api, db: DictConnection, when: dict[str, Any], left: int) -> None:
    """POST answers the id and whole seconds, GET the same; numbers that are missing are 0."""
    made = ok(api.as_(ALICE).post(PATH, {**when, "url": URL}))
    assert made == {"id": 1, "time_left": left}
    found = ok(api.as_(ALICE).get(f"{PATH}/1"))
    assert set(found) == {"id", "time_left"}
    assert left - 5 < found["time_left"] <= left
    assert isinstance(found["time_left"], int)
    assert db.execute("select owner, method, url from timer").fetchone() == {
        "owner": "alice",
        "method": "POST",
        "url": URL,
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"hours": -1, "url": URL}, "hours: Input should be greater than or equal to 0"),
        ({"url": URL}, "write hours, minutes and seconds"),
        ({"hours": 0, "minutes": 0, "seconds": 0, "url": URL}, "write hours, minutes and seconds"),
        ({"hours": 2_147_483_647, "minutes": 2_147_483_647, "url": URL}, "at most"),
        ({"hours": 10**30, "url": URL}, "hours"),
        ({"seconds": 1}, "body.url: Field required"),
        ({"seconds": 1, "url": None}, "body.url"),
        ({"seconds": 1, "url": ""}, "url"),
        ({"seconds": 1, "url": "not a url"}, "url"),
        ({"seconds": 1, "url": "https://example.com/" + "x" * 2050}, "url"),
        ({"seconds": "soon", "url": URL}, "body.seconds"),
        ({"seconds": 1.5, "url": URL}, "body.seconds"),
        ({"seconds": True, "url": URL}, "body.seconds: write a number"),
        ([], "body"),
        ("x", "body"),
    ],
)
def test_every_refusal_has_its_reason(api: Api, db: DictConnection, body: Any, said: str) -> None:
    """What is wrong is a 400 that says what, and nothing is stored."""
    assert said in problem(api.post(PATH, body), 400)
    assert db.execute("select count(*) as n from timer").fetchone() == {"n": 0}


def test_what_is_no_json_is_refused(api: Api) -> None:
    """A body that cannot be read is a 400, too."""
    raw = {"headers": {"X-Caller": "admin", "Content-Type": "application/json"}}
    for content in (b"{", b"", b"\xff", b'{"seconds": 1, "url": "\\ud800"}'):
        problem(api._client.post("/compat/timers", content=content, **raw), 400)


def test_a_timer_that_is_done_has_no_time_left(api: Api, db: DictConnection) -> None:
    """What was sent, or will never be, has 0 seconds left; what is overdue as well."""
    ok(api.post(PATH, {"hours": 1, "url": URL}))
    for status, done in (("fired", True), ("failed", True), ("cancelled", True)):
        db.execute("update timer set status = %s, finished_at = case when %s then now() end", (status, done))
        assert ok(api.get(f"{PATH}/1")) == {"id": 1, "time_left": 0}
    db.execute("update timer set status = 'firing', finished_at = null, next_at = now() - interval '1 minute'")
    assert ok(api.get(f"{PATH}/1")) == {"id": 1, "time_left": 0}


def test_a_timer_that_one_cannot_see_is_not_there(api: Api) -> None:
    """404 for one that is unknown and for somebody else's, alike; 400 for what is no number."""
    ok(api.as_(ALICE).post(PATH, {"hours": 1, "url": URL}))
    for timer_id in ("2", "0", "-1", str(2**63), "9" * 5000):
        assert "there is no timer" in problem(api.as_(ALICE).get(f"{PATH}/{timer_id}"), 404)
    assert "there is no timer" in problem(api.as_(BOB).get(f"{PATH}/1"), 404)
    for timer_id in ("abc", "1a", "1.5", "%00", "١"):
        assert "write the number" in problem(api.get(f"{PATH}/{timer_id}"), 400)


def test_the_login_is_that_of_the_other_calls(api: Api) -> None:
    """Without a login nothing is answered; who may only look adds nothing."""
    problem(api.as_(None).post(PATH, {"hours": 1, "url": URL}), 401)
    problem(api.as_(None).get(f"{PATH}/1"), 401)
    assert "may look" in problem(api.as_(VIEWER).post(PATH, {"hours": 1, "url": URL}), 403)


def test_a_key_makes_it_happen_once(api: Api, db: DictConnection) -> None:
    """The same call with the same Idempotency-Key adds one timer."""
    first = ok(api.post(PATH, {"hours": 1, "url": URL}, Idempotency_Key="k"))
    assert ok(api.post(PATH, {"hours": 1, "url": URL}, Idempotency_Key="k")) == first
    assert db.execute("select count(*) as n from timer").fetchone() == {"n": 1}

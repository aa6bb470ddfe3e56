"""Many timers over HTTP: added at once, and listed a page at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.api.paging import Place, encode
from include.store.db import DictConnection
from tests.api_client import ALICE, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/hook"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def timer(seconds: int = 3600, **settings: Any) -> dict[str, Any]:
    return {"url": URL, "seconds": seconds, **settings}


def pages(api: Api, **query: Any) -> list[dict[str, Any]]:
    """All that a list has, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = ok(api.get("/timers", **query, **cursor))
        assert page["total"] is None
        assert len(page["items"]) <= query["limit"]
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def test_many_are_added_in_their_order(api: Api, db: DictConnection) -> None:
    """A thousand timers are one request, and are answered in the order in which they were sent."""
    made = ok(api.as_(ALICE).post("/timers/bulk", {"timers": [timer(60 + n) for n in range(1000)]}), 201)
    assert list(made) == ["ids"]
    seconds = {row["id"]: row["seconds"] for row in db.execute("select id, seconds from timer where owner = 'alice'")}
    assert [seconds[timer_id] for timer_id in made["ids"]] == list(range(60, 1060))
    assert len(seconds) == 1000


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"url": "nonsense"}, "body.timers.1.url"),
        ({"seconds": 0}, "body.timers.1: write hours"),
        ({"seconds": 0, "due_at": "2020-01-01T00:00:00Z"}, "body.timers.1.due_at: not in the future"),
        ({"headers": {"host": "x"}}, "body.timers.1.headers: leave out host"),
    ],
)
def test_many_are_added_or_none(api: Api, db: DictConnection, second: dict[str, Any], said: str) -> None:
    """If one is refused, the answer says which, and none is there."""
    assert said in problem(api.post("/timers/bulk", {"timers": [timer(), timer() | second, timer()]}), 422)
    assert db.execute("select count(*) as n from timer").fetchone() == {"n": 0}


def test_too_many_at_once_or_none_at_all_are_refused(api: Api) -> None:
    """One to a thousand."""
    problem(api.post("/timers/bulk", {"timers": [timer()] * 1001}), 422)
    problem(api.post("/timers/bulk", {"timers": []}), 422)
    problem(api.post("/timers/bulk", [timer()]), 422)


def test_what_was_added_before_is_not_added_again(api: Api, db: DictConnection) -> None:
    """Of many, those whose external_id is known are answered as they are; one external_id twice is one timer."""
    known = ok(api.post("/timers", timer(external_id="a")), 201)["id"]
    wanted = [timer(), timer(external_id="a"), timer(external_id="b"), timer(external_id="b"), timer(7)]
    ids = ok(api.post("/timers/bulk", {"timers": wanted}), 201)["ids"]
    made = [ok(api.get(f"/timers/{timer_id}")) for timer_id in ids]
    assert [one["external_id"] for one in made] == [None, "a", "b", "b", None]
    assert (ids[1], ids[2], made[4]["seconds"]) == (known, ids[3], 7)
    twice = {"timers": [timer(), timer(1, external_id="c"), timer(2, external_id="c")]}
    assert "other settings" in problem(api.post("/timers/bulk", twice), 409)
    assert db.execute("select count(*) as n from timer").fetchone() == {"n": 4}


def test_pages_follow_each_other_in_every_order(api: Api) -> None:
    """Cursors lead through all timers, each once; also through those that are due at the same instant."""
    for seconds in (50, 10, 40):
        same = {"due_at": f"2999-01-01T00:00:{seconds}.123456Z", "seconds": 0}
        ok(api.post("/timers/bulk", {"timers": [timer(**same), timer(**same)]}), 201)
    for sort in ("id", "-id", "due_at", "-due_at"):
        found = pages(api, sort=sort, limit=1 if sort == "due_at" else 4)
        field = sort.removeprefix("-")
        assert len({item["id"] for item in found}) == 6
        assert found == sorted(found, key=lambda item: (item[field], item["id"]), reverse=sort.startswith("-"))
    first = api.get("/timers", limit=3)
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    assert "in this order" in problem(api.get("/timers", sort="-id", cursor=first.json()["next"]), 400)
    problem(api.get("/timers", sort="url"), 422)


def test_a_cursor_that_somebody_made_up_is_refused(api: Api) -> None:
    """A place that is no instant is the caller's error."""
    problem(api.get("/timers", sort="due_at", cursor=encode(Place("due_at", "soon", 1))), 422)


def test_lists_are_filtered(api: Api, db: DictConnection) -> None:
    """By status, owner and external_id, in every order."""
    ids = [ok(api.post("/timers", timer(owner=owner)), 201)["id"] for owner in ("alice", "bob", "alice", "bob")]
    ok(api.post(f"/timers/{ids[2]}/cancel"))
    named = ok(api.as_(ALICE).post("/timers", timer(external_id="x")), 201)["id"]
    for sort in ("id", "-id", "due_at", "-due_at"):
        for query, expected in (
            ({"owner": "bob"}, [ids[1], ids[3]]),
            ({"status": "cancelled"}, [ids[2]]),
            ({"status": "pending", "owner": "alice"}, [ids[0], named]),
            ({"external_id": "x"}, [named]),
            ({"status": "firing"}, []),
        ):
            assert sorted(item["id"] for item in pages(api, sort=sort, limit=1, **query)) == expected
    assert pages(api.as_(ALICE), limit=10, owner="bob") == []
    assert len(pages(api.as_(ALICE), limit=10, owner="alice")) == 3
    problem(api.get("/timers", status="lost"), 422)
    problem(api.get("/timers", owner="a\0"), 422)

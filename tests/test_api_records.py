"""Records of connectors over HTTP: looked through, looked up and appended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store import connectors
from include.store.db import DictConnection
from tests import log_rows
from tests.api_client import ALICE, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def path_of(connector_id: int) -> str:
    return f"/connectors/{connector_id}/records"


def fill(db: DictConnection, connector_id: int, count: int) -> None:
    """So many records `k1`, `k2`, ..., with their number as payload."""
    db.execute(
        "select append_records(%s, (select jsonb_agg(jsonb_build_object('key', 'k' || n, 'payload', n) order by n)"
        " from generate_series(1, %s) n))",
        (connector_id, count),
    )


def pages(api: Api, path: str, **query: Any) -> list[list[int]]:
    """The positions on each page of a list."""
    found: list[list[int]] = []
    while True:
        page = ok(api.get(path, **query))
        found.append([item["position"] for item in page["items"]])
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def test_records_are_listed_from_either_end(api: Api, db: DictConnection) -> None:
    """The newest first, unless it is asked otherwise; pages follow each other, each record once."""
    path = path_of(log_rows.add_connector(db))
    assert pages(api, path) == [[]]
    log_rows.append(db, 1, [{"n": number} for number in range(1, 8)])
    assert pages(api, path, limit=3) == [[7, 6, 5], [4, 3, 2], [1]]
    assert pages(api, path, limit=3, sort="position") == [[1, 2, 3], [4, 5, 6], [7]]
    assert pages(api, path, limit=7) == [[7, 6, 5, 4, 3, 2, 1]]
    first = api.get(path, limit=3)
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    shown = first.json()["items"][0]
    assert (shown["key"], shown["version"], shown["payload"]) == ("k7", 1, {"n": 7})
    assert shown["created_at"].endswith("Z")
    assert "in this order" in problem(api.get(path, sort="position", cursor=first.json()["next"]), 400)


def test_what_is_appended_between_two_pages_repeats_nothing(api: Api, db: DictConnection) -> None:
    """A list from the newest on goes on where it was, whatever has come since."""
    path = path_of(log_rows.add_connector(db))
    log_rows.append(db, 1, range(4))
    cursor = ok(api.get(path, limit=2))["next"]
    log_rows.append(db, 1, ["new"], first=9)
    assert [item["position"] for item in ok(api.get(path, limit=2, cursor=cursor))["items"]] == [2, 1]


def test_the_versions_of_a_key_are_found_by_it(api: Api, db: DictConnection) -> None:
    """`key` shows what one thing has been, from either end; a long key is found though a digest is stored."""
    path = path_of(log_rows.add_connector(db, dedupe="content"))
    for number in range(5):
        log_rows.append(db, 1, [number, -number])
    long = "x" * 1500
    ok(api.post(path, [{"key": long, "payload": 1}]), 201)
    mine = [item["position"] for item in ok(api.get(path, sort="position"))["items"] if item["key"] == "k1"]
    assert pages(api, path, key="k1", limit=2, sort="position") == [mine[:2], mine[2:4], mine[4:]]
    assert pages(api, path, key="k1", limit=5) == [mine[::-1]]
    assert pages(api, path, key="k1", search="3") == [[mine[3]]]
    assert len(ok(api.get(path, key=long))["items"]) == 1
    assert pages(api, path, key="nobody") == [[]]


def test_a_search_looks_at_so_many_records_at_a_time(api: Api, db: DictConnection) -> None:
    """A search never reads the whole of a long log at once; `next` leads on until all has been looked through."""
    count = 2 * connectors.SEARCHED + 10
    path = path_of(log_rows.add_connector(db))
    fill(db, 1, count)
    assert pages(api, path, search=str(count)) == [[count], [], []]
    assert pages(api, path, search="nowhere", sort="position") == [[], [], []]
    assert pages(api, path, search=str(count), sort="position") == [[], [], [count]]
    assert pages(api, path, search="10003", limit=1, sort="position") == [[], [], [10003]]
    found = pages(api, path, search="99", limit=50)
    assert sorted(position for page in found for position in page) == [
        number for number in range(1, count + 1) if "99" in str(number)
    ]
    assert pages(api, path, search="99", limit=50, sort="position")[0][0] == 99


def test_a_search_takes_text_as_it_is(api: Api, db: DictConnection) -> None:
    """Whatever is searched for is text and no pattern, in either case."""
    path = path_of(log_rows.add_connector(db))
    log_rows.append(db, 1, [{"title": "50% Off"}, {"title": "50 euros"}])
    assert pages(api, path, search="50% o") == [[1]]
    assert pages(api, path, search="_") == [[]]
    problem(api.get(path, search="a\0"), 422)
    problem(api.get(path, key="a\0"), 422)


def test_a_page_is_bounded_in_bytes(api: Api, db: DictConnection) -> None:
    """Large records make short pages, and none is left out."""
    path = path_of(log_rows.add_connector(db))
    for number in range(5):
        log_rows.append(db, 1, ["x" * 3_000_000], first=number)
    assert pages(api, path) == [[5, 4, 3], [2, 1]]
    assert pages(api, path, sort="position", limit=3) == [[1, 2, 3], [4, 5]]


def test_one_record_is_found_by_its_position(api: Api, db: DictConnection) -> None:
    """A position has one record, or none, which is a 404 that says so."""
    path = path_of(log_rows.add_connector(db))
    log_rows.append(db, 1, [{"n": 1}, None])
    assert ok(api.get(path + "/1"))["payload"] == {"n": 1}
    assert ok(api.get(path + "/2"))["payload"] is None
    assert "no record at position 3" in problem(api.get(path + "/3"), 404)
    assert "no record at position" in problem(api.get(f"{path}/{2**63 - 1}"), 404)
    for odd in ("0", "x", str(2**63)):
        problem(api.get(f"{path}/{odd}"), 422)
    assert "there is no connector" in problem(api.get("/connectors/9/records"), 404)


def test_records_are_appended_once(api: Api, db: DictConnection) -> None:
    """What is appended is numbered in its order; what is there already is not stored again, and where it is is said."""
    path = path_of(log_rows.add_connector(db, owner="alice"))
    alice = api.as_(ALICE)
    items = [{"key": "a", "payload": {"n": 1}}, {"key": "b", "payload": [1.5, "ä\ufffe"]}]
    assert ok(alice.post(path, items), 201) == {"positions": [1, 2], "stored": 2}
    again = [{"key": "b", "payload": 0}, {"payload": 7}, {"payload": 7}, {"key": "c", "payload": None}]
    assert ok(alice.post(path, again), 201) == {"positions": [2, 3, 3, 4], "stored": 2}
    rows = db.execute("select key, payload from record order by position").fetchall()
    assert [row["payload"] for row in rows] == [{"n": 1}, [1.5, "ä\ufffe"], 7, None]
    assert str(rows[2]["key"]).startswith("sha256:")
    assert ok(alice.get("/connectors/1"))["head"] == 4


def test_appending_happens_once_for_a_key(api: Api, db: DictConnection) -> None:
    """The same request with the same Idempotency-Key appends nothing again, even where contents are versions."""
    path = path_of(log_rows.add_connector(db, dedupe="content"))
    flip = [{"key": "a", "payload": 1}, {"key": "a", "payload": 2}]
    assert ok(api.post(path, flip, Idempotency_Key="1"), 201) == {"positions": [2, 2], "stored": 2}
    assert ok(api.post(path, flip, Idempotency_Key="1"), 201) == {"positions": [2, 2], "stored": 2}
    assert ok(api.get(path, limit=1))["items"][0]["position"] == 2


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "at least 1 item"),
        ([{"payload": 1}] * 1001, "at most 1000 items"),
        ({"payload": 1}, "a valid list"),
        ([{"payload": 1}, {"key": "a"}], "body.1.payload: Field required"),
        ([{"payload": 1, "position": 3}], "body.0.position: Extra inputs are not permitted"),
        ([{"payload": "a\0"}], "body.0.payload: the character NUL cannot be stored"),
        ([{"key": "\0", "payload": 1}], "body.0.key: the character NUL cannot be stored"),
        ([{"key": "", "payload": 1}], "body.0.key"),
        ([{"key": 1, "payload": 1}], "body.0.key"),
    ],
)
def test_bad_records_are_refused_as_a_whole(api: Api, db: DictConnection, items: Any, said: str) -> None:
    """What cannot be stored is a 422 that says where and what, and nothing of the request is stored."""
    path = path_of(log_rows.add_connector(db))
    assert said in problem(api.post(path, items), 422)
    assert db.execute("select count(*) as n from record").fetchone() == {"n": 0}

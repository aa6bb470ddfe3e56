"""Lists of connectors over HTTP: in every order, page by page, and narrowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests import log_rows
from tests.api_client import Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def add(db: DictConnection, name: str, assignments: str = "id = id", kind: str = "rest", config: str = "{}") -> None:
    """A row, and what Millrace has written into it since."""
    db.execute("insert into connector (name, kind, config) values (%s, %s, %s)", (name, kind, config))
    db.execute(f"update connector set {assignments} where name = %s".encode(), (name,))


def test_pages_follow_each_other_in_every_order(api: Api, db: DictConnection) -> None:
    """Cursors lead through all rows, each once, whatever the order; a cursor of another order is refused."""
    for number in range(7):
        add(db, f"connector {6 - number}", kind="feed" if number % 2 else "rest")
    for sort in ("id", "-id", "name", "-name", "kind", "-owner", "-created_at", "updated_at"):
        seen: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = ok(api.get("/connectors", sort=sort, limit=3, **cursor))
            seen += page["items"]
            assert page["total"] == 7
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        field = sort.removeprefix("-")
        assert len({item["id"] for item in seen}) == 7
        assert seen == sorted(seen, key=lambda item: (item[field], item["id"]), reverse=sort.startswith("-"))
    first = api.get("/connectors", limit=3)
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    assert "in this order" in problem(api.get("/connectors", sort="name", cursor=first.json()["next"]), 400)
    assert "sort" in problem(api.get("/connectors", sort="cursor"), 422)


@pytest.mark.parametrize(
    ("state", "assignments"),
    [
        ("error", "error = 'bad', is_active = false"),
        ("paused", "is_active = false, failing_since = now()"),
        ("paused", "paused_until = now() + interval '1 hour'"),
        ("failing", "failing_since = now(), failures = 7, not_before = now() + interval '1 hour'"),
        ("rate-limited", "not_before = now() + interval '1 hour'"),
        ("active", "not_before = now() - interval '1 hour', paused_until = now() - interval '1 hour', failures = 1"),
    ],
)
def test_the_filter_by_state_finds_what_a_document_says(
    api: Api, db: DictConnection, state: str, assignments: str
) -> None:
    """A connector is found by the state that it is shown with, and by no other."""
    add(db, "shop", assignments)
    for asked in ("active", "paused", "failing", "rate-limited", "error"):
        found = ok(api.get("/connectors", state=asked))["items"]
        assert [row["state"] for row in found] == ([state] if asked == state else [])
    problem(api.get("/connectors", state="odd"), 422)


def test_lists_are_filtered_and_searched(api: Api, db: DictConnection) -> None:
    """Filters and a search narrow a list; what is searched for may hold any character."""
    add(db, "shop 100%", "external_id = 'x'", config='{"base_url": "https://needle.example"}')
    add(db, "other", "owner = 'ann'", kind="feed")
    for query in ({"search": "NEEDLE"}, {"search": "100%"}, {"kind": "rest"}, {"external_id": "x"}, {"owner": "admin"}):
        assert [item["name"] for item in ok(api.get("/connectors", **query))["items"]] == ["shop 100%"]
    assert [item["owner"] for item in ok(api.get("/connectors", name="other"))["items"]] == ["ann"]
    assert ok(api.get("/connectors", search="%_%"))["items"] == []
    problem(api.get("/connectors", search="a\0"), 422)


def test_the_records_of_the_last_minute_are_counted(api: Api, db: DictConnection) -> None:
    """To the record, however many there are, in a list and of one; an old log, an empty or a trimmed one, has none."""
    new, old, trimmed, _empty = (log_rows.add_connector(db, name) for name in ("new", "old", "trimmed", "z"))
    for connector_id in (new, old, trimmed):
        log_rows.append(db, connector_id, [{"n": number} for number in range(1000)])
    before = "update record set created_at = now() - interval '61 seconds' where connector_id = %s and position <= %s"
    db.execute(before, (new, 617))
    db.execute(before, (old, 1000))
    db.execute("update connector set head_at = now() - interval '61 seconds' where id = %s", (old,))
    db.execute("delete from record where connector_id = %s and position <= 990", (trimmed,))
    page = ok(api.get("/connectors", sort="name"))["items"]
    assert {item["name"]: item["records_last_minute"] for item in page} == {"new": 383, "old": 0, "trimmed": 10, "z": 0}
    assert ok(api.get(f"/connectors/{new}"))["records_last_minute"] == 383
    assert ok(api.post(f"/connectors/{new}/pause"))["records_last_minute"] == 383

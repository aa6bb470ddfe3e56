"""The audit over HTTP: every change, what differs, and nothing of what belongs to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.log_rows import add_connector

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def added(api: Api, name: str = "a", **settings: Any) -> int:
    job = {"name": name, "kind": "ping", "payload": {"url": URL}, "every": "5m", **settings}
    return int(ok(api.post("/jobs", job), 201)["id"])


def entries(api: Api, **query: Any) -> list[dict[str, Any]]:
    return list(ok(api.get("/audit", **query))["items"])


def test_a_change_is_told_column_by_column(api: Api) -> None:
    """Who, by what means, and of each column that differs what it was and what it is, as documents spell it."""
    job_id = added(api.as_(ALICE))
    changes = {"every": "1d12h", "retries": 1, "paused_until": "2030-01-01T02:00:00+02:00"}
    ok(api.patch(f"/jobs/{job_id}", changes))
    assert api.delete(f"/jobs/{job_id}").status_code == 204
    deleted, changed, made = entries(api)
    assert (changed["actor"], changed["via"], changed["operation"]) == ("admin", "api", "update")
    assert (changed["table"], changed["row_id"], changed["name"], changed["owner"]) == ("job", job_id, "a", "alice")
    assert changed["changes"] == {
        "every": [300.0, 129_600.0],
        "retries": [3, 1],
        "paused_until": [None, "2030-01-01T00:00:00Z"],
    }
    assert made["actor"] == "alice"
    assert made["changes"]["every"] == [None, 300.0]
    assert deleted["changes"]["every"] == [129_600.0, None]
    assert ok(api.get(f"/audit/{changed['id']}")) == changed
    assert "no entry with id 999" in problem(api.get("/audit/999"), 404)


def test_the_newest_come_first_and_pages_follow(api: Api) -> None:
    """Cursors lead through all changes, each once; what is changed meanwhile repeats nothing."""
    for number in range(5):
        added(api, f"job {number}")
    first = ok(api.get("/audit", limit=2))
    added(api, "later")
    second = ok(api.get("/audit", limit=2, cursor=first["next"]))
    third = ok(api.get("/audit", limit=2, cursor=second["next"]))
    names = [item["name"] for page in (first, second, third) for item in page["items"]]
    assert names == [f"job {number}" for number in (4, 3, 2, 1, 0)]
    assert third["next"] is None
    assert "cursor" in problem(api.get("/audit", cursor="nonsense"), 400)


def test_changes_are_filtered(api: Api, db: DictConnection) -> None:
    """By table, row, actor, operation, owner and instant, each and together."""
    first, second = added(api, "a"), added(api.as_(ALICE), "b")
    connector = add_connector(db)
    ok(api.patch(f"/jobs/{first}", {"retries": 0}))
    middle = ok(api.get("/audit"))["items"][1]["at"]
    for query, names in (
        ({"table": "connector"}, ["source"]),
        ({"table": "connector", "row_id": connector}, ["source"]),
        ({"table": "job", "row_id": second}, ["b"]),
        ({"actor": "alice"}, ["b"]),
        ({"operation": "update"}, ["a"]),
        ({"owner": "alice"}, ["b"]),
        ({"since": middle}, ["a", "source"]),
        ({"table": "quota"}, []),
        ({"actor": "nobody"}, []),
    ):
        assert [entry["name"] for entry in entries(api, **query)] == names, query
    problem(api.get("/audit", actor="a\0"), 422)
    problem(api.get("/audit", table="nonsense"), 422)
    problem(api.get("/audit", row_id=2**63), 422)


def test_others_changes_are_not_there(api: Api, db: DictConnection) -> None:
    """An owner sees the changes of his rows, whoever made them, and of nobody else's."""
    job_id = added(api.as_(ALICE))
    ok(api.patch(f"/jobs/{job_id}", {"retries": 0}))
    assert [entry["actor"] for entry in entries(api.as_(ALICE))] == ["admin", "alice"]
    for other in (BOB, VIEWER):
        assert entries(api.as_(other)) == []
        assert entries(api.as_(other), owner="alice") == []
        assert entries(api.as_(other), table="job", row_id=job_id) == []
        problem(api.as_(other).get("/audit/1"), 404)


def test_whoever_is_given_a_row_sees_it_from_then_on(api: Api) -> None:
    """Its former settings stay its former owner's, who no longer sees what becomes of it."""
    job_id = added(api.as_(ALICE), payload={"url": URL + "alices-secret"})
    ok(api.patch(f"/jobs/{job_id}", {"owner": "bob", "payload": {"url": URL + "bobs"}}))
    [given] = entries(api.as_(BOB))
    assert given["operation"] == "update"
    assert given["changes"]["payload"] == [None, {"url": URL + "bobs"}]
    assert given["changes"]["owner"] == [None, "bob"]
    assert "alices-secret" not in api.as_(BOB).get(f"/audit/{given['id']}").text
    assert [entry["operation"] for entry in entries(api.as_(ALICE))] == ["insert"]
    [whole, _] = entries(api, owner="bob") + entries(api, owner="alice")
    assert whole["changes"]["owner"] == ["alice", "bob"]


def test_what_admins_lay_down_is_for_admins(api: Api, db: DictConnection) -> None:
    """Changes of grants and quotas are in the audit, and no owner finds them there."""
    db.execute("insert into connection_grant (owner, conn_id) values ('alice', 'key')")
    db.execute("insert into quota (owner, max_rows, min_interval) values ('alice', 1, '1 day')")
    quota, grant = entries(api)
    assert (grant["table"], grant["changes"]["conn_id"]) == ("connection_grant", [None, "key"])
    assert (quota["table"], quota["changes"]["min_interval"]) == ("quota", [None, 86_400.0])
    assert entries(api.as_(ALICE)) == []
    problem(api.as_(ALICE).get(f"/audit/{quota['id']}"), 404)


def test_what_has_no_spelling_here_is_told_as_it_is(api: Api, db: DictConnection) -> None:
    """An interval of months is no error of whoever looks."""
    job_id = added(api)
    db.execute("update job set max_lateness = '1 month' where id = %s", (job_id,))
    changed = entries(api)[0]["changes"]
    assert changed == {"max_lateness": [3600.0, "1 mon"]}

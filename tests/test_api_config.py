"""Config as code over HTTP: export, plan, apply, and who may do which of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.config_rows import connector, job, workflow

pytestmark = pytest.mark.xdist_group("api")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def wish(*documents: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"documents": [{"version": 1, **document} for document in documents], **more}


def test_a_plan_is_shown_and_then_done(api: Api, db: DictConnection) -> None:
    """Planning changes nothing and says what would be; applying with its fingerprint does exactly that, once."""
    mine = wish({"jobs": {"a": job()}, "connectors": {"c": connector()}, "workflows": {"w": workflow("c")}})
    plan = ok(api.as_(ALICE).post("/config/plan", mine))
    assert (plan["add"], plan["change"], plan["delete"], plan["unchanged"]) == (3, 0, 0, 0)
    assert [(step["section"], step["action"], step["key"]) for step in plan["steps"]] == [
        ("connectors", "add", "c"),
        ("jobs", "add", "a"),
        ("workflows", "add", "w"),
    ]
    assert plan["steps"][1]["columns"]["every"] == {"old": None, "new": "5m"}
    assert db.execute("select from job").fetchall() == []
    done = ok(api.as_(ALICE).post("/config/apply", {**mine, "fingerprint": plan["fingerprint"]}))
    assert done == plan
    assert "make another one" in problem(
        api.as_(ALICE).post("/config/apply", {**mine, "fingerprint": plan["fingerprint"]}), 409
    )
    assert ok(api.as_(ALICE).post("/config/apply", mine))["unchanged"] == 3
    audit = db.execute("select distinct actor, via from audit").fetchall()
    assert audit == [{"actor": "alice", "via": "api"}]


def test_an_export_is_what_apply_takes(api: Api) -> None:
    """Everybody gets what he sees, without his own name; an admin may choose owners; applied again, nothing changes."""
    hers = {"jobs": {"a": job()}, "notify": {"alice": {"on": []}}}
    ok(api.as_(ALICE).post("/config/apply", wish(hers)))
    ok(api.post("/config/apply", wish({"budgets": {"b": {"rate_limit": "1/day"}}, "jobs": {"x": job()}})))
    assert ok(api.as_(ALICE).get("/config"))["documents"] == [{"version": 1, **hers}]
    assert ok(api.as_(BOB).get("/config"))["documents"] == [{"version": 1}]
    assert ok(api.as_(BOB).get("/config", owner="alice"))["documents"] == [{"version": 1}]
    mine, others = ok(api.get("/config"))["documents"]
    assert (list(mine["budgets"]), list(mine["jobs"]), others["owner"]) == (["b"], ["x"], "alice")
    assert ok(api.get("/config", owner="alice"))["documents"] == [others]
    plan = ok(api.post("/config/plan", {"documents": [mine, others], "prune": True}))
    assert (plan["steps"], plan["unchanged"]) == ([], 4)


def test_what_is_wrong_is_said_by_place(api: Api, db: DictConnection) -> None:
    """Everything that is wrong with a configuration is a 422 with its places, and nothing is stored."""
    answer = api.post("/config/apply", wish({"jobs": {"a": job(), "b": job(every="soon"), "c": {"owner": "x"}}}))
    problem(answer, 422)
    assert [error["place"] for error in answer.json()["errors"]] == [
        "body.documents.0.jobs.b.every",
        "body.documents.0.jobs.c.owner",
    ]
    for document in (
        {"version": 2},
        {"jobs": {"": job()}},
        {"jobs": {"a\0": job()}},
        {"jobs": {"a": None}},
        {"jobs": {"a": job(), "b": job(name="a")}},
        {"jobs": {"a": job(notify={"kind": "pong"})}},
        {"connectors": {"a": connector(budget="none")}},
        {"workflows": {"a": {"kind": "webhook"}}},
        {"budgets": {"b": {"rate_limit": "many"}}},
        {"budgets": {" b": {"rate_limit": "1/day"}}},
        {"notify": {"a": {"kind": []}}},
        {"notify": {"a": {"kind": None}}},
        {"notify": {"a": {"on": ["never"]}}},
        {"timers": {}},
    ):
        answer = api.post("/config/apply", wish({"version": 1, **document}))
        assert answer.status_code in (409, 422), (document, answer.text)
    assert problem(api.post("/config/plan", wish({"jobs": {"a": job()}}, {"jobs": {"a": job()}})), 422)
    assert (
        db.execute("select from job union all select from budget union all select from owner_notify").fetchall() == []
    )


def test_everybody_applies_what_is_his(api: Api, db: DictConnection) -> None:
    """Documents of others and budgets are a 403 for users, everything is for viewers; nobody goes without a login."""
    for path in ("/config/plan", "/config/apply"):
        assert "rows of your own" in problem(api.as_(ALICE).post(path, wish({"owner": "bob"})), 403)
        assert "for admins" in problem(api.as_(ALICE).post(path, wish({"budgets": {}})), 403)
        assert "may look" in problem(api.as_(VIEWER).post(path, wish({})), 403)
        assert "log in" in problem(api.as_(None).post(path, wish({})), 401)
    ok(api.as_(VIEWER).get("/config"))
    assert "log in" in problem(api.as_(None).get("/config"), 401)
    assert "log in" in problem(api.as_(None).get("/config/schema"), 401)


def test_the_same_request_with_a_key_happens_once(api: Api, db: DictConnection) -> None:
    """Applying again with the same Idempotency-Key is answered the same, whatever has become of the rows."""
    first = api.post("/config/apply", wish({"jobs": {"a": job()}}), Idempotency_Key="k")
    db.execute("delete from job")
    again = api.post("/config/apply", wish({"jobs": {"a": job()}}), Idempotency_Key="k")
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert db.execute("select from job").fetchall() == []


def test_the_schema_describes_what_is_exported(api: Api) -> None:
    """The JSON Schema takes an export, and refuses a misspelt key."""
    mine = {"jobs": {"a": job()}, "connectors": {"c": connector()}, "workflows": {"w": workflow("c", every="10s")}}
    ok(api.post("/config/apply", wish(mine, {"owner": "bob", "jobs": {"b": job(retries=1)}})))
    validator = Draft202012Validator(ok(api.get("/config/schema")))
    for document in ok(api.get("/config"))["documents"]:
        validator.validate(document)
    assert not validator.is_valid({"version": 1, "jobs": {"a": {**job(), "evry": "5m"}}})


def test_a_body_of_many_rows_is_taken(api: Api) -> None:
    """Whole configurations are larger than other bodies: 2 MiB are no trouble, 16 MiB are refused."""
    rows = {f"job-{number}": job(payload={"url": "https://example.com/" + "x" * 2000}) for number in range(1000)}
    assert ok(api.post("/config/plan", wish({"jobs": rows})))["add"] == 1000
    assert "larger" in problem(api.post("/config/plan", {"documents": [], "x": "x" * 17_000_000}), 413)

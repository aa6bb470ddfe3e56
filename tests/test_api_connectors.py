"""Connectors over HTTP: what is answered, and what is in the table then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests import log_rows
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def connector(name: str = "shop", **settings: Any) -> dict[str, Any]:
    return {"name": name, "kind": "rest", "config": {"base_url": URL}, "every": "30s", **settings}


def test_a_created_connector_is_a_row_of_the_caller(api: Api, db: DictConnection) -> None:
    """POST makes a row that belongs to the caller, and answers 201 with where it is, its version and all of it."""
    response = api.as_(ALICE).post("/connectors", connector(rate_limit="10/second", timeout="10s"))
    made = ok(response, 201)
    assert response.headers["location"] == f"/millrace/api/v1/connectors/{made['id']}"
    assert response.headers["etag"] == f'"{made["revision"]}"'
    assert (made["owner"], made["every"], made["timeout"], made["state"]) == ("alice", 30.0, 10.0, "active")
    assert (made["head"], made["cursor"], made["failures"], made["dag_id"]) == (0, None, 0, f"connector_{made['id']}")
    assert made["schedule"] == "every 30 s"
    assert made["next"].endswith("Z")
    row = db.execute("select owner, every::text, config, rate_limit from connector").fetchone()
    assert row == {"owner": "alice", "every": "00:00:30", "config": {"base_url": URL}, "rate_limit": "10/second"}
    assert db.execute("select actor, via from audit").fetchone() == {"actor": "alice", "via": "api"}


def test_all_that_a_row_says_is_shown(api: Api, db: DictConnection) -> None:
    """A connector is answered with every column but those that only the machinery needs."""
    shown = set(ok(api.post("/connectors", connector()), 201))
    rows = db.execute("select * from connector").fetchall()
    assert set(rows[0]) - shown == {"schedule_revision", "schedule_changed_at"}
    assert shown - set(rows[0]) == {"state", "schedule", "dag_id", "next", "records_last_minute", "pushed_to"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "rset"}, "unknown kind 'rset'; did you mean 'rest'?"),
        ({"config": {}}, "base_url: Field required"),
        ({"config": {"base_url": URL, "headers": {"a": "\0"}}}, "body.config: the character NUL cannot be stored"),
        ({"every": 0.5}, "body.every: write at least 1s, and at most 366d"),
        ({"every": -5}, "body.every: write at least 1s, and at most 366d"),
        ({"every": 1e300}, "body.every: write seconds, and fewer of them"),
        ({"kind": "python", "config": {"function": "a:b"}}, "body.every: kind 'python' runs on a worker, at most once"),
        ({"dedupe": "never"}, "body.dedupe"),
        ({"rate_limit": "10 a second"}, "body.rate_limit"),
        ({"rate_limit": "10/second\n"}, "body.rate_limit"),
        ({"budget": "nobody's"}, "body.budget: there is no budget of this name"),
        ({"timeout": "2h"}, "body.timeout: write at least"),
        ({"alert_after": 0}, "body.alert_after"),
        ({"notify": {"kind": 5}}, "body.notify: kind: write the name of a kind"),
        ({"notify": {"kind": ["slack"]}}, "body.notify: kind: write the name of a kind"),
        ({"notify": {"kind": "webhook", "payload": []}}, "body.notify: payload: write an object"),
        ({"notify": {"kind": "telegram"}}, "unknown kind 'telegram'"),
        ({"notify": {"kind": "sql"}}, "runs on a worker"),
        ({"name": "12"}, "body.name: a name that is all digits would be read as an id"),
        ({"cursor": {}}, "body.cursor: Extra inputs are not permitted"),
    ],
)
def test_a_bad_connector_is_refused_with_the_place_and_the_reason(
    api: Api, db: DictConnection, change: dict[str, Any], said: str
) -> None:
    """What is wrong is a 422 that says where and what, and nothing is stored."""
    assert said in problem(api.post("/connectors", connector() | change), 422)
    assert db.execute("select count(*) as n from connector").fetchone() == {"n": 0}


def test_a_name_is_taken_for_its_owner_only(api: Api) -> None:
    """Nobody learns from a name that somebody else has a connector: it is the owner's own, as that of a job is."""
    path = f"/connectors/{ok(api.as_(ALICE).post('/connectors', connector()), 201)['id']}"
    ok(api.as_(BOB).post("/connectors", connector()), 201)
    taken = api.as_(ALICE).post("/connectors", connector())
    assert "this owner has a connector with this name already" in problem(taken, 409)
    assert [error["place"] for error in taken.json()["errors"]] == ["body.name"]
    renamed = ok(api.as_(BOB).post("/connectors", connector("other")), 201)
    assert "this owner has" in problem(api.as_(BOB).patch(f"/connectors/{renamed['id']}", {"name": "shop"}), 409)
    assert "this owner has" in problem(api.patch(path, {"owner": "bob"}), 409)
    names = [(one["name"], one["owner"]) for one in ok(api.get("/connectors", name="shop"))["items"]]
    assert names == [("shop", "alice"), ("shop", "bob")]


def test_the_address_of_what_is_pushed_is_shown(api: Api) -> None:
    """It is made of the id, whatever the name is; of a kind that pulls there is none."""
    pushed = ok(api.post("/connectors", connector("a b", kind="webhook", config={"conn_id": "key"}, every=None)), 201)
    assert pushed["pushed_to"] == f"/millrace/hooks/{pushed['id']}"
    assert ok(api.post("/connectors", connector()), 201)["pushed_to"] is None


def test_creating_is_idempotent_by_external_id_and_by_key(api: Api, db: DictConnection) -> None:
    """The same row, or the same request, again is answered as it is; with other settings it is refused."""
    first = ok(api.post("/connectors", connector(external_id="x"), Idempotency_Key="k"), 201)
    assert ok(api.post("/connectors", connector(external_id="x"), Idempotency_Key="k"), 201) == first
    assert ok(api.post("/connectors", connector(external_id="x")), 200)["id"] == first["id"]
    other = api.post("/connectors", connector(external_id="x", every=60))
    assert "other settings" in problem(other, 409)
    assert [error["place"] for error in other.json()["errors"]] == ["body.external_id"]
    assert "another request" in problem(api.post("/connectors", connector("b"), Idempotency_Key="k"), 422)
    assert db.execute("select count(*) as n from connector").fetchone() == {"n": 1}


def test_a_change_is_merged_and_a_replacement_is_not(api: Api, db: DictConnection) -> None:
    """PATCH merges, null takes out; PUT gives what it leaves out its default; neither moves the cursor."""
    made = ok(api.post("/connectors", connector(owner="alice", dedupe="content", external_id="x")), 201)
    db.execute("""update connector set cursor = '{"page": 7}'""")
    path = f"/connectors/{made['id']}"
    changed = ok(api.patch(path, {"config": {"path": "items"}, "every": None}))
    assert (changed["config"], changed["every"], changed["next"]) == ({"base_url": URL, "path": "items"}, None, None)
    assert (changed["dedupe"], changed["cursor"]) == ("content", {"page": 7})
    assert ok(api.patch(path, {"external_id": "y"}))["external_id"] == "y"
    replaced = ok(api.put(path, connector("b")))
    assert (replaced["name"], replaced["dedupe"], replaced["owner"]) == ("b", "key", "alice")
    assert (replaced["external_id"], replaced["cursor"]) == (None, {"page": 7})


def test_a_lost_update_is_refused(api: Api) -> None:
    """Who changes a row that somebody else has changed since is told so, and nothing is changed or deleted."""
    first = api.post("/connectors", connector())
    path = f"/connectors/{first.json()['id']}"
    second = api.patch(path, {"alert_after": 1}, If_Match=first.headers["etag"])
    for stale in (
        api.patch(path, {"alert_after": 2}, If_Match=first.headers["etag"]),
        api.put(path, connector(), If_Match=first.headers["etag"]),
        api.delete(path, If_Match=first.headers["etag"]),
    ):
        assert second.headers["etag"] in problem(stale, 412)
    assert api.delete(path, If_Match=second.headers["etag"]).status_code == 204
    assert "there is no connector" in problem(api.get(path), 404)


def test_a_failing_connector_is_judged_as_it_will_be(api: Api, db: DictConnection) -> None:
    """That it is probed slowly while it fails does not let a schedule in that is too fast for its kind."""
    settings = connector(kind="python", config={"function": "shop:items"}, every="5m")
    path = f"/connectors/{ok(api.post('/connectors', settings), 201)['id']}"
    db.execute("update connector set failing_since = now(), failures = 9")
    assert "at most once a minute" in problem(api.patch(path, {"every": 5}), 422)


@pytest.mark.parametrize("notify", ["null", '{"kind": "telegram"}', '{"kind": "email", "payload": []}'])
def test_a_row_that_cannot_run_can_be_seen_and_mended(api: Api, db: DictConnection, notify: str) -> None:
    """What plain SQL has made, and cannot run, is shown, and is put right by who may."""
    db.execute(
        "insert into connector (name, owner, kind, config, notify) values ('a', 'alice', 'bogus', '{\"x\": 1}', %s)",
        (None if notify == "null" else notify,),
    )
    alice = api.as_(ALICE)
    [shown] = ok(alice.get("/connectors"))["items"]
    path = f"/connectors/{shown['id']}"
    assert ok(alice.get(path))["kind"] == "bogus"
    problem(alice.patch(path, {"every": 60}), 422)
    problem(alice.post(path + "/preview"), 422)
    assert ok(alice.put(path, connector()))["kind"] == "rest"


def test_others_cannot_tell_that_a_row_exists(api: Api) -> None:
    """Whatever one does with a row of somebody else, the answer is that of a row that is not there."""
    path = f"/connectors/{ok(api.as_(ALICE).post('/connectors', connector()), 201)['id']}"
    bob = api.as_(BOB)
    for method, below, body in (
        ("GET", "", None),
        ("PUT", "", connector("b")),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        *(("POST", f"/{verb}", None) for verb in ("pause", "resume", "rewind", "preview")),
        ("GET", "/records", None),
        ("GET", "/records/1", None),
        ("POST", "/records", [{"payload": 1}]),
    ):
        real = problem(bob.send(method, path + below, body), 404)
        missing = problem(bob.send(method, "/connectors/999" + below, body), 404)
        assert real.replace(path.rpartition("/")[2], "999") == missing
    assert ok(bob.get("/connectors", owner="alice"))["items"] == []
    assert len(ok(api.get("/connectors", owner="alice"))["items"]) == 1


def test_a_viewer_changes_nothing(api: Api, db: DictConnection) -> None:
    """Who may only look is told so, whatever it is that he wants to change."""
    db.execute("insert into connector (name, owner, kind) values ('a', 'viewer', 'rest')")
    [row] = db.execute("select id from connector").fetchall()
    viewer, path = api.as_(VIEWER), f"/connectors/{row['id']}"
    ok(viewer.get(path))
    for method, where, body in (
        ("POST", "/connectors", connector()),
        ("PUT", path, connector()),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        *(("POST", f"{path}/{verb}", None) for verb in ("pause", "resume", "rewind", "preview")),
        ("POST", f"{path}/records", [{"payload": 1}]),
        ("POST", "/connectors/preview", connector()),
    ):
        assert "may look" in problem(viewer.send(method, where, body), 403)


def test_only_listed_connections_and_kinds_may_be_named(api: Api, db: DictConnection) -> None:
    """A user names the connections that an admin has listed for him; what an admin has put in, its owner may keep."""
    alice = api.as_(ALICE)
    pushed = connector(kind="webhook", config={"conn_id": "key"}, every=None)
    assert "key is not among the connections" in problem(alice.post("/connectors", pushed), 403)
    noticed = connector(notify={"kind": "slack", "payload": {"conn_id": "ops"}})
    assert "ops is not among" in problem(alice.post("/connectors", noticed), 403)
    made = ok(api.post("/connectors", pushed | {"owner": "alice"}), 201)
    assert ok(alice.patch(f"/connectors/{made['id']}", {"alert_after": 2}))["alert_after"] == 2
    db.execute("insert into connection_grant (owner, conn_id) values ('alice', 'key')")
    ok(alice.post("/connectors", pushed | {"name": "b"}), 201)


def test_a_connector_that_is_read_stays(api: Api, db: DictConnection) -> None:
    """While a workflow reads its records, a connector cannot be deleted, and the answer says why."""
    path = f"/connectors/{ok(api.post('/connectors', connector()), 201)['id']}"
    ok(api.post(path + "/records", [{"payload": 1}]), 201)
    log_rows.add_workflow(db, int(path.rpartition("/")[2]), URL)
    assert "workflows read its records; delete them first" in problem(api.delete(path), 409)
    db.execute("delete from workflow")
    assert api.delete(path).status_code == 204
    assert db.execute("select count(*) as n from record").fetchone() == {"n": 0}


def test_a_connector_is_paused_resumed_and_rewound(api: Api, db: DictConnection) -> None:
    """A pause lasts until it is resumed, or until an instant; rewound, it has no cursor and keeps its records."""
    path = f"/connectors/{ok(api.post('/connectors', connector()), 201)['id']}"
    assert (ok(api.post(path + "/pause"))["state"], ok(api.get(path))["next"]) == ("paused", None)
    assert ok(api.post(path + "/resume"))["state"] == "active"
    until = ok(api.post(path + "/pause", {"until": "2999-01-01T00:00:00+01:00"}))
    assert (until["state"], until["paused_until"]) == ("paused", "2998-12-31T23:00:00Z")
    ok(api.post(path + "/records", [{"payload": 1}]), 201)
    db.execute("""update connector set cursor = '"x"'""")
    assert ok(api.get(path))["cursor"] == "x"
    rewound = ok(api.post(path + "/rewind"))
    assert (rewound["cursor"], rewound["head"]) == (None, 1)
    assert ok(api.post(path + "/rewind"))["cursor"] is None

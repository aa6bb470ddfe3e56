"""Workflows over HTTP: what is answered, and what is in the table then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.documents.workflow import WORKFLOWS
from include.store import workflows
from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, VIEWER, Api, api_of, ok, problem
from tests.log_rows import add_connector
from tests.workflow_commands import add_records, one, stop

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


@pytest.fixture
def issues(db: DictConnection) -> int:
    """Alice's connector `issues`; its id."""
    return add_connector(db, "issues", owner="alice")


def workflow(name: str = "crm", **settings: Any) -> dict[str, Any]:
    return {"name": name, "connector": "issues", "kind": "webhook", "payload": {"url": URL}, **settings}


def test_a_created_workflow_is_a_row_of_the_caller(api: Api, db: DictConnection, issues: int) -> None:
    """POST makes a row of the caller on his connector, and answers 201 with how far it is."""
    response = api.as_(ALICE).post("/workflows", workflow(every="10s"))
    made = ok(response, 201)
    assert response.headers["location"] == f"/millrace/api/v1/workflows/{made['id']}"
    assert response.headers["etag"] == f'"{made["revision"]}"'
    assert (made["owner"], made["connector"], made["connector_id"]) == ("alice", "issues", issues)
    assert (made["every"], made["state"], made["begun"], made["position"]) == (10.0, "active", True, 0)
    assert (made["lag_records"], made["dag_id"]) == (0, f"workflow_{made['id']}")
    assert one(db, "select actor, via from audit where table_name = 'workflow'") == {"actor": "alice", "via": "api"}
    by_id = {name: value for name, value in workflow("b").items() if name != "connector"}
    assert ok(api.as_(ALICE).post("/workflows", by_id | {"connector_id": issues}), 201)["connector"] == "issues"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"connector": "others"}, "body.connector: there is no connector named 'others'"),
        ({"connector": None}, "write connector, the name of one, or connector_id"),
        ({"connector_id": 2**62}, "there is no connector named 'issues' and with id"),
        ({"connector": None, "connector_id": 2**63}, "body.connector_id: Input should be less than"),
        ({"connector": "a\0"}, "body.connector: the character NUL cannot be stored"),
        ({"kind": "pong"}, "unknown kind 'pong'; did you mean 'ping'?"),
        ({"payload": {}}, "url: Field required"),
        ({"payload": {"url": URL, "body": "{{ record. }}"}}, "body: "),
        ({"payload": {"url": URL, "conn_id": "{{ record.key }}"}}, "conn_id cannot be a template"),
        ({"filter": "$.state =="}, "body.filter: it is not a path"),
        ({"filter": "(" * 9_000}, "body.filter: it is not a path"),
        ({"start_from": "soon"}, "body.start_from: it is not an instant"),
        ({"every": None}, "body.every"),
        ({"every": 0.5}, "body.every: write at least 1s, and at most 366d"),
        ({"every": -5}, "body.every: write at least 1s, and at most 366d"),
        ({"every": 1e300}, "body.every: write seconds, and fewer of them"),
        ({"batch_size": 1001}, "body.batch_size"),
        ({"kind": "sql", "payload": {"conn_id": "d", "sql": "{{ record.key }}"}}, "sql cannot be a template"),
        ({"cron": "0 3 * * *"}, "body.cron: Extra inputs are not permitted"),
    ],
)
def test_a_bad_workflow_is_refused_with_the_reason(
    api: Api, db: DictConnection, issues: int, change: dict[str, Any], said: str
) -> None:
    """What is wrong is a 422 that says what, whoever asks, and nothing is stored."""
    assert said in problem(api.post("/workflows", workflow() | change), 422)
    assert one(db, "select count(*) as n from workflow") == {"n": 0}


def test_a_template_that_is_none_is_said_with_its_place(api: Api, issues: int) -> None:
    """Which text of the payload it is, and which line of it, if it has several."""
    payload = {"url": URL, "body": {"items": [{"title": "{{ record.key }}\n{{ record.payload.title }\n"}]}}
    answer = api.post("/workflows", workflow(kind="webhook", payload=payload))
    problem(answer, 422)
    [error] = answer.json()["errors"]
    assert error["place"] == "body.payload.body.items.0.title"
    assert error["detail"].startswith("line 2 of the template: ")
    secret = api.post("/workflows", workflow(kind="webhook", payload={"url": URL, "conn_id": "{{ owner }}"}))
    assert "body.payload.conn_id: conn_id cannot be a template" in problem(secret, 422)


def test_others_connectors_are_not_there(api: Api, db: DictConnection, issues: int) -> None:
    """A workflow reads a connector of its maker's: one of somebody else's is answered as one that does not exist."""
    assert "no connector named 'issues'" in problem(api.as_(BOB).post("/workflows", workflow()), 422)
    by_id = problem(api.as_(BOB).post("/workflows", workflow(connector=None, connector_id=issues)), 422)
    missing = problem(api.as_(BOB).post("/workflows", workflow(connector=None, connector_id=999)), 422)
    assert by_id.replace(str(issues), "999") == missing


def test_a_name_means_the_connector_of_the_workflows_owner(api: Api, db: DictConnection, issues: int) -> None:
    """Others may have one of that name; an admin who means one of theirs is told their ids, beside the field."""
    mine, carols = add_connector(db, "issues", owner="admin"), add_connector(db, "issues", owner="carol")
    for caller, more, read in (
        (ALICE, {}, issues),
        (ADMIN, {}, mine),
        (ADMIN, {"owner": "carol"}, carols),
        (ADMIN, {"owner": "bob", "connector_id": carols}, carols),
        (ADMIN, {"owner": "eve", "connector_owner": "alice"}, issues),
    ):
        assert ok(api.as_(caller).post("/workflows", workflow(**more)), 201)["connector_id"] == read
    answer = api.post("/workflows", workflow(owner="dave"))
    listed = f"{issues} (alice), {mine} (admin), {carols} (carol)"
    assert f"several owners have one named 'issues'; say by connector_id: {listed}" in problem(answer, 422)
    assert [error["place"] for error in answer.json()["errors"]] == ["body.connector"]


def test_nobody_learns_of_others_connectors_by_naming_their_owner(api: Api, issues: int) -> None:
    """Bob is told the same whether Alice has a connector of that name or not."""
    said = [
        problem(api.as_(BOB).post("/workflows", workflow(connector=name, connector_owner="alice")), 422)
        for name in ("issues", "nothing")
    ]
    assert said[0].replace("issues", "nothing") == said[1]


def test_who_was_put_on_a_connector_edits_his_workflow(api: Api, issues: int) -> None:
    """An admin gives Bob a workflow on Alice's connector, and Bob can change all of it but the connector."""
    path = f"/workflows/{ok(api.post('/workflows', workflow(owner='bob')), 201)['id']}"
    bob = api.as_(BOB)
    assert ok(bob.patch(path, {"every": "1m"}))["every"] == 60.0
    assert ok(bob.put(path, workflow(retries=7)))["retries"] == 7
    for other in ({"connector": "mine"}, {"connector_id": issues + 1}, {"connector_owner": "bob"}):
        assert "connector: it cannot change" in problem(bob.patch(path, other), 422)
    assert "connector: it cannot change" in problem(api.put(path, workflow(connector="mine")), 422)
    ok(bob.patch(path, {"connector_id": issues, "connector": "issues", "connector_owner": "alice"}))


def test_a_stored_row_is_a_document_that_changes_nothing(api: Api, db: DictConnection, issues: int) -> None:
    """What a person has set, sent back as it stands, leaves the row and its version as they are."""
    settings = workflow(
        external_id="x", every=7, started_at="2026-11-21T09:00:00.5+01:00", start_from="beginning", filter="$.n > 1"
    )
    more = {"on_error": "stop", "batch_size": 3, "retries": 1, "retry_jitter": 0.5, "no_retry_on": [404], "timeout": 9}
    made = ok(api.as_(ALICE).post("/workflows", settings | more | {"paused_until": "2999-01-01T00:00:00Z"}), 201)
    path = f"/workflows/{made['id']}"
    row = workflows.get(db, made["id"])
    assert row is not None
    whole = WORKFLOWS.settings(**WORKFLOWS.settings_of(row)).model_dump(mode="json", exclude={"connector_id"})
    assert whole["connector"] == "issues"
    for unchanged in (api.patch(path, {}), api.put(path, whole), api.patch(path, whole)):
        assert ok(unchanged) == made | {"next": unchanged.json()["next"]}
    assert ok(api.put(path, workflow()))["started_at"] == made["started_at"] == "2026-11-21T08:00:00.500000Z"
    assert ok(api.as_(ALICE).post("/workflows", workflow("b", external_id="b")), 201)
    assert ok(api.as_(ALICE).post("/workflows", workflow("b", external_id="b")), 200)["name"] == "b"
    assert "other settings" in problem(api.as_(ALICE).post("/workflows", workflow("b", external_id="b", every=9)), 409)


def test_an_edit_leaves_the_watermark(api: Api, db: DictConnection, issues: int) -> None:
    """Changing settings moves nothing, and a lost update is refused."""
    made = api.as_(ALICE).post("/workflows", workflow())
    add_records(db, issues, None, None)
    db.execute("update workflow_progress set position = 1")
    path = f"/workflows/{made.json()['id']}"
    changed = api.patch(path, {"every": 60, "filter": "$.n > 1"}, If_Match=made.headers["etag"])
    assert (ok(changed)["position"], changed.json()["head"], changed.json()["lag_records"]) == (1, 2, 1)
    assert changed.headers["etag"] in problem(api.put(path, workflow(), If_Match=made.headers["etag"]), 412)
    assert ok(api.put(path, workflow()))["position"] == 1
    assert api.delete(path).status_code == 204
    assert "there is no workflow with id" in problem(api.get(path), 404)


def test_others_cannot_tell_that_a_workflow_exists(api: Api, issues: int) -> None:
    """Whatever one does with a workflow of somebody else, the answer is that of one that is not there."""
    path = f"/workflows/{ok(api.as_(ALICE).post('/workflows', workflow()), 201)['id']}"
    bob = api.as_(BOB)
    for method, more, body in (
        ("GET", "", None),
        ("GET", "/lag", None),
        ("PUT", "", workflow()),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/rewind", {"to": 0}),
        ("POST", "/skip", {"to": "now"}),
        ("POST", "/retry", None),
    ):
        real, missing = (bob.send(method, at + more, body) for at in (path, "/workflows/999"))
        assert problem(real, 404).replace(path.rpartition("/")[2], "999") == problem(missing, 404)
    for listed in ("/workflows", "/workflows/lag"):
        assert ok(bob.get(listed))["items"] == ok(bob.get(listed, owner="alice"))["items"] == []
        assert len(ok(api.get(listed, owner="alice"))["items"]) == 1
    assert "may look" in problem(api.as_(VIEWER).post("/workflows", workflow()), 403)
    assert "log in" in problem(api.as_(None).get("/workflows/lag"), 401)


def test_a_connection_must_be_listed_for_the_owner(api: Api, db: DictConnection, issues: int) -> None:
    """A user names the connections that an admin has listed for him; what an admin has named, he may keep."""
    signed = workflow(payload={"url": URL, "conn_id": "key"})
    assert "key is not among the connections" in problem(api.as_(ALICE).post("/workflows", signed), 403)
    path = f"/workflows/{ok(api.post('/workflows', signed | {'owner': 'alice'}), 201)['id']}"
    assert ok(api.as_(ALICE).patch(path, {"every": 60}))["payload"]["conn_id"] == "key"
    assert "other is not among" in problem(api.as_(ALICE).patch(path, {"payload": {"conn_id": "other"}}), 403)


def test_lists_are_filtered_searched_and_paged(api: Api, db: DictConnection, issues: int) -> None:
    """Filters narrow a list to a state, a connector, a kind or a name; cursors lead through every order."""
    other = add_connector(db, "posts", owner="alice")
    ids = [ok(api.post("/workflows", workflow(f"w{n}", every=60 + n)), 201)["id"] for n in range(4)]
    ids.append(ok(api.post("/workflows", workflow("later", started_at="2999-01-01T00:00:00Z")), 201)["id"])
    ids.append(ok(api.post("/workflows", workflow("ping", connector="posts", kind="ping")), 201)["id"])
    ok(api.post(f"/workflows/{ids[1]}/pause"))
    stop(db, ids[2], 1)
    db.execute("update workflow set error = 'bad' where id = %s", (ids[3],))
    for query, found in (
        ({"state": "active"}, [ids[0], ids[5]]),
        ({"state": "paused"}, [ids[1]]),
        ({"state": "stopped"}, [ids[2]]),
        ({"state": "error"}, [ids[3]]),
        ({"state": "waiting"}, [ids[4]]),
        ({"connector_id": other}, [ids[5]]),
        ({"kind": "ping"}, [ids[5]]),
        ({"name": "w2"}, [ids[2]]),
        ({"search": "POSTS"}, [ids[5]]),
        ({"owner": "nobody"}, []),
    ):
        items = ok(api.get("/workflows", **query))["items"]
        assert [item["id"] for item in items] == found
        assert all(item["state"] == query.get("state", item["state"]) for item in items)
    for sort in ("id", "-name", "owner", "created_at", "-updated_at"):
        seen: list[Any] = []
        cursor: dict[str, str] = {}
        while not seen or cursor:
            page = ok(api.get("/workflows", sort=sort, limit=4, **cursor))
            seen += page["items"]
            cursor = {"cursor": page["next"]} if page["next"] else {}
        field = sort.removeprefix("-")
        assert seen == sorted(seen, key=lambda item: (item[field], item["id"]), reverse=sort.startswith("-"))
        assert (len(seen), page["total"]) == (6, 6)
    problem(api.get("/workflows", search="a\0"), 422)
    problem(api.get("/workflows", sort="payload"), 422)

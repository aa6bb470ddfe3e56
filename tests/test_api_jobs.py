"""Jobs over HTTP: what is answered, and what is in the table then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def job(name: str = "a", **settings: Any) -> dict[str, Any]:
    return {"name": name, "kind": "ping", "payload": {"url": URL}, "every": "5m", **settings}


def test_a_created_job_is_a_row_of_the_caller(api: Api, db: DictConnection) -> None:
    """POST makes a row that belongs to the caller, and answers 201 with where it is and its version."""
    response = api.as_(ALICE).post("/jobs", job())
    made = ok(response, 201)
    assert response.headers["location"] == f"/millrace/api/v1/jobs/{made['id']}"
    assert response.headers["etag"] == f'"{made["revision"]}"'
    assert (made["owner"], made["every"], made["schedule"], made["state"]) == ("alice", 300.0, "every 5 min", "active")
    assert made["next"].endswith("Z")
    row = db.execute("select owner, every::text, payload from job").fetchone()
    assert row == {"owner": "alice", "every": "00:05:00", "payload": {"url": URL}}
    audit = db.execute("select actor, via from audit").fetchone()
    assert audit == {"actor": "alice", "via": "api"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "pong"}, "unknown kind 'pong'; did you mean 'ping'?"),
        ({"payload": {}}, "body.payload.url: Field required"),
        ({"payload": {"url": URL, "verb": "x"}}, "body.payload.verb: Extra inputs"),
        ({"payload": []}, "body.payload: write an object"),
        ({"every": None, "run_at": "2020-01-01T00:00:00Z"}, "body.run_at: not in the future"),
        ({"every": None, "run_at": 1900000000}, "body.run_at: write an instant with its offset"),
        ({"cron": "0 3 * * *"}, "write one of cron, every and run_at"),
        ({"every": "soon"}, "body.every: 'soon' is not a duration"),
        ({"every": 0}, "body.every: write at least 1s, and at most 366d"),
        ({"every": -5}, "body.every: write at least 1s, and at most 366d"),
        ({"every": 1e300}, "body.every: write seconds, and fewer of them"),
        ({"nmae": "x"}, "body.nmae: Extra inputs are not permitted"),
        ({"name": "12"}, "body.name: a name that is all digits would be read as an id"),
        ({"name": "a\0b"}, "body.name: the character NUL cannot be stored"),
        ({"payload": {"url": URL, "headers": {"a": "\0"}}}, "body.payload: the character NUL cannot be stored"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"run_at": "2026-12-01T00:00:00"}, "body.run_at: write an instant with its offset"),
    ],
)
def test_a_bad_job_is_refused_with_the_place_and_the_reason(
    api: Api, db: DictConnection, change: dict[str, Any], said: str
) -> None:
    """What is wrong is a 422 that says where and what, and nothing is stored."""
    assert said in problem(api.post("/jobs", job() | change), 422)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 0}


def test_a_name_is_taken_by_its_owner_only(api: Api) -> None:
    """A second job of the same name is a 409 for its owner; another owner cannot tell that there is one."""
    ok(api.as_(ALICE).post("/jobs", job()), 201)
    assert "already" in problem(api.as_(ALICE).post("/jobs", job()), 409)
    ok(api.as_(BOB).post("/jobs", job()), 201)


def test_an_external_id_makes_creating_idempotent(api: Api, db: DictConnection) -> None:
    """The same row again is answered as it is; with other settings it is a 409."""
    first = ok(api.post("/jobs", job(external_id="x")), 201)
    assert ok(api.post("/jobs", job(external_id="x")), 200)["id"] == first["id"]
    assert "other settings" in problem(api.post("/jobs", job(external_id="x", every="6m")), 409)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 1}


def test_an_idempotency_key_makes_a_post_happen_once(api: Api, db: DictConnection) -> None:
    """The same request with the same key is answered the same and happens once; another one is refused."""
    first = api.post("/jobs", job(), Idempotency_Key="k1")
    again = api.post("/jobs", job(), Idempotency_Key="k1")
    assert (again.status_code, again.json(), again.headers["etag"]) == (201, first.json(), first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "another request" in problem(api.post("/jobs", job("b"), Idempotency_Key="k1"), 422)
    ok(api.as_(ALICE).post("/jobs", job("b"), Idempotency_Key="k1"), 201)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 2}


def test_a_key_that_nobody_has_forgotten_is_still_known(api: Api, db: DictConnection) -> None:
    """A key older than a day, which may be forgotten, is answered the same as long as it is there."""
    first = api.post("/jobs", job(), Idempotency_Key="k")
    db.execute("update idempotency_key set created_at = now() - interval '2 days'")
    assert ok(api.post("/jobs", job(), Idempotency_Key="k"), 201) == first.json()
    ok(api.post("/jobs", job("b"), Idempotency_Key="another"), 201)
    assert db.execute("select key from idempotency_key").fetchall() == [{"key": "another"}]


def test_a_change_is_merged_and_a_replacement_is_not(api: Api) -> None:
    """PATCH merges, null takes out; PUT gives what it leaves out its default, and keeps the owner."""
    made = ok(api.post("/jobs", job(owner="alice", kind="http", payload={"url": URL, "method": "PUT"}, retries=7)), 201)
    path = f"/jobs/{made['id']}"
    changed = ok(api.patch(path, {"payload": {"url": URL + "b", "method": None}, "every": None, "cron": "0 3 * * *"}))
    assert (changed["payload"], changed["every"], changed["retries"]) == ({"url": URL + "b"}, None, 7)
    replaced = ok(api.put(path, job("b")))
    assert (replaced["name"], replaced["retries"], replaced["cron"], replaced["owner"]) == ("b", 3, None, "alice")


def test_true_is_not_one(api: Api) -> None:
    """A change that Python takes for none is made all the same."""
    made = ok(api.post("/jobs", job(kind="webhook", payload={"url": URL, "body": {"on": True, "n": [0]}})), 201)
    changed = ok(api.patch(f"/jobs/{made['id']}", {"payload": {"body": {"on": 1, "n": [False]}}}))
    body = changed["payload"]["body"]
    assert (body["on"] is True, body["n"][0] is False) == (False, True)


def test_a_lost_update_is_refused(api: Api) -> None:
    """Who changes a row that somebody else has changed since is told so, and nothing is changed or deleted."""
    first = api.post("/jobs", job())
    path = f"/jobs/{first.json()['id']}"
    second = api.patch(path, {"retries": 1}, If_Match=first.headers["etag"])
    assert ok(second)["retries"] == 1
    for stale in (
        api.patch(path, {"retries": 2}, If_Match=first.headers["etag"]),
        api.put(path, job(), If_Match=first.headers["etag"]),
        api.delete(path, If_Match=first.headers["etag"]),
    ):
        assert second.headers["etag"] in problem(stale, 412)
    assert api.send("GET", path, headers={"If_None_Match": second.headers["etag"]}).status_code == 304
    assert api.delete(path, If_Match=second.headers["etag"]).status_code == 204
    assert "there is no job" in problem(api.get(path), 404)


def test_others_cannot_tell_that_a_row_exists(api: Api) -> None:
    """Whatever one does with a row of somebody else, the answer is that of a row that is not there."""
    path = f"/jobs/{ok(api.as_(ALICE).post('/jobs', job()), 201)['id']}"
    bob = api.as_(BOB)
    answers = [
        (bob.get(path), bob.get("/jobs/999")),
        (bob.put(path, job()), bob.put("/jobs/999", job())),
        (bob.patch(path, {}), bob.patch("/jobs/999", {})),
        (bob.delete(path), bob.delete("/jobs/999")),
        (bob.post(path + "/pause"), bob.post("/jobs/999/pause")),
        (bob.get(path + "/next"), bob.get("/jobs/999/next")),
    ]
    for real, missing in answers:
        assert problem(real, 404).replace(path.rpartition("/")[2], "999") == problem(missing, 404)
    assert ok(bob.get("/jobs"))["items"] == []
    assert ok(bob.get("/jobs", owner="alice"))["items"] == []
    assert len(ok(api.get("/jobs", owner="alice"))["items"]) == 1


def test_a_viewer_changes_nothing(api: Api, db: DictConnection) -> None:
    """Who may only look is told so."""
    assert "may look" in problem(api.as_(VIEWER).post("/jobs", job()), 403)
    assert ok(api.as_(VIEWER).get("/jobs"))["items"] == []
    assert "log in" in problem(api.as_(None).get("/jobs"), 401)


def test_only_listed_connections_may_be_named(api: Api, db: DictConnection) -> None:
    """A user names the connections that an admin has listed for him, or for all; an admin names any."""
    signed = job(kind="webhook", payload={"url": URL, "conn_id": "key"})
    assert "key is not among the connections" in problem(api.as_(ALICE).post("/jobs", signed), 403)
    noticed = job(notify={"kind": "webhook", "payload": {"url": URL, "conn_id": "key"}})
    assert "key is not among" in problem(api.as_(ALICE).post("/jobs", noticed), 403)
    mail = job(kind="email", payload={"to": ["a@example.com"], "subject": "s", "text": "t"})
    assert "smtp_default" in problem(api.as_(ALICE).post("/jobs", mail), 403)
    ok(api.post("/jobs", signed | {"owner": "alice"}), 201)
    db.execute("insert into connection_grant (owner, conn_id) values ('*', 'key')")
    ok(api.as_(ALICE).post("/jobs", signed | {"name": "b"}), 201)


def test_a_connection_of_an_admin_goes_where_he_sent_it(api: Api) -> None:
    """An owner keeps a connection that an admin has put into his row, as long as it goes where the admin wrote."""
    signed = job(kind="webhook", payload={"url": URL, "conn_id": "key"}, owner="alice")
    path = f"/jobs/{ok(api.post('/jobs', signed), 201)['id']}"
    assert ok(api.as_(ALICE).patch(path, {"every": "10m"}))["every"] == 600
    assert "key is not among" in problem(api.as_(ALICE).patch(path, {"payload": {"url": URL + "elsewhere"}}), 403)
    problem(api.as_(ALICE).patch(path, {"notify": {"kind": "webhook", "payload": {"url": URL}}}), 403)
    assert "url cannot be replaced" in problem(api.as_(ALICE).post(path + "/run", {"conf": {"url": URL}}), 422)


def test_quotas_hold_for_users(api: Api, db: DictConnection) -> None:
    """Rows, fires a minute, the least interval and bytes are limited for users, and not for admins."""
    alice = api.as_(ALICE)
    db.execute("insert into quota (owner, max_rows, max_fires_per_minute, min_interval) values ('alice', 2, 3, '10s')")
    assert "10 s is the least time" in problem(alice.post("/jobs", job(every=5)), 403)
    assert "10 s is the least time" in problem(alice.post("/jobs", job(every=None, cron="* * * * * *")), 403)
    ok(alice.post("/jobs", job("a", every=30)), 201)
    assert "3 fires per minute" in problem(alice.post("/jobs", job("b", every=30)), 403)
    paused = ok(alice.post("/jobs", job("b", every=30, is_active=False)), 201)
    assert "fires per minute" in problem(alice.post(f"/jobs/{paused['id']}/resume"), 403)
    assert "2 rows are the most" in problem(alice.post("/jobs", job("c", every=3600)), 403)
    ok(api.post("/jobs", job("c", owner="alice", every=1)), 201)


def test_pages_follow_each_other_in_every_order(api: Api, db: DictConnection) -> None:
    """Cursors lead through all rows, each once, whatever the order; a cursor of another order is refused."""
    for number in range(7):
        ok(api.post("/jobs", job(f"job {6 - number}", kind="ping" if number % 2 else "http")), 201)
    for sort in ("id", "-id", "name", "-name", "kind", "-created_at", "updated_at"):
        seen: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = ok(api.get("/jobs", sort=sort, limit=3, **cursor))
            seen += page["items"]
            assert page["total"] == 7
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        field = sort.removeprefix("-")
        assert len({item["id"] for item in seen}) == 7
        assert seen == sorted(seen, key=lambda item: (item[field], item["id"]), reverse=sort.startswith("-"))
    first = api.get("/jobs", limit=3)
    assert f"cursor={first.json()['next']}" in first.headers["link"]
    assert "in this order" in problem(api.get("/jobs", sort="name", cursor=first.json()["next"]), 400)
    assert "cursor" in problem(api.get("/jobs", cursor="nonsense"), 400)


def test_lists_are_filtered_and_searched(api: Api) -> None:
    """Filters and a search narrow a list; what is searched for may hold any character."""
    ok(api.post("/jobs", job("weekly 100%", payload={"url": URL + "needle"})), 201)
    paused = ok(api.post("/jobs", job("other", kind="http", is_active=False)), 201)
    for query in ({"search": "NEEDLE"}, {"search": "100%"}, {"kind": "ping"}, {"state": "active"}, {"jobId": 1}):
        assert [item["name"] for item in ok(api.get("/jobs", **query))["items"]] == ["weekly 100%"]
    assert [item["id"] for item in ok(api.get("/jobs", state="paused"))["items"]] == [paused["id"]]
    assert ok(api.get("/jobs", search="%_%"))["items"] == []
    problem(api.get("/jobs", search="a\0"), 422)


def test_a_pause_can_have_an_end(api: Api) -> None:
    """A paused job is off duty until it is resumed, or until an instant."""
    path = f"/jobs/{ok(api.post('/jobs', job()), 201)['id']}"
    assert ok(api.post(path + "/pause"))["state"] == "paused"
    assert ok(api.get(path + "/next"))["next"] == []
    assert ok(api.post(path + "/resume"))["state"] == "active"
    assert "body.until: not in the future" in problem(api.post(path + "/pause", {"until": "2020-01-01T00:00:00Z"}), 422)
    assert (
        ok(api.post(path + "/pause", {"until": "2999-01-01T00:00:00+01:00"}))["paused_until"] == "2998-12-31T23:00:00Z"
    )
    assert ok(api.get(path + "/next", n=2))["next"][0] > "2998-12-31"


def test_a_filter_that_is_misspelt_is_refused(api: Api) -> None:
    """It would let everything through; the answer names those that there are."""
    said = problem(api.get("/jobs", is_active="false"), 422)
    assert "there is no parameter 'is_active'" in said
    assert "state" in said
    assert "there is none" in problem(api.get("/jobs/1", x="1"), 422)


@pytest.mark.parametrize(
    ("content", "media_type", "status", "said"),
    [
        (b'{"name": "a"}', "text/plain", 415, "Content-Type: application/json"),
        (b'{"name": "a"}', "", 415, "Content-Type: application/json"),
        (
            b"{bad",
            "application/json",
            400,
            "not JSON: Expecting property name enclosed in double quotes at character 2",
        ),
        (b'{"a": 1, "a": 2}', "application/json", 400, "'a' is there twice"),
        (b'{"a": NaN}', "application/json", 400, "NaN"),
        (b"[" * 100_000, "application/json", 400, "nested too deeply"),
        (b"\xff", "application/json; charset=utf-8", 400, "not JSON"),
        (b"[" + b"0," * 500_000, "application/json", 400, "not JSON"),
        (b"[]", "application/json", 422, "body: write a JSON object"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(
    api: Api, content: bytes, media_type: str, status: int, said: str
) -> None:
    """What cannot be read is a 400 that says why; what is not said to be JSON, a 415 that says what to send."""
    assert said in problem(api.raw("/jobs", content, media_type), status)


def test_a_mistyped_route_is_told(api: Api) -> None:
    """Where the routes are is part of the answer."""
    assert "openapi.json" in problem(api.get("/job"), 404)
    assert "openapi.json" in problem(api.send("POST", "/kinds"), 405)


def test_what_is_too_large_or_no_json_is_refused(api: Api) -> None:
    """Bodies are bounded, and what is no JSON is the sender's error."""
    problem(api.post("/jobs", job(payload={"url": "x" * 1_100_000})), 413)
    deep: Any = {}
    for _ in range(80):
        deep = {"a": deep}
    assert "nested deeper" in problem(api.post("/jobs", job(payload=deep)), 422)

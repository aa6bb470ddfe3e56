"""Whether a job would do, and many jobs at once, over HTTP."""

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


def count(db: DictConnection) -> object:
    row = db.execute("select count(*) as n from job").fetchone()
    assert row is not None
    return row["n"]


def test_a_job_that_would_do_is_valid_and_not_stored(api: Api, db: DictConnection) -> None:
    """Its schedule in words and its next five fires are answered; the name is still free then."""
    for _ in range(2):
        said = ok(api.as_(ALICE).post("/jobs/validate", job()))
        assert (said["valid"], said["schedule"], said["problems"]) == (True, "every 5 min", [])
        assert len(said["next"]) == 5
        assert said["next"] == sorted(said["next"])
    assert count(db) == 0
    assert db.execute("select from audit").fetchone() is None


@pytest.mark.parametrize(
    ("change", "place", "said"),
    [
        ({"every": "soon"}, "body.every", "'soon' is not a duration"),
        ({"nmae": "x"}, "body.nmae", "Extra inputs"),
        ({"kind": "pong"}, "body.kind", "unknown kind 'pong'"),
        ({"payload": {}}, "body.payload.url", "Field required"),
        ({"every": None, "run_at": "2020-01-01T00:00:00Z"}, "body.run_at", "not in the future"),
        ({"every": None, "cron": "99 99 * * *"}, "body.cron", "cron"),
        ({"timezone": "Mars/Olympus"}, "body.timezone", "Mars/Olympus"),
        ({"name": "taken"}, "body", "already"),
        ({"kind": "python", "payload": {"function": "a:b"}, "every": 5}, "body.every", "a slower schedule"),
        ({"every_mode": "fixed_delay", "every": None}, "body.every_mode", "write every"),
        ({"owner": "bob"}, "body", "owner: rows of your own only"),
        ({"kind": "shell", "payload": {"command": "true"}}, "body", "for admins"),
        ({"kind": "webhook", "payload": {"url": URL, "conn_id": "key"}}, "body", "conn_id: key is not among"),
    ],
)
def test_what_is_wrong_with_a_job_is_told(
    api: Api, db: DictConnection, change: dict[str, Any], place: str, said: str
) -> None:
    """What POST /jobs would refuse is not valid, for the same reason: the caller's permissions count as well."""
    ok(api.as_(ALICE).post("/jobs", job("taken")), 201)
    found = ok(api.as_(ALICE).post("/jobs/validate", job() | change))
    assert (found["valid"], found["next"]) == (False, [])
    assert [problem["place"] for problem in found["problems"]] == [place]
    assert said in found["problems"][0]["detail"]
    assert api.as_(ALICE).post("/jobs", job() | change).status_code in (403, 409, 422)
    assert count(db) == 1


def test_only_who_may_write_validates(api: Api) -> None:
    """A viewer could not add the job, whatever it is; and what is no object is no job."""
    problem(api.as_(VIEWER).post("/jobs/validate", job()), 403)
    problem(api.as_(None).post("/jobs/validate", job()), 401)
    problem(api.post("/jobs/validate", [job()]), 422)


def test_many_jobs_are_added_at_once(api: Api, db: DictConnection) -> None:
    """A thousand in one request, their ids in its order; with a key, once."""
    jobs = [job(f"job {number}", external_id=f"x{number}") for number in range(1000)]
    ids = ok(api.post("/jobs/bulk", {"jobs": jobs}, Idempotency_Key="k"), 201)["ids"]
    assert ids == sorted(ids)
    assert ok(api.post("/jobs/bulk", {"jobs": jobs}, Idempotency_Key="k"), 201)["ids"] == ids
    assert ok(api.post("/jobs/bulk", {"jobs": jobs[:2]}), 201)["ids"] == ids[:2]
    assert count(db) == 1000
    for wrong in ({"jobs": [*jobs, job()]}, {"jobs": []}, {}, jobs[:1]):
        problem(api.post("/jobs/bulk", wrong), 422)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"every": "soon"}, 422, "body.jobs.2.every: 'soon' is not a duration"),
        ({"kind": "pong"}, 422, "body.jobs.2.kind: unknown kind 'pong'"),
        ({"timezone": "Mars/Olympus"}, 422, "body.jobs.2.timezone: "),
        ({"payload": {}}, 422, "body.jobs.2.payload.url: Field required"),
        ({"name": "job 0"}, 409, "body.jobs.2: this owner has a job with this name already"),
        ({"owner": "bob"}, 403, "body.jobs.2: owner"),
        ({"kind": "shell", "payload": {"command": "true"}}, 403, "body.jobs.2: "),
    ],
)
def test_of_many_jobs_all_are_added_or_none(
    api: Api, db: DictConnection, change: dict[str, Any], status: int, said: str
) -> None:
    """If one is refused none is there, and the answer says which one, and why."""
    jobs = [job(f"job {number}") for number in range(4)]
    jobs[2] |= change
    assert said in problem(api.as_(ALICE).post("/jobs/bulk", {"jobs": jobs}), status)
    assert count(db) == 0


def test_a_quota_holds_for_many_at_once(api: Api, db: DictConnection) -> None:
    """What is one too many takes the others with it."""
    db.execute("insert into quota (owner, max_rows) values ('alice', 2)")
    assert "2 rows are the most" in problem(
        api.as_(ALICE).post("/jobs/bulk", {"jobs": [job(f"job {number}") for number in range(3)]}), 403
    )
    assert count(db) == 0


def test_a_quota_holds_for_many_that_are_resumed(api: Api, db: DictConnection) -> None:
    """Those that would fire too often together stay off duty, all of them."""
    db.execute("insert into quota (owner, max_fires_per_minute) values ('alice', 3)")
    alice = api.as_(ALICE)
    jobs = [job(f"job {number}", every=30, is_active=False) for number in range(2)]
    ids = ok(alice.post("/jobs/bulk", {"jobs": jobs}), 201)["ids"]
    assert "3 fires per minute" in problem(alice.post("/jobs/bulk-resume", {"ids": ids}), 403)
    assert db.execute("select from job where is_active").fetchone() is None
    ok(alice.post("/jobs/bulk-resume", {"ids": ids[:1]}))


def test_many_jobs_are_paused_resumed_and_deleted(api: Api, db: DictConnection) -> None:
    """All that are named and no other; naming one twice does no harm."""
    ids = ok(api.post("/jobs/bulk", {"jobs": [job(f"job {number}", owner="alice") for number in range(4)]}), 201)["ids"]
    some = {"ids": [ids[2], ids[0], ids[2]]}
    alice = api.as_(ALICE)

    def active() -> list[object]:
        return [row["id"] for row in db.execute("select id from job where is_active order by id")]

    assert ok(alice.post("/jobs/bulk-pause", some)) == some
    assert active() == [ids[1], ids[3]]
    db.execute("update job set paused_until = 'tomorrow' where id = %s", (ids[0],))
    ok(alice.post("/jobs/bulk-resume", some))
    assert active() == ids
    assert db.execute("select from job where paused_until is not null").fetchone() is None
    ok(alice.post("/jobs/bulk-delete", some))
    assert active() == [ids[1], ids[3]]


@pytest.mark.parametrize("verb", ["pause", "resume", "delete"])
def test_of_many_jobs_all_change_or_none(api: Api, db: DictConnection, verb: str) -> None:
    """If some are not there, or not the caller's, the answer names them, and nothing has changed."""
    hers = ok(api.as_(ALICE).post("/jobs/bulk", {"jobs": [job(is_active=False), job("b")]}), 201)["ids"]
    his = ok(api.as_(BOB).post("/jobs", job()), 201)["id"]
    before = db.execute("select * from job order by id").fetchall()
    path = f"/jobs/bulk-{verb}"
    assert problem(api.as_(ALICE).post(path, {"ids": [999, *hers, his]}), 404).endswith(f"with id {his}, 999")
    problem(api.as_(VIEWER).post(path, {"ids": hers}), 404)
    for ids in ([], [0], [2**63], ["a"], list(range(1, 1002)), None):
        problem(api.as_(ALICE).post(path, {"ids": ids}), 422)
    assert db.execute("select * from job order by id").fetchall() == before


def test_a_viewer_changes_nothing_in_bulk(api: Api, db: DictConnection) -> None:
    """Who may only look adds nothing, and does not touch even what belongs to him."""
    mine = ok(api.post("/jobs", job(owner="viewer")), 201)["id"]
    viewer = api.as_(VIEWER)
    problem(viewer.post("/jobs/bulk", {"jobs": [job("b")]}), 403)
    for verb in ("pause", "resume", "delete"):
        problem(viewer.post(f"/jobs/bulk-{verb}", {"ids": [mine]}), 403)
    problem(viewer.post(f"/jobs/{mine}/run"), 403)
    assert count(db) == 1


def test_a_run_is_refused_before_airflow_is_asked(api: Api) -> None:
    """Others' jobs are not there, paused ones do not run, and a run replaces neither the connection nor code."""
    mine = ok(api.post("/jobs", job(kind="webhook", owner="alice")), 201)["id"]
    code = ok(api.post("/jobs", job("code", kind="shell", payload={"command": "true"})), 201)["id"]
    paused = ok(api.post("/jobs", job("paused", is_active=False)), 201)["id"]
    assert "there is no job" in problem(api.as_(BOB).post(f"/jobs/{mine}/run"), 404)
    assert "is paused" in problem(api.post(f"/jobs/{paused}/run"), 409)
    assert "conn_id cannot be replaced" in problem(api.post(f"/jobs/{mine}/run", {"conf": {"conn_id": "key"}}), 422)
    assert "command cannot be replaced" in problem(api.post(f"/jobs/{code}/run", {"conf": {"command": "x"}}), 422)
    assert "uri: Extra inputs" in problem(api.post(f"/jobs/{mine}/run", {"conf": {"uri": "x"}}), 422)
    assert "NUL" in problem(api.post(f"/jobs/{mine}/run", {"conf": {"body": "\0"}}), 422)
    problem(api.post(f"/jobs/{mine}/run", {"wait": True}), 422)
    problem(api.post("/jobs/999/run"), 404)
    problem(api.post("/connectors/999/run"), 404)
    problem(api.post("/workflows/999/run"), 404)
    problem(api.as_(None).post(f"/jobs/{mine}/run"), 401)

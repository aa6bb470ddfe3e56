"""The jobs of a predecessor: its calls work as they stand, in either spelling, and say why if they do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Response

from include.store.db import DictConnection
from tests.api_client import ALICE, BOB, VIEWER, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

PATH = "//compat/api/v1/jobs"
URL = "https://example.com/"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def job(name: str = "a", config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    task = {"type": "API_CALL", "config": {"url": URL, "method": "POST", **(config or {})}}
    return {"name": name, "cron_expression": "0 9 * * *", "task_payload": task, **fields}


def error(response: Response, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    return str(body["error"])


def test_a_job_is_scheduled(api: Api, db: DictConnection) -> None:
    """POST answers 201 with what was scheduled; the row is one of kind http, and the caller's."""
    config = {"headers": {"x-a": "b"}, "params": {"p": 1, "q": None}, "data": {"order": 17}}
    made = ok(api.as_(ALICE).post(PATH, job(config=config)), 201)
    assert made == {
        "message": "Job scheduled successfully.",
        "job": {"id": 1, "name": "a", "cron_expression": "0 9 * * *", "is_active": True},
    }
    row = db.execute("select owner, kind, cron, timezone, payload from job").fetchone()
    payload = {"url": URL, "method": "POST", "headers": {"x-a": "b"}, "params": {"p": 1}, "json": {"order": 17}}
    assert row == {"owner": "alice", "kind": "http", "cron": "0 9 * * *", "timezone": "UTC", "payload": payload}


def test_both_spellings_are_understood(api: Api) -> None:
    """The names of its documentation work as well as those of its code; a job can begin paused."""
    wanted = job(is_active=False)
    camel = {"name": "b", "cronExpression": "*/5 * * * * *", "taskPayload": wanted["task_payload"], "is_active": False}
    for body in (wanted, camel):
        assert ok(api.post(PATH, body), 201)["job"]["is_active"] is False
    assert [one["cron_expression"] for one in ok(api.get(PATH))] == ["0 9 * * *", "*/5 * * * * *"]


def test_a_text_is_sent_as_it_was(api: Api, db: DictConnection) -> None:
    """`data` that is a text is sent as it is: as a form, unless a header says otherwise."""
    ok(api.post(PATH, job("a", {"data": "x=1"})), 201)
    ok(api.post(PATH, job("b", {"data": "<x/>", "headers": {"Content-Type": "text/xml"}})), 201)
    rows = db.execute("select payload from job order by id").fetchall()
    assert [row["payload"] for row in rows] == [
        {"url": URL, "method": "POST", "text": "x=1", "headers": {"content-type": "application/x-www-form-urlencoded"}},
        {"url": URL, "method": "POST", "text": "<x/>", "headers": {"Content-Type": "text/xml"}},
    ]


MISSING = "Missing required fields: name, cron_expression, and task_payload."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, MISSING),
        ({"cron_expression": ""}, MISSING),
        ({"task_payload": None}, MISSING),
        ({"cron_expression": "soon"}, "Invalid cron_expression format. cron 'soon' has 1 fields"),
        ({"cron_expression": "1 2 3"}, "Invalid cron_expression format. cron '1 2 3' has 3 fields"),
        ({"cron_expression": "0 25 * * *"}, "Invalid cron_expression format. cron '0 25 * * *': the hour"),
        ({"cron_expression": "H H * * *"}, "Invalid cron_expression format."),
        ({"cron_expression": 5}, "cron_expression"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"name": "12"}, "name: a name that is all digits"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0"}, "name: the character NUL"),
        ({"task_payload": []}, "task_payload"),
        ({"task_payload": {"type": "INTERNAL_SCRIPT", "config": {}}}, "task_payload.type: unsupported job type"),
        ({"task_payload": {"type": "API_CALL"}}, "task_payload.config: write an object with url and method"),
        ({"task_payload": {"type": "API_CALL", "config": {"url": URL}}}, "write an object with url and method"),
    ],
)
def test_every_refusal_has_its_reason(api: Api, db: DictConnection, change: dict[str, Any], said: str) -> None:
    """What is wrong is a 400 that says what, and nothing is stored."""
    assert said in error(api.post(PATH, job() | change), 400)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 0}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"method": "TRACE"}, "method"),
        ({"method": 5}, "method"),
        ({"headers": "x"}, "headers"),
        ({"headers": "x", "data": "y"}, "headers"),
        ({"params": {"a": [1]}}, "params"),
        ({"timeout": 5}, "there is no timeout; write url"),
        ({"data": {"a": "\0"}}, "payload: the character NUL"),
    ],
)
def test_a_request_that_could_not_be_sent_is_refused(
    api: Api, db: DictConnection, config: dict[str, Any], said: str
) -> None:
    """The task is judged when it is scheduled, and not when it runs."""
    assert said in error(api.post(PATH, job(config=config)), 400)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 0}


def test_a_name_is_taken_once(api: Api) -> None:
    """A second job of the same name is a 409 for its owner, and for nobody else."""
    ok(api.as_(ALICE).post(PATH, job()), 201)
    assert error(api.as_(ALICE).post(PATH, job()), 409) == "Job with name 'a' already exists."
    ok(api.as_(BOB).post(PATH, job()), 201)


def test_jobs_are_listed_as_a_bare_array(api: Api) -> None:
    """A list of all one's jobs with a cron expression, or of the one that is asked for."""
    ok(api.as_(ALICE).post(PATH, job()), 201)
    ok(api.as_(BOB).post(PATH, job("b")), 201)
    every = {"name": "c", "kind": "ping", "payload": {"url": URL}, "every": 60}
    ok(api.as_(ALICE).post("/jobs", every), 201)
    [found] = ok(api.as_(ALICE).get(PATH))
    assert found.pop("created_at").endswith("Z")
    assert found == {"id": 1, "name": "a", "cron_expression": "0 9 * * *", "is_active": True}
    assert [one["id"] for one in ok(api.get(PATH))] == [1, 2]
    assert [one["name"] for one in ok(api.get(PATH, jobId=2))] == ["b"]
    assert len(ok(api.get(PATH, jobId=""))) == 2
    for text in ("2", "3", "99", "-1", str(2**70)):
        assert error(api.as_(ALICE).get(PATH, jobId=text), 404) == f"Job with ID {text} not found."
    for text in ("abc", "12abc", "1.5", "a\0"):
        assert error(api.get(PATH, jobId=text), 400) == "jobId must be a valid integer."
    assert "cursor" in error(api.get(PATH, cursor="x"), 400)


def test_a_job_is_deleted(api: Api) -> None:
    """DELETE says that it is done; 404 for one that one cannot see, 400 for what is no number."""
    ok(api.as_(ALICE).post(PATH, job()), 201)
    assert error(api.as_(BOB).delete(f"{PATH}/1"), 404) == "Job with ID 1 not found."
    assert error(api.delete(f"{PATH}/1x"), 400) == "Invalid job ID provided."
    assert "Job ID 1 deleted successfully" in ok(api.as_(ALICE).delete(f"{PATH}/1"))["message"]
    assert error(api.as_(ALICE).delete(f"{PATH}/1"), 404) == "Job with ID 1 not found."


def test_the_login_is_that_of_the_other_calls(api: Api) -> None:
    """Without a login nothing is answered; who may only look changes nothing, and quotas hold."""
    ok(api.post(PATH, job(owner="viewer")), 201)
    problem(api.as_(None).get(PATH), 401)
    assert "may look" in problem(api.as_(VIEWER).post(PATH, job()), 403)
    assert api.as_(VIEWER).get(PATH).json() == []


def test_what_is_no_json_is_refused(api: Api) -> None:
    """A body that is no object is a 400 with its reason."""
    for body in ([], "x", 5):
        assert "body" in error(api.post(PATH, body), 400)


def test_an_expression_that_is_far_too_long_is_not_worked_on(api: Api) -> None:
    """It is refused for its length, whatever it says."""
    assert "at most 200 characters" in error(api.post(PATH, job(cron_expression="1," * 100_000 + "1 * * * *")), 400)

"""The forms of a predecessor: what its page sent makes a daily job, with a status instead of a redirect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx2 import Response

from include.store.db import DictConnection
from tests.api_client import ADMIN, ALICE, BOB, Api, api_of, ok, problem

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as running:
        yield running


def send(api: Api, caller: str = ADMIN.name, content: bytes | None = None, **fields: str) -> Response:
    """A form as a browser sends it."""
    headers = {"X-Caller": caller, "Content-Type": FORM}
    sent: dict[str, Any] = {"data": fields} if content is None else {"content": content}
    return api._client.post("/compat/api/create", headers=headers, **sent)


PING = {"hour": "9", "minute": "05", "type": "ping", "url": URL}


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({"type": "ping", "url": URL}, {"url": URL}),
        ({"type": "webhook", "url": URL, "body": '{"a": 1}'}, {"url": URL, "body": '{"a": 1}'}),
        ({"type": "webhook", "url": URL}, {"url": URL, "body": ""}),
        ({"type": "slack", "url": URL, "msg": "héllo & more"}, {"url": URL, "text": "héllo & more"}),
        (
            {"type": "email", "email": "a@example.com", "subject": "s", "body": "<b>t</b>"},
            {"to": "a@example.com", "subject": "s", "html": "<b>t</b>"},
        ),
    ],
)
def test_a_form_makes_a_daily_job(
    api: Api, db: DictConnection, fields: dict[str, str], payload: dict[str, str]
) -> None:
    """201 with the job and where it is; it is of the kind that the type was, and due daily in UTC."""
    response = send(api, hour="9", minute="05", **fields)
    made = ok(response, 201)
    assert response.headers["location"] == f"/millrace/api/v1/jobs/{made['id']}"
    assert (made["kind"], made["payload"], made["cron"]) == (fields["type"], payload, "05 9 * * *")
    assert made["next"].endswith("T09:05:00Z")
    assert db.execute("select owner, timezone from job").fetchone() == {"owner": "admin", "timezone": "UTC"}


def test_the_same_form_again_makes_another_job(api: Api, db: DictConnection) -> None:
    """The form asks for no name, so each job gets one of its own; with an Idempotency-Key it happens once."""
    assert len({ok(send(api, **PING), 201)["name"] for _ in range(3)}) == 3
    headers = {"X-Caller": "admin", "Idempotency-Key": "k"}
    for _ in range(2):
        api._client.post("/compat/api/create", headers=headers, data=PING)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 4}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "fax"}, "type: write one of ping, email, slack, webhook"),
        ({"type": ""}, "type: write one of"),
        ({"hour": "24"}, "the hour cannot be '24'"),
        ({"minute": "60"}, "the minute cannot be '60'"),
        ({"minute": "-1"}, "the minute cannot be '-1'"),
        ({"hour": ""}, "hour: write a number"),
        ({"minute": "CRON_TZ=Asia/Tokyo 0"}, "minute: write a number"),
        ({"minute": "1" * 61}, "minute: write a number"),
        ({"url": ""}, "url"),
        ({"url": "http://a/\0"}, "NUL"),
        ({"type": "slack", "msg": ""}, "text"),
        ({"type": "email", "email": "nobody", "subject": "s", "body": "b"}, "to"),
        ({"type": "email", "email": "a@example.com", "subject": "", "body": "b"}, "subject"),
    ],
)
def test_every_refusal_has_its_reason(api: Api, db: DictConnection, change: dict[str, str], said: str) -> None:
    """What is wrong is a 400 that says what, and nothing is stored."""
    assert said in problem(send(api, **(PING | change)), 400)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 0}


def test_what_is_no_form_is_refused(api: Api) -> None:
    """Bytes that are no text, too many fields, and JSON."""
    assert "cannot be read" in problem(send(api, content=b"hour=%ff"), 400)
    assert "cannot be read" in problem(send(api, content=b"\xff"), 400)
    assert "cannot be read" in problem(send(api, content=b"a=1&" * 60), 400)
    assert "hour: write" in problem(send(api, content=b"type=ping"), 400)
    assert FORM in problem(api.post("//compat/api/create", PING), 415)


def test_fields_of_a_cron_expression_are_understood(api: Api) -> None:
    """What its scheduler took in these fields beyond numbers, ours takes as well."""
    assert ok(send(api, **(PING | {"hour": "*", "minute": "*/5"})), 201)["cron"] == "*/5 * * * *"


def test_only_listed_connections_may_be_used(api: Api) -> None:
    """A mail goes by a connection, which an admin must have listed."""
    mail = {"type": "email", "email": "a@example.com", "subject": "s", "body": "b"}
    assert "smtp_default" in problem(send(api, "alice", **(PING | mail)), 403)
    assert "may look" in problem(send(api, "viewer", **PING), 403)


def test_a_job_is_deleted(api: Api) -> None:
    """200 when it is done; 404 for one that one cannot see, 400 for what is no number, or missing."""
    ok(send(api, "alice", **PING), 201)
    path = "//compat/api/delete-job"
    assert "there is no job" in problem(api.as_(BOB).post(path + "?id=1"), 404)
    for query in ("", "?id=", "?id=x", "?id=1x", "?id=%00"):
        assert "id: write the number" in problem(api.post(path + query), 400)
    assert "deleted" in ok(api.as_(ALICE).post(path + "?id=1"))["message"]
    assert "there is no job" in problem(api.as_(ALICE).post(path + "?id=1"), 404)


def test_next_fires_are_listed(api: Api) -> None:
    """Each job with a cron expression that is on duty, and when it is due next."""
    ok(send(api, "alice", **PING), 201)
    ok(send(api, "bob", **PING), 201)
    ok(api.as_(ALICE).post("/jobs/1/pause"))
    ok(send(api, "alice", **PING), 201)
    every = {"name": "c", "kind": "ping", "payload": {"url": URL}, "every": 60}
    ok(api.as_(ALICE).post("/jobs", every), 201)
    [only] = ok(api.as_(ALICE).get("//compat/api/machine-crons"))["crons"]
    assert only["cron_id"] == 3
    assert only["next"].endswith("T09:05:00Z")
    assert len(ok(api.get("//compat/api/machine-crons"))["crons"]) == 2
    problem(api.as_(None).get("//compat/api/machine-crons"), 401)

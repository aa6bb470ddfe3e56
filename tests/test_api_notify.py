"""Whom rows and owners may have told, over HTTP: by which kinds, and what is wrong is said with its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from include.api.app import create_app
from include.documents.caller import Caller
from include.settings import Settings
from include.store.db import DictConnection
from tests.api_client import ADMIN, Api, ok, problem

pytestmark = pytest.mark.xdist_group("api")

USER = Caller("alice", may_write=True, is_admin=False, admin_kinds=frozenset({"webhook"}))
TOLD = {"kind": "webhook", "payload": {"url": "https://example.com/told"}}


async def login(request: Request) -> Caller:
    return {caller.name: caller for caller in (ADMIN, USER)}[request.headers["x-caller"]]


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    """The API, where webhooks are for admins; an admin is calling."""
    app = create_app(Settings(database_url=database_url), login=login)
    with TestClient(app, base_url="http://millrace.test") as client:
        yield Api(client, ADMIN)


def job(**settings: Any) -> dict[str, Any]:
    return {"name": "a", "kind": "ping", "payload": {"url": "https://example.com/"}, **settings}


def connector(**settings: Any) -> dict[str, Any]:
    return {"name": "a", "kind": "feed", "config": {"url": "https://example.com/"}, **settings}


def document(section: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"documents": [{"version": 1, section: {"a": row}}]}


def test_a_kind_for_admins_is_for_admins_in_a_notify_as_well(api: Api, db: DictConnection) -> None:
    """However a user says it, of a row, of many, of a file or of himself, it is refused, and nothing is stored."""
    user = api.as_(USER)
    for path, body in (
        ("/jobs", job(notify=TOLD)),
        ("/jobs/bulk", {"jobs": [job(notify=TOLD)]}),
        ("/connectors", connector(notify=TOLD)),
        ("/config/plan", document("jobs", job(notify=TOLD))),
        ("/config/apply", document("connectors", connector(notify=TOLD))),
        ("/config/apply", {"documents": [{"version": 1, "notify": {"alice": TOLD}}]}),
    ):
        assert "kind 'webhook' is for admins" in problem(user.post(path, body), 403)
    assert "is for admins" in problem(user.put("/owners/alice/notify", TOLD), 403)
    found = ok(user.post("/jobs/validate", job(notify=TOLD)))
    assert "is for admins" in found["problems"][0]["detail"]
    made = ok(user.post("/jobs", job(notify={"on": []})), 201)
    assert "is for admins" in problem(user.patch(f"/jobs/{made['id']}", {"notify": TOLD}), 403)
    assert db.execute("select name from job where notify ? 'kind' union select name from connector").fetchall() == []


def test_what_an_admin_has_put_in_stays(api: Api) -> None:
    """The owner may change when such a job runs, and not what it tells."""
    path = f"/jobs/{ok(api.post('/jobs', job(notify=TOLD, owner='alice')), 201)['id']}"
    user = api.as_(USER)
    assert ok(user.patch(path, {"every": "10m"}))["notify"] == TOLD
    assert "is for admins" in problem(user.patch(path, {"notify": {"after": 2}}), 403)


@pytest.mark.parametrize(
    ("notify", "place", "said"),
    [
        ({"kind": "telegram"}, "body.notify.kind", "unknown kind 'telegram'"),
        ({"kind": "sql"}, "body.notify.kind", "runs on a worker"),
        ({"kind": "webhook"}, "body.notify.payload.url", "Field required"),
        (
            {"kind": "webhook", "payload": {"url": "https://example.com/", "body": {"text": "{{ summary }"}}},
            "body.notify.payload.body.text",
            "unexpected '}'",
        ),
    ],
)
def test_what_is_wrong_with_a_notify_is_said_by_place(api: Api, notify: Any, place: str, said: str) -> None:
    """The place is that within the notify, of jobs and of connectors, of owners and in files."""
    for path, row in (("/jobs", job(notify=notify)), ("/connectors", connector(notify=notify))):
        answer = api.post(path, row)
        assert said in problem(answer, 422)
        assert [error["place"] for error in answer.json()["errors"]] == [place]
    inner = place.removeprefix("body.notify")
    for answer, root in (
        (api.put("/owners/alice/notify", notify), "body"),
        (
            api.post("/config/plan", {"documents": [{"version": 1, "notify": {"a": notify}}]}),
            "body.documents.0.notify.a",
        ),
    ):
        problem(answer, 422)
        assert [error["place"] for error in answer.json()["errors"]] == [root + inner]

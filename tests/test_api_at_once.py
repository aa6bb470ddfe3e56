"""Requests that come at the same moment: nobody is harmed by anybody else's, and no answer is an error of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response

from include.api.app import create_app
from include.settings import Settings
from include.store.db import DictConnection, connect
from tests.api_client import ADMIN, ALICE, BOB, Api, ok, problem, stated_login

pytestmark = pytest.mark.xdist_group("api")

URL = "https://example.com/"


def job(name: str = "a", **settings: Any) -> dict[str, Any]:
    return {"name": name, "kind": "ping", "payload": {"url": URL}, "every": "5m", **settings}


@pytest.fixture
def app(database_url: str) -> FastAPI:
    return create_app(Settings(database_url=database_url), login=stated_login)


@pytest.fixture
def api(app: FastAPI) -> Iterator[Api]:
    with TestClient(app, base_url="http://millrace.test") as client:
        yield Api(client, ADMIN)


@pytest.fixture
def other(database_url: str) -> Iterator[DictConnection]:
    """Somebody else's connection to the database."""
    with connect(database_url) as db:
        yield db


@pytest.fixture
def at_once() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(48) as threads:
        yield threads


def wait_until(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not there():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.01)


def wait_for_lock(db: DictConnection, waiters: int = 1) -> None:
    """Return when so many of the API's statements wait for somebody else's transaction."""
    statement = b"select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    wait_until(lambda: len(db.execute(statement).fetchall()) >= waiters)


def lock_owner(db: DictConnection, owner: str) -> None:
    db.execute("select pg_advisory_xact_lock(hashtext('millrace.owner'), hashtext(%s))", (owner,))


def test_a_timer_can_be_cancelled_by_two_at_once(
    api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor
) -> None:
    """Whoever comes second, while the first is at it, finds it cancelled."""
    path = f"/timers/{ok(api.post('/timers', {'url': URL, 'hours': 1}), 201)['id']}/cancel"
    with other.transaction():
        other.execute("update timer set status = 'cancelled', finished_at = now()")
        second = at_once.submit(api.post, path)
        wait_for_lock(db)
    assert ok(second.result())["status"] == "cancelled"


def test_a_timer_that_is_handed_back_meanwhile_is_cancelled(
    api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor
) -> None:
    """What somebody was about to send, and did not, waits to be sent, and is cancelled then."""
    path = f"/timers/{ok(api.post('/timers', {'url': URL, 'hours': 1}), 201)['id']}/cancel"
    db.execute("update timer set status = 'firing'")
    with other.transaction():
        other.execute("update timer set status = 'pending'")
        cancelled = at_once.submit(api.post, path)
        wait_for_lock(db)
    assert ok(cancelled.result())["status"] == "cancelled"


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE", "POST"])
def test_who_waits_for_a_row_may_find_that_it_is_not_his_any_more(
    api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor, method: str
) -> None:
    """A job that gets another owner while somebody waits to change it is not there for him, and stays as it is."""
    path = f"/jobs/{ok(api.as_(ALICE).post('/jobs', job()), 201)['id']}"
    body = {"PATCH": {"retries": 1}, "PUT": job("b"), "DELETE": None, "POST": None}[method]
    with other.transaction():
        other.execute("update job set owner = 'bob'")
        late = at_once.submit(api.as_(ALICE).send, method, path + ("/pause" if method == "POST" else ""), body)
        wait_for_lock(db)
    assert "there is no job" in problem(late.result(), 404)
    kept = ok(api.as_(BOB).get(path))
    assert (kept["name"], kept["retries"], kept["is_active"]) == ("a", 3, True)


def test_one_external_id_is_one_row_however_many_send_it(
    api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor
) -> None:
    """One of them makes the row, admins too; all the others are answered that it is there."""
    for caller in (ADMIN, ALICE):
        with other.transaction():
            lock_owner(other, caller.name)
            sent = [at_once.submit(api.as_(caller).post, "/jobs", job(external_id="x")) for _ in range(6)]
            wait_for_lock(db, 6)
        answers = [one.result() for one in sent]
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1


def test_admins_wait_for_nobody_whose_quota_is_counted(api: Api, other: DictConnection) -> None:
    """Only users take turns: an admin adds, changes and resumes rows of anybody's at any time."""
    with other.transaction():
        lock_owner(other, "alice")
        made = ok(api.post("/jobs", job(owner="alice", is_active=False)), 201)
        ok(api.patch(f"/jobs/{made['id']}", {"retries": 1}))
        ok(api.post("/jobs/bulk-resume", {"ids": [made["id"]]}))


def test_airflows_own_requests_find_a_thread(
    app: FastAPI, api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor
) -> None:
    """However many requests of ours wait for the database, most of the threads that Airflow answers by are free."""

    @app.get("/busy")
    async def busy() -> float:
        return current_default_thread_limiter().borrowed_tokens

    def threads() -> int:
        return int(ok(api.get("//busy")))

    sent: list[Future[Response]] = []
    with other.transaction():
        lock_owner(other, "alice")
        for number in range(20):
            sent.append(at_once.submit(api.as_(ALICE).post, "/jobs", job(f"job {number}")))
            key = {"Idempotency_Key": f"k{number}"}
            sent.append(at_once.submit(api.as_(ALICE).post, "/timers", {"url": URL, "hours": 1}, **key))
        wait_until(lambda: threads() >= 16)
        assert threads() == 16
    assert [one.result().status_code for one in sent] == [201] * 40


def test_a_deadlock_is_no_error_of_ours(
    api: Api, db: DictConnection, other: DictConnection, at_once: ThreadPoolExecutor
) -> None:
    """Whoever PostgreSQL picks out of two who wait for each other is told to come again, and nothing is half-done."""
    ids = [ok(api.post("/jobs", job(name)), 201)["id"] for name in ("a", "b")]
    try:
        with other.transaction():
            other.execute("set local deadlock_timeout = '20s'")
            other.execute("select from job where id = %s for update", (ids[1],))
            late = at_once.submit(api.post, "/jobs/bulk-delete", {"ids": ids})
            wait_for_lock(db)
            other.execute("select from job where id = %s for update", (ids[0],))
    except psycopg.errors.DeadlockDetected:
        pytest.fail("it was the other one that was to be picked")
    assert "send it again" in problem(late.result(), 503)
    assert db.execute("select count(*) as n from job").fetchone() == {"n": 2}


async def test_a_body_that_breaks_off_is_no_error_of_ours(app: FastAPI) -> None:
    """Whoever hangs up while sending is answered as for any request that cannot be read; nobody has to look for why."""
    headers = [(b"x-caller", b"admin"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/jobs", "query_string": b"", "headers": headers}
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_nobody_is_listened_to_before_he_has_logged_in(app: FastAPI) -> None:
    """401 comes without a look at the body, which may be large, or never end."""
    scope = {"type": "http", "method": "POST", "path": "/api/v1/jobs", "query_string": b"", "headers": []}
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: Any) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert sent[0]["status"] == 401

"""Tokens and cookies of Airflow's: which of them log somebody in, for how long, and from which pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from tests.airflow_logins import ORIGIN, Logins
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.configuration import conf

from include.store.db import DictConnection
from tests.api_client import ok, problem

pytest_plugins = ["tests.airflow_fixtures", "tests.airflow_login_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.e2e]

JOBS = "/millrace/api/v1/jobs"
JOB = {"name": "new", "kind": "ping", "payload": {"url": "https://example.com/"}}
OURS = {"Origin": ORIGIN}
ELSEWHERE = {"Origin": "https://evil.example"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"_token={token}"}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is believed without asking."""
    monkeypatch.setattr("include.api.login._BELIEVED_SECONDS", 0.0)


@contextmanager
def locked(database_url: str, table: str) -> Iterator[None]:
    """Whoever reads the table waits."""
    with psycopg.connect(database_url) as other:
        other.execute(f"lock table public.{table} in access exclusive mode".encode())
        yield


def nested(depth: int) -> str:
    header = base64.urlsafe_b64encode(b'{"a":' * depth).decode()
    return f"{header}.{header}.{header}"


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic YTpi"}, cookie("")])
def test_without_a_token_nobody_is_let_in(simple: Logins, header: dict[str, str]) -> None:
    """401, whether something is read or written, and with the scheme that is wanted."""
    with simple.serving() as client:
        for method in ("GET", "POST"):
            response = client.request(method, JOBS, headers={**header, **OURS})
            assert "log in first" in problem(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("junk", ["x", "a.b.c", "é", "." * 99, nested(1), nested(5_000), "x" * 20_000])
def test_what_is_no_token_lets_nobody_in(simple: Logins, junk: str) -> None:
    """However odd the text is, it is a 401."""
    with simple.serving() as client:
        headers = {"Authorization": b"Bearer " + junk.encode()}
        problem(client.get(JOBS, headers=headers), 401)


def test_a_token_of_another_system_lets_nobody_in(simple: Logins) -> None:
    """A token whose signature is not ours is none, whatever it says."""
    head, _, signature = simple.token("ann", "Viewer").split(".")
    claims = {"sub": "root", "role": "ADMIN", "iat": 1, "nbf": 1, "exp": 9_999_999_999, "aud": "apache-airflow"}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    with simple.serving() as client:
        for token in (f"{head}.{body}.{signature}", f"{unsigned}.{body}."):
            problem(client.get(JOBS, headers=bearer(token)), 401)


def test_a_token_expires(logins: Logins) -> None:
    """After its time a token lets nobody in, and the answer says why."""
    token = logins.token("ann", "Admin", seconds=-60)
    with logins.serving() as client:
        assert "expired" in problem(client.get(JOBS, headers=bearer(token)), 401)


@pytest.mark.usefixtures("at_once")
def test_whoever_logs_out_is_out(logins: Logins) -> None:
    """A token that Airflow has revoked lets nobody in any more."""
    token = logins.token("ann", "User")
    with logins.serving() as client:
        ok(client.get(JOBS, headers=bearer(token)))
        logins.manager.revoke_token(token)
        problem(client.get(JOBS, headers=bearer(token)), 401)


def test_a_token_is_believed_for_a_moment_but_a_refusal_never(logins: Logins, ours: DictConnection) -> None:
    """The next request asks nobody, so that small ones are cheap; who was refused is asked about again at once."""
    token, other = logins.token("ann", "User"), logins.token("bob", "User")
    logins.manager.revoke_token(other)
    with logins.serving() as client:
        ok(client.get(JOBS, headers=bearer(token)))
        problem(client.get(JOBS, headers=bearer(other)), 401)
        with locked(logins.database_url, "revoked_token"):
            ok(client.get(JOBS, headers=bearer(token)))
        ours.execute("delete from public.revoked_token")
        ok(client.get(JOBS, headers=bearer(other)))


def test_a_slow_database_holds_up_nobody_else(logins: Logins) -> None:
    """While a login waits for Airflow's database, the server answers what needs none."""
    with logins.serving() as client, ThreadPoolExecutor(8) as threads:
        with locked(logins.database_url, "revoked_token"):
            waiting = [
                threads.submit(client.get, JOBS, headers=bearer(logins.token(f"u{n}", "User"))) for n in range(6)
            ]
            problem(client.get("/millrace/nothing/here"), 404)
            assert not any(request.done() for request in waiting)
        for request in waiting:
            ok(request.result())


def test_whoever_cannot_be_looked_up_may_come_again(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time without an answer of Airflow's database it is a 503, and later all is well."""
    token = logins.token("ann", "User")
    with logins.serving() as client:
        with monkeypatch.context() as patch, locked(logins.database_url, "revoked_token"):
            patch.setattr("include.api.login._SECONDS", 0.1)
            response = client.get(JOBS, headers=bearer(token))
            assert "send it again later" in problem(response, 503)
            assert response.headers["retry-after"]
        ok(client.get(JOBS, headers=bearer(token)))


COOKIE_WRITES = [
    (OURS, 201),
    ({}, 403),
    (ELSEWHERE, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://["}, 403),
    ({"Origin": f"{ORIGIN}:81"}, 403),
    ({"Origin": "http://millrace.test.evil.example"}, 403),
    ({"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}, 403),
    ({"Origin": "https://millrace.test"}, 201),
    ({"Sec-Fetch-Site": "same-origin"}, 201),
    ({"Sec-Fetch-Site": "same-site", **OURS}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "https://millrace.test"}, 403),
    ({"Sec-Fetch-Site": "none"}, 403),
    ({"Authorization": "Basic YTpi"}, 403),
    ({"Authorization": "Bearer"}, 403),
    ({"Authorization": "Bearer ", **ELSEWHERE}, 403),
]


def test_a_cookie_changes_things_from_our_own_pages_only(simple: Logins) -> None:
    """A browser sends the cookie with whatever another site makes it send; reading does no harm."""
    mine = cookie(simple.token("ann", "User"))
    with simple.serving() as client:
        answers = []
        for number, (headers, _) in enumerate(COOKIE_WRITES):
            job = {**JOB, "name": f"job {number}"}
            answers.append((headers, client.post(JOBS, json=job, headers={**mine, **headers}).status_code))
            ok(client.get(JOBS, headers={**mine, **headers}))
    assert answers == COOKIE_WRITES


@pytest.mark.parametrize(("origin", "status"), [("https://jobs.example.com", 201), ("http://jobs.example.com", 403)])
def test_behind_a_proxy_our_pages_are_where_airflow_says(simple: Logins, origin: str, status: int) -> None:
    """`[api] base_url` counts where a proxy hides the host that the browser knows; without TLS it is another place."""
    before = conf.get("api", "base_url")
    conf.set("api", "base_url", "https://jobs.example.com/airflow/")
    try:
        with simple.serving() as client:
            sent = {**cookie(simple.token("ann", "User")), "Origin": origin}
            assert client.post(JOBS, json=JOB, headers=sent).status_code == status
    finally:
        conf.set("api", "base_url", before)


def test_a_token_in_the_header_comes_from_anywhere(simple: Logins) -> None:
    """No browser adds it by itself; and it counts, not the cookie beside it."""
    with simple.serving() as client:
        sent = {**bearer(simple.token("ann", "User")), **cookie(simple.token("bob", "Viewer")), **ELSEWHERE}
        assert ok(client.post(JOBS, json=JOB, headers=sent), 201)["owner"] == "ann"


@pytest.mark.parametrize(("headers", "status"), [({}, 201), (OURS, 201), (ELSEWHERE, 403)])
def test_where_everybody_is_an_admin_other_sites_are_nobody(
    simple: Logins, headers: dict[str, str], status: int
) -> None:
    """Airflow adds an admin's token to every request then, also to those that another site makes a browser send."""
    conf.set("core", "simple_auth_manager_all_admins", "True")
    try:
        with simple.serving() as client:
            assert client.post(JOBS, json=JOB, headers=headers).status_code == status
    finally:
        conf.set("core", "simple_auth_manager_all_admins", "False")

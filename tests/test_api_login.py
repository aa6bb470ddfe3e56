"""Who may do what, by the roles of Airflow's real auth managers, with real tokens, through the mounted API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.airflow_logins import Logins
from tests.airflow_system import OF_AIRFLOW  # isort: split

from fastapi.testclient import TestClient

from include.store.db import DictConnection
from tests.api_client import ok, problem

pytest_plugins = ["tests.airflow_fixtures", "tests.airflow_login_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.e2e]

JOBS = "/millrace/api/v1/jobs"
JOB = {"name": "new", "kind": "ping", "payload": {"url": "https://example.com/"}}
CHANGE = {"payload": {"url": "https://example.com/other"}}
# What is answered: to a new row; to reading and changing a row of one's own; to reading and changing another's.
MAY = {
    "Viewer": (403, 200, 403, 404, 404),
    "User": (201, 200, 200, 404, 404),
    "Op": (201, 200, 200, 404, 404),
    "Admin": (201, 200, 200, 200, 200),
}

Insert = Callable[..., int]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def as_(client: TestClient, token: str) -> TestClient:
    client.headers.update(bearer(token))
    return client


@pytest.mark.parametrize("role", MAY)
def test_roles_decide_over_own_rows_and_over_those_of_others(logins: Logins, insert: Insert, role: str) -> None:
    """Viewers read, users write their own, admins all; and it is the same table for both of Airflow's auth managers."""
    own, others = insert(name="own", owner="ann"), insert(name="other", owner="bob")
    with logins.serving() as client:
        as_(client, logins.token("ann", role))
        answers = (
            client.post(JOBS, json=JOB),
            *(send for id in (own, others) for send in (client.get(f"{JOBS}/{id}"), _change(client, id))),
        )
        assert tuple(answer.status_code for answer in answers) == MAY[role]
        listed = {job["owner"] for job in ok(client.get(JOBS))["items"]}
    assert listed == ({"ann", "bob"} if role == "Admin" else {"ann"})


def _change(client: TestClient, id: int) -> Any:
    return client.patch(f"{JOBS}/{id}", json=CHANGE)


@pytest.mark.parametrize("role", ["Viewer", "User", "Op"])
def test_a_row_of_anothers_is_answered_as_one_that_is_not_there(logins: Logins, insert: Insert, role: str) -> None:
    """But for the id in it, the answer is the same: nobody can tell that the row exists."""
    others = insert(owner="bob")
    with logins.serving() as client:
        as_(client, logins.token("ann", role))
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            body = {"PUT": JOB, "PATCH": CHANGE}.get(method)
            seen, missing = (client.request(method, f"{JOBS}/{id}", json=body) for id in (others, 9_999))
            assert problem(seen, 404).replace(str(others), "N") == problem(missing, 404).replace("9999", "N")


@pytest.mark.parametrize("roles", [("Public",), ()])
def test_whoever_may_not_look_at_dags_sees_nothing(logins: Logins, insert: Insert, roles: tuple[str, ...]) -> None:
    """A role without any right in Airflow has none here, not even to rows of one's own."""
    id = insert(owner="ann")
    with logins.serving() as client:
        as_(client, logins.token("ann", *roles))
        for path in (JOBS, f"{JOBS}/{id}"):
            assert "your role in Airflow does not let you look at DAGs" in problem(client.get(path), 403)
        problem(client.post(JOBS, json=JOB), 403)


def test_a_row_belongs_to_the_name_that_airflow_shows(logins: Logins, ours: DictConnection) -> None:
    """The owner is the user's name, whichever auth manager knows it, and the audit says who it was."""
    with logins.serving() as client:
        made = ok(as_(client, logins.token("ann@example.com", "User")).post(JOBS, json=JOB), 201)
    assert made["owner"] == "ann@example.com"
    assert ours.execute("select actor from audit").fetchone() == {"actor": "ann@example.com"}


def test_an_operator_names_admins(logins: Logins, insert: Insert) -> None:
    """Who is listed in MILLRACE_ADMINS sees everything, whatever the role; others do not become it by that."""
    id = insert(owner="bob")
    with logins.serving(admins=("olga",)) as client:
        ok(as_(client, logins.token("olga", "Viewer")).patch(f"{JOBS}/{id}", json=CHANGE))
        problem(as_(client, logins.token("ann", "User")).get(f"{JOBS}/{id}"), 404)


@pytest.mark.parametrize("role", ["ADMIN", "admin"])
def test_a_role_that_is_called_like_admin_is_not_it(fab: Logins, insert: Insert, role: str) -> None:
    """In FAB people make roles, and `admin` may be one with hardly any rights."""
    with fab.serving() as client:
        problem(as_(client, fab.token("ann", "Viewer", role)).get(f"{JOBS}/{insert(owner='bob')}"), 404)


def test_a_role_that_airflow_does_not_know_is_none(simple: Logins) -> None:
    """A misspelt role in the setting of the simple auth manager gives no rights, and is no error of ours."""
    with simple.serving() as client:
        problem(as_(client, simple.token("ann", "boss")).get(JOBS), 403)


@pytest.mark.parametrize("name", ["*", "n" * 201, "a\0b", "\ud800", ""])
def test_a_name_that_cannot_own_rows_is_refused(simple: Logins, name: str) -> None:
    """What PostgreSQL cannot store, or would mean everybody in a grant, is no owner."""
    with simple.serving() as client:
        assert "your name in Airflow cannot be that of an owner" in problem(
            as_(client, simple.token(name, "Admin")).get(JOBS), 403
        )


@pytest.mark.parametrize("active", [False, None])
def test_a_user_who_was_switched_off_in_fab_is_out(fab: Logins, ours: DictConnection, active: bool | None) -> None:
    """A token says who somebody was; whether he still may come in is asked of FAB."""
    token = fab.token("ann", "Admin")
    ours.execute("update public.ab_user set active = %s", (active,))
    with fab.serving() as client:
        problem(as_(client, token).get(JOBS), 401)


def test_a_public_role_lets_nobody_in(fab: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Airflow gives strangers a role, they are nobody here all the same: rows belong to somebody."""
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_ROLE_PUBLIC", "Admin")
    assert fab.manager.build_public_user() is not None
    with fab.serving() as client:
        problem(client.get(JOBS), 401)

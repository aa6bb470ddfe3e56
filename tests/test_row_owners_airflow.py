"""Airflow's own API over HTTP, by either auth manager: people see, run and pause the DAGs of their own rows only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.airflow_logins import ORIGIN, Logins
from tests.airflow_run import write_dag
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.api_fastapi.app import lifespan
from airflow.api_fastapi.common.dagbag import create_dag_bag
from airflow.api_fastapi.core_api.app import init_config, init_middlewares, init_views
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from include.store import shards
from include.store.db import DictConnection

pytest_plugins = ["tests.airflow_fixtures", "tests.airflow_login_fixtures"]
pytestmark = [
    *OF_AIRFLOW,
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),  # fields of answers of Airflow's
]

DAGS = "/api/v2/dags"
LISTS = (
    ("GET", DAGS, None),
    ("GET", f"{DAGS}/~/dagRuns", None),
    ("POST", f"{DAGS}/~/dagRuns/list", {}),
    ("GET", f"{DAGS}/~/dagRuns/~/taskInstances", None),
    ("POST", f"{DAGS}/~/dagRuns/~/taskInstances/list", {}),
    ("GET", f"{DAGS}/~/dagVersions", None),
    ("GET", "/api/v2/dagStats", None),
    ("GET", "/ui/dags", None),
)
OF_A_DAG = (
    "",
    "/details",
    "/dagRuns",
    "/dagRuns/{run}",
    "/dagRuns/{run}/taskInstances",
    "/dagRuns/{run}/taskInstances/fire",
    "/dagRuns/{run}/taskInstances/fire/xcomEntries",
    "/dagRuns/{run}/taskInstances/fire/logs/1",
    "/tasks",
    "/dagVersions",
)

Insert = Callable[..., int]
As = Callable[..., TestClient]


@contextmanager
def airflow(logins: Logins) -> Iterator[As]:
    """Airflow's API server, without FAB's pages; a client of it for a user with these roles."""
    app = FastAPI(lifespan=lifespan)
    app.state.dag_bag = create_dag_bag()
    app.state.auth_manager = logins.manager
    for part in (init_views, init_middlewares, init_config):
        part(app)
    with TestClient(app, base_url=ORIGIN) as client:

        def login(name: str, *roles: str) -> TestClient:
            client.headers["Authorization"] = f"Bearer {logins.token(name, *roles)}"
            return client

        yield login


@pytest.fixture
def as_(logins: Logins) -> Iterator[As]:
    with airflow(logins) as login:
        yield login


@pytest.fixture
def dags(airflow_session: Session, ours: DictConnection, insert: Insert) -> Iterator[dict[str, str]]:
    """The DAGs of a job of Ann's and one of Bob's, as the DAG processor leaves them."""
    made = {}
    for owner in ("ann", "bob"):
        (job,) = shards.rows_by_id(ours, "job", [insert(name=f"of {owner}", owner=owner)])
        write_dag(airflow_session, job)
        made[owner] = job.dag_id
    yield made
    airflow_session.rollback()
    airflow_session.execute(text("delete from public.log"))
    airflow_session.commit()


def run(client: TestClient, dag_id: str) -> Any:
    return client.post(f"{DAGS}/{dag_id}/dagRuns", json={"logical_date": None})


def pause(client: TestClient, dag_id: str) -> Any:
    return client.patch(f"{DAGS}/{dag_id}", json={"is_paused": True})


@pytest.mark.parametrize("role", ["User", "Op"])
def test_people_run_pause_and_delete_their_own(as_: As, dags: dict[str, str], ours: DictConnection, role: str) -> None:
    """What is another's is refused and stays as it was; as if there were no such row."""
    ann, others = as_("ann", role), dags["bob"]
    bulk = {"actions": [{"action": "delete", "entities": [{"dag_id": others, "dag_run_id": "manual__1"}]}]}
    refused = [
        run(ann, others),
        pause(ann, others),
        ann.delete(f"{DAGS}/{others}"),
        ann.patch(f"{DAGS}/~/dagRuns", json=bulk),
        run(ann, "job_999999"),
    ]
    assert [answer.status_code for answer in refused] == [403] * 5
    assert ours.execute("select is_active from job where owner = 'bob'").fetchone() == {"is_active": True}
    done = [run(ann, dags["ann"]), pause(ann, dags["ann"])]
    assert [answer.status_code for answer in done] == [200, 200]
    assert ours.execute("select is_active from job where owner = 'ann'").fetchone() == {"is_active": False}


def test_all_dags_at_once_are_all_of_ones_own(as_: As, dags: dict[str, str], ours: DictConnection) -> None:
    """Pausing by a pattern that fits everything pauses what is the user's."""
    answer = as_("ann", "User").patch(DAGS, params={"dag_id_pattern": "~"}, json={"is_paused": True})
    assert answer.status_code == 200, answer.text
    active = ours.execute("select owner from job where is_active").fetchall()
    assert active == [{"owner": "bob"}]


def test_lists_show_ones_own(as_: As, dags: dict[str, str]) -> None:
    """DAGs, runs, tasks, versions, counts: each list names own DAGs only, and for admins all."""
    admin = as_("root", "Admin")
    assert [run(admin, dag_id).status_code for dag_id in dags.values()] == [200, 200]
    for user, role, seen in (("ann", "User", {"ann"}), ("bob", "Viewer", {"bob"}), ("root", "Admin", {"ann", "bob"})):
        client = as_(user, role)
        for method, path, body in LISTS:
            answer = client.request(method, path, json=body)
            assert answer.status_code == 200, answer.text
            assert {owner for owner, dag_id in dags.items() if f'"{dag_id}"' in answer.text} == seen, path


def test_names_of_connectors_are_for_admins(as_: As, insert: Insert, airflow_session: Session) -> None:
    """Assets are called after them, and Airflow does not ask whose they are."""
    for path in ("/api/v2/assets", "/api/v2/assets/events"):
        assert as_("ann", "Op").get(path).status_code == 403
        assert as_("root", "Admin").get(path).status_code == 200


def test_whoever_looks_at_dags_finds_the_dashboard(as_: As) -> None:
    """Airflow's UI takes the way to it from the list of plugins, which FAB keeps from users by itself."""
    for role in ("Viewer", "User"):
        assert as_("ann", role).get("/api/v2/plugins").status_code == 200


def test_events_are_of_ones_own(simple: Logins, dags: dict[str, str]) -> None:
    """Airflow's audit log; by FAB it is for admins anyway."""
    with airflow(simple) as login:
        for dag_id in dags.values():
            assert run(login("root", "admin"), dag_id).status_code == 200
        seen = login("ann", "user").get("/api/v2/eventLogs").json()["event_logs"]
    assert {event["dag_id"] for event in seen} == {dags["ann"]}


def test_what_belongs_to_a_dag_is_its_owners(as_: As, dags: dict[str, str]) -> None:
    """Runs, tasks, XComs, logs of another's DAG are refused alike, to whoever may look at DAGs as such."""
    admin = as_("root", "Admin")
    paths = []
    for dag_id in dags.values():
        made = run(admin, dag_id).json()["dag_run_id"]
        paths.append([f"{DAGS}/{dag_id}{path}".replace("{run}", made) for path in OF_A_DAG])
    own, others = paths
    for role in ("Viewer", "User"):
        client = as_(f"another {role}", role)
        assert {client.get(path).status_code for path in others} == {403}, role
    # 404: a log of a task that did not run yet
    assert {as_("ann", "User").get(path).status_code for path in own} <= {200, 404}
    assert {as_("root", "Admin").get(path).status_code for path in others} <= {200, 404}


def test_strangers_see_no_rows(fab: Logins, dags: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where FAB gives them a role, it counts for DAGs that are nobody's rows."""
    monkeypatch.setenv("AIRFLOW__FAB__AUTH_ROLE_PUBLIC", "Admin")
    with airflow(fab) as login:
        client = login("ann", "User")
        del client.headers["Authorization"]
        assert client.get(DAGS).json()["dags"] == []
        assert client.get(f"{DAGS}/{dags['ann']}").status_code == 403
        assert client.get("/api/v2/pools").status_code == 200

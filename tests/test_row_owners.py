"""Who may do what with which DAG in Airflow's own API, as our auth managers answer: by the owner of the DAG's row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser as User
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from sqlalchemy.orm import Session

from include import settings as our_settings
from include.orchestration import row_owners
from include.orchestration.auth_simple import MillraceSimpleAuthManager
from include.store.db import DictConnection
from include.store.row_owners import RowOwners

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

Insert = Callable[..., int]

ANN, BOB = User(username="ann", role="user"), User(username="bob", role="user")
VIC = User(username="ann", role="viewer")
ADMIN = User(username="root", role="Admin")
METHODS = [method.value for method in ResourceMethod]


@pytest.fixture
def manager(ours: DictConnection, airflow_url: str) -> Iterator[MillraceSimpleAuthManager]:
    """Ours over the simple one; it asks the test's database."""
    owners = row_owners._row_owners(airflow_url)
    yield MillraceSimpleAuthManager()
    owners.close()
    row_owners._row_owners.cache_clear()


def may(manager: MillraceSimpleAuthManager, user: User, dag_id: str, method: str = "GET") -> bool:
    return bool(manager.is_authorized_dag(method=method, user=user, details=DagDetails(id=dag_id)))


def may_each(manager: MillraceSimpleAuthManager, user: User, *dag_ids: str) -> list[bool]:
    return [may(manager, user, dag_id, "PUT") for dag_id in dag_ids]


def a_row_of_each(db: DictConnection, owner: str) -> set[str]:
    """A job, a connector and a workflow of this owner; the ids of their DAGs."""
    made = db.execute(
        "with j as (insert into job (name, owner, kind, payload) values (%(o)s, %(o)s, 'ping', '{}') returning id),"
        " c as (insert into connector (name, owner, kind, config) values (%(o)s, %(o)s, 'rest', '{}') returning id)"
        " select 'job_' || j.id as job, 'connector_' || c.id as connector, c.id from j, c",
        {"o": owner},
    ).fetchone()
    assert made is not None
    workflow = db.execute(
        "insert into workflow (name, owner, connector_id, kind, payload) values ('w', %s, %s, 'ping', '{}')"
        " returning 'workflow_' || id as dag_id",
        (owner, made["id"]),
    ).fetchone()
    assert workflow is not None
    return {str(made["job"]), str(made["connector"]), str(workflow["dag_id"])}


def write_dags(session: Session, *dag_ids: str) -> None:
    """Have Airflow know these DAGs."""
    session.merge(DagBundleModel(name="millrace"))
    session.flush()
    session.add_all([DagModel(dag_id=dag_id, bundle_name="millrace") for dag_id in dag_ids])
    session.commit()


@pytest.mark.parametrize("entity", [None, *DagAccessEntity])
def test_the_dag_of_a_row_is_its_owners_with_all_that_belongs_to_it(
    manager: MillraceSimpleAuthManager, ours: DictConnection, entity: DagAccessEntity | None
) -> None:
    """Job, connector, workflow; the DAG, its runs, tasks, logs, code: the owner and admins, by every method."""
    for dag_id in a_row_of_each(ours, "ann"):
        for method in METHODS:
            may_so = [
                manager.is_authorized_dag(method=method, user=user, access_entity=entity, details=DagDetails(id=dag_id))
                for user in (ANN, BOB, ADMIN, VIC)
            ]
            assert may_so == [True, False, True, method == "GET"]


def test_an_operator_names_admins(
    manager: MillraceSimpleAuthManager, insert: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is in MILLRACE_ADMINS may do with all DAGs what his role lets him do with any."""
    dag_id = f"job_{insert(owner='bob')}"
    monkeypatch.setenv("MILLRACE_ADMINS", "ann")
    our_settings.settings.cache_clear()
    assert may_each(manager, ANN, dag_id, "millrace_timers") == [True, True]
    assert (may(manager, VIC, dag_id), may(manager, VIC, dag_id, "PUT")) == (True, False)


def test_what_remains_of_a_deleted_row_is_for_admins(
    manager: MillraceSimpleAuthManager, ours: DictConnection, insert: Insert
) -> None:
    """Its runs stay in Airflow for a while, and nobody owns them any more."""
    dag_id = f"job_{insert(owner='ann')}"
    ours.execute("delete from job")
    assert [may(manager, user, dag_id) for user in (ANN, BOB, ADMIN)] == [False, False, True]


def test_a_dag_that_is_no_rows_is_as_airflow_says(manager: MillraceSimpleAuthManager) -> None:
    """DAGs of people's own files stay everybody's, whatever they are called."""
    for dag_id in ("etl", "job_", "job_x", "job_007", "my_job_1", "job_1_b", "JOB_1", "timer_1", "job_" + "9" * 20):
        assert [may(manager, user, dag_id, "POST") for user in (ANN, VIC, ADMIN)] == [True, False, True], dag_id


def test_the_dags_that_work_for_everybody_are_for_admins(manager: MillraceSimpleAuthManager) -> None:
    """Pausing the timers' DAG stops everybody's timers, and its log speaks of everybody's."""
    assert [may(manager, user, "millrace_timers") for user in (ANN, VIC, ADMIN)] == [False, False, True]


@pytest.mark.parametrize("id", [2**63 - 1, 0, -1, -(2**62)])
def test_rows_of_any_id_are_their_owners(manager: MillraceSimpleAuthManager, insert: Insert, id: int) -> None:
    """Who writes SQL may choose ids that nobody would."""
    insert(id=id, owner="ann")
    assert [may(manager, user, f"job_{id}") for user in (ANN, BOB)] == [True, False]


@pytest.mark.parametrize("dag_id", [f"job_{2**63}", f"job_-{2**63}", f"job_{'9' * 19}"])
def test_an_id_that_no_row_can_have_is_that_of_a_row_that_is_gone(
    manager: MillraceSimpleAuthManager, dag_id: str
) -> None:
    """What does not fit a bigint is asked of no database."""
    assert [may(manager, user, dag_id) for user in (ANN, ADMIN)] == [False, True]


def test_a_batch_is_all_or_nothing(manager: MillraceSimpleAuthManager, ours: DictConnection) -> None:
    """One DAG of somebody else's among many, or one thing that the role does not let him do, refuses the whole."""
    own, others = a_row_of_each(ours, "ann"), a_row_of_each(ours, "bob")

    def batch(user: User, dag_ids: set[str], method: str = "PUT") -> bool:
        asked = [{"method": method, "details": DagDetails(id=dag_id)} for dag_id in dag_ids]
        return bool(manager.batch_is_authorized_dag(asked, user=user))

    assert batch(ANN, own | {"etl"})
    assert not batch(ANN, own | others)
    assert batch(ADMIN, own | others)
    assert (batch(VIC, own, "GET"), batch(VIC, own, "PUT")) == (True, False)
    assert batch(ANN, set())


def test_lists_hold_what_is_ones_own_at_once(
    manager: MillraceSimpleAuthManager, airflow_session: Session, ours: DictConnection, insert: Insert
) -> None:
    """Lists hold the DAGs of own rows and those of nobody's; that of a new row as soon as Airflow has it."""
    own, others = a_row_of_each(ours, "ann"), a_row_of_each(ours, "bob")
    write_dags(airflow_session, *own, *others, "etl", "millrace_timers")

    def listed(user: User, method: str = "GET") -> set[str]:
        return set(manager.get_authorized_dag_ids(user=user, method=method))

    assert listed(ANN) == listed(VIC) == {*own, "etl"}
    assert listed(VIC, "PUT") == set()
    assert listed(ADMIN) == {*own, *others, "etl", "millrace_timers"}
    fresh = f"job_{insert(name='new', owner='ann')}"
    write_dags(airflow_session, fresh)
    assert listed(ANN) == {*own, fresh, "etl"}


def test_a_row_that_is_given_away_is_the_others_at_once(
    manager: MillraceSimpleAuthManager, ours: DictConnection, insert: Insert
) -> None:
    """Nothing is remembered of whose a row was."""
    dag_id = f"job_{insert(owner='ann')}"
    assert [may(manager, user, dag_id) for user in (ANN, BOB)] == [True, False]
    ours.execute("update job set owner = 'bob'")
    assert [may(manager, user, dag_id) for user in (ANN, BOB)] == [False, True]


@pytest.mark.parametrize("name", ["*", "n" * 201, "a\0b", "\ud800", ""])
@pytest.mark.parametrize("role", ["user", "admin"])
def test_a_name_that_cannot_own_rows_sees_none(
    manager: MillraceSimpleAuthManager, insert: Insert, name: str, role: str
) -> None:
    """As in our own API; such a user has what Airflow gives him for other DAGs."""
    dag_id = f"job_{insert(owner='ann')}"
    assert may_each(manager, User(username=name, role=role), dag_id, "etl") == [False, True]


def test_without_a_dag_nothing_is_asked_of_the_database(
    manager: MillraceSimpleAuthManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is asked in general is Airflow's answer: our own login depends on it for each request."""
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    our_settings.settings.cache_clear()
    for details in (None, DagDetails(id=None)):
        assert manager.is_authorized_dag(method="PUT", user=ANN, details=details)
        assert not manager.is_authorized_dag(method="PUT", user=VIC, details=details)
    assert not caplog.records


def test_a_broken_connection_is_replaced(
    manager: MillraceSimpleAuthManager, ours: DictConnection, insert: Insert
) -> None:
    """After a restart of the database nobody is refused."""
    dag_id = f"job_{insert(owner='ann')}"
    assert may(manager, ANN, dag_id)
    ours.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where datname = current_database() and application_name = 'millrace-api'"
    )
    assert may(manager, ANN, dag_id)


@pytest.mark.parametrize("trouble", ["away", "slow"])
def test_rows_are_nobodys_when_the_database_does_not_say(
    airflow_url: str,
    insert: Insert,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    trouble: str,
) -> None:
    """Denied, not failed; logged once, and not waited for by everybody; when it is asked again, as before."""
    monkeypatch.setattr("include.store.row_owners._SECONDS", 1)
    dag_id = f"job_{insert(owner='ann')}"
    owners = RowOwners(airflow_url if trouble == "slow" else "postgresql://nobody@127.0.0.1:1/nowhere")
    with psycopg.connect(airflow_url) as other, caplog.at_level(logging.WARNING, "include.store.row_owners"):
        other.execute("lock table job in access exclusive mode")
        assert [owners.owned("ann", {dag_id}) for _ in range(20)] == [set()] * 20
    assert len([record for record in caplog.records if record.name == "include.store.row_owners"]) == 1
    monkeypatch.setattr(owners, "_silent_until", 0.0)
    if trouble == "slow":
        assert owners.owned("ann", {dag_id}) == {dag_id}
    owners.close()

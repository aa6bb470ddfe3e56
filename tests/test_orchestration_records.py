"""Connectors and workflows in Airflow: their DAGs, their shifts, their pauses, and the assets that they are."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tests.airflow_run import write_dag
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG, Asset
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from include.orchestration.factory import build, row_dags
from include.orchestration.operator import ShiftOperator, WorkerShiftOperator
from include.orchestration.timetable import ShiftTimetable
from include.schedule import Schedule
from include.store import shards
from include.store.db import DictConnection
from tests.log_rows import add_connector, add_workflow, append

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

UTC = timezone.utc
REST = {"base_url": "http://127.0.0.1:9/"}


def add_rest(ours: DictConnection, name: str = "source", **columns: Any) -> int:
    return add_connector(ours, name, kind="rest", config=REST, **{"every": "30 seconds", **columns})


def dag_of(table: str, row_id: int) -> DAG:
    return row_dags(table, row_id // shards.SHARD_SIZE)[f"{table}_{row_id}"]


def write(session: Session, ours: DictConnection, table: str, row_id: int) -> None:
    (row,) = shards.rows_by_id(ours, table, [row_id])
    write_dag(session, row)


@pytest.mark.usefixtures("ours")
def test_a_connector_is_a_dag_and_an_asset(ours: DictConnection) -> None:
    """It is pulled in the triggerer, under its name, and is what other people's DAGs can be scheduled on."""
    id = add_rest(ours, "Issues of ours", owner="ada@example.org")
    dag = dag_of("connector", id)
    (task,) = dag.tasks
    assert (dag.dag_id, dag.dag_display_name) == (f"connector_{id}", "Issues of ours")
    assert dag.tags == {"connector", "rest", "owner:ada@example.org"}
    assert isinstance(task, ShiftOperator)
    assert task.outlets == [Asset("millrace://connector/ada@example.org/Issues of ours")]


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a/b", "c"), ("a", "b/c")),
        (("a", "b/c"), ("a", "b%2Fc")),
        (("a", "b"), ("a", "b/")),
        (("a", "b#1"), ("a", "b#2")),
        (("a", "b"), ("a", "b?")),
        (("a", "b"), ("a\t", "b")),
    ],
)
def test_no_two_connectors_are_one_asset(ours: DictConnection, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever owners and names have in them: neither by its name, nor by the URI that Airflow makes of it."""
    ids = [add_rest(ours, name, owner=owner) for owner, name in (one, other)]
    outlets = [dag_of("connector", id).tasks[0].outlets for id in ids]
    (first,), (second,) = outlets
    assert (first.name, second.name) == (first.uri, second.uri)
    assert first.name != second.name


@pytest.mark.usefixtures("ours")
def test_a_workflow_is_a_dag_of_its_user(ours: DictConnection) -> None:
    """It names its user and its connector, so that people find it in Airflow."""
    connector = add_rest(ours, "issues")
    id = add_workflow(ours, connector, "http://127.0.0.1:9/", "mine", owner="ada@example.org")
    dag = dag_of("workflow", id)
    assert dag.tags == {"workflow", "webhook", "connector:issues", "owner:ada@example.org"}
    assert dag.timetable.continuous


@pytest.mark.usefixtures("ours")
def test_the_same_row_gives_the_same_bytes(ours: DictConnection) -> None:
    """Building twice gives the same DAG, and what only its shift needs to know changes nothing."""
    connector = add_rest(ours)
    add_workflow(ours, connector, "http://127.0.0.1:9/")
    before = [
        json.dumps(DagSerialization.to_dict(dag_of(table, 1)), sort_keys=True) for table in ("connector", "workflow")
    ]
    append(ours, connector, [1, 2])
    ours.execute('update connector set config = config || \'{"path": "x"}\'')
    ours.execute("update workflow set payload = payload || '{\"body\": {}}'")
    after = [
        json.dumps(DagSerialization.to_dict(dag_of(table, 1)), sort_keys=True) for table in ("connector", "workflow")
    ]
    assert before == after


@pytest.mark.usefixtures("ours")
def test_what_may_block_runs_on_a_worker_once_an_occurrence(ours: DictConnection) -> None:
    """A `python` connector has an operator for workers, and runs that start when they are due and not before."""
    config = {"function": "example:count"}
    id = add_connector(ours, kind="python", every="2 minutes", config=config)
    dag = dag_of("connector", id)
    assert type(dag.tasks[0]) is WorkerShiftOperator
    assert not dag.timetable.continuous
    assert dag.timetable.lead == timedelta(0)


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    "columns", [{"every": None}, {"kind": "webhook", "config": {"verify": "bearer", "conn_id": "c"}}]
)
def test_what_is_not_pulled_by_itself_has_no_schedule(ours: DictConnection, columns: dict[str, Any]) -> None:
    """A connector without an interval, or one that is pushed to, is a DAG and an asset that nobody makes runs of."""
    id = add_connector(ours, **{"kind": "rest", "config": REST, "every": "1 minute", **columns})
    assert dag_of("connector", id).timetable.__class__.__name__ == "NullTimetable"


@pytest.mark.usefixtures("ours")
def test_a_failing_connector_has_a_run_for_each_probe(ours: DictConnection) -> None:
    """From the failure that counts on, its DAG makes single runs, and shifts again when it has recovered."""
    id = add_rest(ours)
    before = dag_of("connector", id).timetable
    ours.execute("update connector set failures = 5, failing_since = now()")
    failing = dag_of("connector", id).timetable
    ours.execute("update connector set failures = 0, failing_since = null")
    mended = dag_of("connector", id).timetable
    assert (before.continuous, failing.continuous, mended.continuous) == (True, False, True)
    assert failing.schedule.every == timedelta(minutes=5)
    assert before.changed_at < failing.changed_at < mended.changed_at


def test_shifts_follow_each_other_whatever_the_interval() -> None:
    """A continuous row has a run per shift in which it is due: one an hour, or one per occurrence if that is rarer."""
    created = datetime(2100, 1, 1, tzinfo=UTC)
    for every, runs_a_day in ((timedelta(seconds=30), 24), (timedelta(minutes=10), 24), (timedelta(hours=6), 4)):
        schedule = Schedule(anchor=created, salt=5, every=every)
        table = ShiftTimetable(schedule, created, timedelta(seconds=25), timedelta(hours=1), continuous=True)
        again = ShiftTimetable.deserialize(table.serialize())
        due, dues = again.next_due(None, created), []
        while due is not None and due < created + timedelta(days=2):
            dues.append(due)
            due = again.next_due(due, created)
        assert abs(len(dues) / 2 - runs_a_day) <= 1
        assert all(schedule.is_occurrence(instant) for instant in dues)


@pytest.mark.parametrize("table", ["connector", "workflow"])
def test_a_pause_is_one_fact(airflow_session: Session, ours: DictConnection, table: str) -> None:
    """Pausing the DAG pauses the row, resuming the row resumes the DAG, and a DAG is born as its row is."""
    connector = add_rest(ours, is_active=table == "workflow")
    add_workflow(ours, connector, "http://127.0.0.1:9/", is_active=False)
    write(airflow_session, ours, table, 1)
    airflow_session.expire_all()
    dag = airflow_session.scalars(select(DagModel).where(DagModel.dag_id == f"{table}_1")).one()
    if table == "workflow":
        assert dag.is_paused
        ours.execute("update workflow set is_active = true")
        airflow_session.refresh(dag)
        assert not dag.is_paused
        airflow_session.execute(update(DagModel).values(is_paused=True))
        airflow_session.commit()
        assert ours.execute("select is_active from workflow").fetchone() == {"is_active": False}
    else:
        assert dag.is_paused


def write_consumer(session: Session, name: str, schedule: Any) -> None:
    """A DAG of somebody's own, as the DAG processor writes it."""
    session.merge(DagBundleModel(name="doors"))
    session.flush()
    dag = LazyDeserializedDAG.from_dag(DAG(name, schedule=schedule))
    SerializedDAG.bulk_write_to_db("doors", None, [dag], session=session)
    SerializedDagModel.write_dag(dag, bundle_name="doors", session=session)
    session.commit()


def test_new_records_are_an_event_of_the_asset(airflow_session: Session, ours: DictConnection) -> None:
    """However records come in, Airflow has one event for all since the last, with their number; DAGs are queued, and
    not by a connector of the same name that is somebody else's."""
    id, others = add_rest(ours, "my issues", owner="ada@example.org"), add_rest(ours, "my issues")
    for connector in (id, others):
        write(airflow_session, ours, "connector", connector)
    name = "millrace://connector/ada@example.org/my issues"
    write_consumer(airflow_session, "consumer", [Asset(name)])
    airflow_session.execute(text("update dag set is_paused = false where dag_id = 'consumer'"))
    airflow_session.commit()
    tell = "select tell_airflow_of_records() as told"
    assert ours.execute(tell).fetchone() == {"told": 0}
    append(ours, id, [1, 2, 3])
    ours.execute("insert into record (connector_id, payload) values (%s, '{}')", (id,))
    assert ours.execute(tell).fetchone() == {"told": 1}
    assert ours.execute(tell).fetchone() == {"told": 0}
    (event,) = airflow_session.scalars(select(AssetEvent)).all()
    assert event.extra == {"connector": "my issues", "records": 4, "head": 4}
    asset = airflow_session.scalars(select(AssetModel).where(AssetModel.id == event.asset_id)).one()
    assert asset.name == name
    queued = airflow_session.execute(text("select target_dag_id from asset_dag_run_queue")).scalars().all()
    assert queued == ["consumer"]
    append(ours, id, [5], first=5)
    ours.execute(tell)
    assert len(airflow_session.scalars(select(AssetEvent)).all()) == 2
    airflow_session.execute(text("delete from asset_dag_run_queue"))
    airflow_session.commit()
    append(ours, others, [1])
    assert ours.execute(tell).fetchone() == {"told": 1}
    assert airflow_session.execute(text("select target_dag_id from asset_dag_run_queue")).all() == []


def test_an_asset_that_another_dag_calls_so_is_not_the_connectors(
    airflow_session: Session, ours: DictConnection
) -> None:
    """Two assets of one name and different URIs hold nothing up: the event is that of the connector's DAG."""
    id = add_rest(ours, "orders")
    name = "millrace://connector/admin/orders"
    write_consumer(airflow_session, "consumer", [Asset(name=name, uri="s3://elsewhere/orders")])
    write(airflow_session, ours, "connector", id)
    append(ours, id, [1])
    assert ours.execute("select tell_airflow_of_records() as told").fetchone() == {"told": 1}
    (uri,) = airflow_session.execute(text("select uri from asset_event e join asset a on a.id = e.asset_id")).scalars()
    assert uri == name


def test_news_that_nobody_knows_the_asset_of_is_kept(airflow_session: Session, ours: DictConnection) -> None:
    """Records that come before Airflow has seen the connector's DAG are told as soon as it has."""
    id = add_rest(ours)
    append(ours, id, [1])
    assert ours.execute("select tell_airflow_of_records() as told").fetchone() == {"told": 0}
    write(airflow_session, ours, "connector", id)
    assert ours.execute("select tell_airflow_of_records() as told").fetchone() == {"told": 1}


@pytest.mark.usefixtures("ours")
def test_a_row_that_makes_no_sense_says_so_and_hides_no_other(ours: DictConnection) -> None:
    """A bad kind or a bad template has no DAG and an error; its neighbours have theirs."""
    good = add_rest(ours, "good")
    add_rest(ours, "bad")
    ours.execute("update connector set kind = 'nosuch' where name = 'bad'")
    add_workflow(ours, good, "x", "bad", payload={"url": "http://127.0.0.1/", "body": {"x": "{{ record. }}"}})
    assert list(row_dags("connector", 0)) == [f"connector_{good}"]
    assert row_dags("workflow", 0) == {}
    errors = ours.execute(
        "select error from connector where name = 'bad' union all select error from workflow"
    ).fetchall()
    assert "nosuch" in str(errors[0]["error"])
    assert "body.x" in str(errors[1]["error"])


@pytest.mark.usefixtures("ours")
def test_a_worker_kind_is_refused_more_often_than_once_a_minute(ours: DictConnection) -> None:
    """The row says why it has no DAG."""
    add_connector(ours, kind="python", every="10 seconds", config={"function": "example:count"})
    assert row_dags("connector", 0) == {}
    row = ours.execute("select error from connector").fetchone()
    assert row is not None
    assert "once a minute" in str(row["error"])


def test_built_dags_can_be_written_and_read(airflow_session: Session, ours: DictConnection) -> None:
    """What the scheduler reads back of a connector's DAG has its timetable, as it was built."""
    id = add_rest(ours)
    (row,) = shards.rows_by_id(ours, "connector", [id])
    read = DagSerialization.from_dict(DagSerialization.to_dict(build(row)))
    assert read.timetable.continuous

"""The example of a DAG of one's own: Airflow takes it, and it reads each record once."""

from __future__ import annotations

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from sqlalchemy.orm import Session

from include.local.home import PROJECT
from include.store.db import DictConnection
from tests.log_rows import add_connector, append

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("ours")]

def written(session) -> DAG:
    bag = DagBag(str(PROJECT / "examples"))
    assert bag.import_errors == {}
    [dag] = bag.dags.values()
    session.merge(DagBundleModel(name="doors"))
    session.flush()
    lazy = LazyDeserializedDAG.from_dag(dag)
    SerializedDAG.bulk_write_to_db("doors", None, [lazy], session=session)
    SerializedDagModel.write_dag(lazy, bundle_name="doors", session=session)
    session.commit()
    return dag

def test_try(ours: DictConnection, airflow_session, capfd) -> None:
    dag = written(airflow_session)
    id = add_connector(ours, "github issues")
    append(ours, id, [{"n": 1}, {"n": 2}])
    print(ours.execute("select tell_airflow_of_records()").fetchall())
    print(ours.execute("select target_dag_id from public.asset_dag_run_queue").fetchall())
    run = dag.test()
    print(run.state)
    append(ours, id, [{"n": 3}], first=3)
    run = dag.test()
    print(run.state)
    print(ours.execute("select * from public.variable").fetchall())
    assert 0

"""The example of a DAG of one's own: Airflow takes it, starts it when there are new records, and runs it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from tests.airflow_run import write_dag
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.variable import Variable
from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from sqlalchemy import delete
from sqlalchemy.orm import Session

from include.local.home import PROJECT
from include.store import shards
from include.store.db import DictConnection
from tests.log_rows import add_connector, append

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a library that Airflow's API imports
    import airflow.api_fastapi.execution_api.app  # noqa: F401 - here, where it may warn, and not in the test

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW


@pytest.fixture
def dag(airflow_session: Session) -> Iterator[DAG]:
    """The example as the DAG processor finds it and writes it."""
    bag = DagBag(str(PROJECT / "examples"))
    assert bag.import_errors == {}
    airflow_session.merge(DagBundleModel(name="doors"))
    airflow_session.flush()
    written = LazyDeserializedDAG.from_dag(bag.dags["on_new_records"])
    SerializedDAG.bulk_write_to_db("doors", None, [written], session=airflow_session)
    SerializedDagModel.write_dag(written, bundle_name="doors", session=airflow_session)
    airflow_session.commit()
    yield bag.dags["on_new_records"]
    airflow_session.execute(delete(Variable))
    airflow_session.commit()


@pytest.mark.e2e
def test_it_runs_on_new_records_and_deals_with_each_once(
    dag: DAG, airflow_session: Session, ours: DictConnection, capfd: pytest.CaptureFixture[str]
) -> None:
    """New records of its connector, and of no other, not even one of that name that is somebody else's, queue it; each
    run goes on where the one before it ended."""
    queued = "select count(*) as runs from public.asset_dag_run_queue where target_dag_id = 'on_new_records'"
    hook = {"config": {"conn_id": "hook"}}
    others = [add_connector(ours, "another", **hook), add_connector(ours, "github issues", owner="alice", **hook)]
    connector = add_connector(ours, "github issues", **hook)
    for row in shards.rows_by_id(ours, "connector", [*others, connector]):
        write_dag(airflow_session, row)
    for other in others:
        append(ours, other, [{"n": 0}])
    ours.execute("select tell_airflow_of_records()")
    assert ours.execute(queued).fetchone() == {"runs": 0}
    append(ours, connector, [{"n": 1}, {"n": 2}])
    ours.execute("select tell_airflow_of_records()")
    assert ours.execute(queued).fetchone() == {"runs": 1}
    for printed in (["1 k1 {'n': 1}", "2 k2 {'n': 2}"], ["3 k3 {'n': 3}"], []):
        run = dag.test()
        assert run.state == "success"
        assert [line for line in capfd.readouterr().out.splitlines() if "{'n'" in line] == printed
        append(ours, connector, [{"n": 3}], first=3)

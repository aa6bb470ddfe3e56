"""A pause is one fact: Airflow's and the row's are the same, whichever is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.airflow_run import write_dag
from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.models.dag import DagModel
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from include.errors import ConfigError
from include.store import shards
from include.store.db import DictConnection
from include.store.migrate import adopt_airflow

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = OF_AIRFLOW

Insert = Callable[..., int]


def add(session: Session, ours: DictConnection, insert: Insert, **columns: Any) -> int:
    """A row and its DAG."""
    id = insert(**columns)
    (job,) = shards.rows_by_id(ours, "job", [id])
    write_dag(session, job)
    return id


def pause(session: Session, id: int, paused: bool) -> None:
    """As Airflow's API does it."""
    dag = session.scalars(select(DagModel).where(DagModel.dag_id == f"job_{id}")).one()
    dag.is_paused = paused
    session.commit()


def facts(ours: DictConnection, id: int) -> dict[str, Any]:
    row = ours.execute(
        "select job.is_active, dag.is_paused, job.revision,"
        " (select count(*) from audit where table_name = 'job' and row_id = job.id) as changes"
        " from job join public.dag on dag.dag_id = 'job_' || job.id where job.id = %s",
        (id,),
    ).fetchone()
    assert row is not None
    return row


def test_a_pause_in_airflow_is_a_pause_of_the_row(
    airflow_session: Session, ours: DictConnection, insert: Insert
) -> None:
    """Pausing the DAG sets `is_active` to false, unpausing sets it to true: each is one change of the row."""
    id = add(airflow_session, ours, insert)
    before = facts(ours, id)
    assert (before["is_active"], before["is_paused"]) == (True, False)
    pause(airflow_session, id, True)
    after = facts(ours, id)
    assert (after["is_active"], after["is_paused"], after["changes"]) == (False, True, before["changes"] + 1)
    assert after["revision"] > before["revision"]
    pause(airflow_session, id, False)
    again = facts(ours, id)
    assert (again["is_active"], again["is_paused"], again["changes"]) == (True, False, before["changes"] + 2)


def test_a_pause_of_the_row_is_a_pause_in_airflow(
    airflow_session: Session, ours: DictConnection, insert: Insert
) -> None:
    """Setting `is_active` by SQL pauses the DAG, and resumes it: one change of the row each, and no echo."""
    id = add(airflow_session, ours, insert)
    before = facts(ours, id)
    for number, active in enumerate((False, True), start=1):
        ours.execute("update job set is_active = %s where id = %s", (active, id))
        after = facts(ours, id)
        assert (after["is_active"], after["is_paused"]) == (active, not active)
        assert after["changes"] == before["changes"] + number


def test_setting_what_is_set_changes_nothing(airflow_session: Session, ours: DictConnection, insert: Insert) -> None:
    """A pause of what is paused already is no change, and what else Airflow writes about a DAG is none either."""
    id = add(airflow_session, ours, insert, is_active=False)
    before = facts(ours, id)
    assert before["is_paused"] is True
    pause(airflow_session, id, True)
    airflow_session.execute(update(DagModel).values(is_paused=True, exceeds_max_non_backfill=True))
    airflow_session.commit()
    ours.execute("update job set is_active = false where id = %s", (id,))
    assert facts(ours, id) == before


def test_an_edit_and_a_pause_in_one_statement(airflow_session: Session, ours: DictConnection, insert: Insert) -> None:
    """Whoever edits a row and pauses it at once gets both."""
    id = add(airflow_session, ours, insert)
    ours.execute("update job set is_active = false, timeout = '9 s' where id = %s", (id,))
    assert facts(ours, id)["is_paused"] is True
    assert ours.execute("select timeout = '9 s' as edited from job").fetchone() == {"edited": True}


def test_many_are_paused_at_once(airflow_session: Session, ours: DictConnection, insert: Insert) -> None:
    """Each DAG stands for its own row, and only for that."""
    ids = [add(airflow_session, ours, insert, name=f"row {number}") for number in range(12)]
    paused = [f"job_{id}" for id in ids[::2]]
    airflow_session.execute(update(DagModel).where(DagModel.dag_id.in_(paused)).values(is_paused=True))
    airflow_session.commit()
    active = ours.execute("select array_agg(id order by id) as ids from job where is_active").fetchone()
    assert active == {"ids": ids[1::2]}


@pytest.mark.parametrize("dag_id", ["timers", "job_", "job_x", "jobs_1", "myjob_1", "job_1_2", "job_" + "9" * 40])
def test_other_dags_may_be_paused(airflow_session: Session, ours: DictConnection, insert: Insert, dag_id: str) -> None:
    """A DAG that stands for no row can be paused, whatever it is called, and no row hears of it."""
    id = add(airflow_session, ours, insert)
    before = facts(ours, id)
    airflow_session.add(DagModel(dag_id=dag_id, bundle_name="millrace", fileloc="x.py", is_paused=False))
    airflow_session.commit()
    airflow_session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(is_paused=True))
    airflow_session.commit()
    assert facts(ours, id) == before


@pytest.mark.parametrize("active", [True, False])
def test_a_dag_is_born_as_its_row_is(
    airflow_session: Session, ours: DictConnection, insert: Insert, active: bool
) -> None:
    """A row that was paused, or resumed, before Airflow had its DAG, has a DAG that is paused, or is not."""
    id = insert(is_active=not active)
    (job,) = shards.rows_by_id(ours, "job", [id])
    ours.execute("update job set is_active = %s where id = %s", (active, id))
    write_dag(airflow_session, job)
    assert facts(ours, id)["is_paused"] is not active


def test_a_row_without_a_dag_can_be_paused(ours: DictConnection, insert: Insert) -> None:
    """A row that has no DAG yet, or never gets one, is paused like any other."""
    id = insert()
    ours.execute("update job set is_active = false where id = %s", (id,))
    (job,) = shards.rows_by_id(ours, "job", [id])
    assert job.is_active is False


def test_each_sees_its_own_tables(airflow_session: Session, ours: DictConnection) -> None:
    """There are two tables called `job` in the database; Airflow's connections see Airflow's, and ours see ours."""
    ask = "select relnamespace::regnamespace::text from pg_class where oid = 'job'::regclass"
    assert airflow_session.execute(text(ask)).scalar_one() == "public"
    assert ours.execute(ask.encode()).fetchone() == {"relnamespace": "millrace"}


def test_adopting_twice_is_harmless(airflow_session: Session, ours: DictConnection, airflow_url: str) -> None:
    """Every start of Millrace does it again: the same triggers and indexes, once each."""
    ask = (
        "select (select array_agg(tgname::text order by tgname) from pg_trigger where not tgisinternal) as triggers,"
        " (select array_agg(indexname::text order by indexname) from pg_indexes where schemaname = 'public') as indexes"
    )
    before = ours.execute(ask).fetchone()
    adopt_airflow(airflow_url)
    adopt_airflow(airflow_url)
    assert ours.execute(ask).fetchone() == before
    assert before is not None
    assert {"dag_follows_pause", "millrace_pause_follows_dag"} <= set(before["triggers"])  # type: ignore[call-overload]


def test_a_database_without_airflow_is_not_adopted(database_url: str) -> None:
    """Where Airflow's tables are missing, it says so, and what to do."""
    with pytest.raises(ConfigError, match="airflow db migrate"):
        adopt_airflow(database_url)

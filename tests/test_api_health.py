"""/health: how the parts are, and whether all that was due has begun."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from include.store.db import DictConnection
from tests.api_client import Api, api_of, ok
from tests.unfired_jobs import old_job

pytestmark = pytest.mark.xdist_group("api")

MINUTE = timedelta(minutes=1)
COMPONENTS = ("SchedulerJob", "TriggererJob", "DagProcessorJob")


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    with api_of(database_url) as api:
        yield api.as_(None)


@pytest.fixture
def airflow_tables(db: DictConnection) -> Iterator[DictConnection]:
    """The columns of Airflow's that we read; that they are Airflow's, the test of the whole system shows."""
    db.execute(
        "create table public.trigger (id int, classpath text, triggerer_id int);"
        "create table public.task_instance (trigger_id int, dag_id text);"
        "create table public.dag_bundle (name text, last_refreshed timestamptz);"
        "create table public.job (id int, job_type text, state text, latest_heartbeat timestamptz)"
    )
    yield db
    db.execute("drop table public.trigger, public.task_instance, public.dag_bundle, public.job")


def beat(db: DictConnection, *kinds: str, ago: timedelta = timedelta(0), state: str = "running") -> None:
    for kind in kinds:
        db.execute("insert into public.job values (1, %s, %s, now() - %s)", (kind, state, ago))


def test_an_empty_system_is_healthy(api: Api) -> None:
    """The database answers and nothing is due; of what is in another database nothing is known. No login is needed."""
    found = ok(api.get("//health"))
    assert found["status"] == "healthy"
    assert {name: check["status"] for name, check in found["checks"].items()} == {
        "database": "healthy",
        "scheduler": "unknown",
        "triggerer": "unknown",
        "dag_processor": "unknown",
        "oldest_due_unfired": "healthy",
        "oldest_due_timer": "healthy",
    }
    assert ok(api.get("//health/live")) == {"status": "alive"}


@pytest.mark.parametrize(
    ("silent", "status", "code"),
    [
        (None, "healthy", 200),
        ("DagProcessorJob", "degraded", 200),
        ("SchedulerJob", "unhealthy", 503),
        ("TriggererJob", "unhealthy", 503),
    ],
)
def test_a_silent_component_is_named(
    api: Api, airflow_tables: DictConnection, silent: str | None, status: str, code: int
) -> None:
    """With its last sign of life; without a DAG processor work is done all the same, without the others it is not."""
    beat(airflow_tables, *(kind for kind in COMPONENTS if kind != silent))
    if silent:
        beat(airflow_tables, silent, ago=2 * MINUTE)
    found = ok(api.get("//health"), code)
    assert found["status"] == status
    sick = {name: check for name, check in found["checks"].items() if check["status"] != "healthy"}
    assert len(sick) == (1 if silent else 0)
    for check in sick.values():
        assert check["latest_heartbeat"].endswith("Z")
        assert re.search(r"last sign of life 12\d s ago", check["detail"])


def test_a_component_that_was_stopped_or_never_ran_is_not_alive(api: Api, airflow_tables: DictConnection) -> None:
    """However fresh the heartbeat of one that has ended is."""
    beat(airflow_tables, "SchedulerJob", "DagProcessorJob")
    beat(airflow_tables, "SchedulerJob", state="success")
    beat(airflow_tables, "TriggererJob", state="success")
    assert ok(api.get("//health"), 503)["checks"]["triggerer"]["status"] == "unhealthy"
    airflow_tables.execute("delete from public.job where job_type = 'TriggererJob'")
    with api_of(airflow_tables.info.dsn + f" password={airflow_tables.info.password}") as fresh:
        check = ok(fresh.get("//health"), 503)["checks"]["triggerer"]
    assert (check["latest_heartbeat"], check["detail"][:35]) == (None, "it has never given a sign of life; ")


def test_shifts_and_the_bundle_are_measured(api: Api, airflow_tables: DictConnection) -> None:
    """Triggers of ours that a live triggerer has, by table; those of a dead one, and other people's, are none."""
    beat(airflow_tables, "TriggererJob")
    ours = "include.orchestration.trigger.ShiftTrigger"
    for number, (dag, classpath, triggerer) in enumerate(
        [
            ("job_1", ours, 1),
            ("job_2", ours, None),
            ("job_3", ours, 9),
            ("job_4", "theirs", 1),
            ("millrace_timers", ours, 1),
        ]
    ):
        airflow_tables.execute("insert into public.trigger values (%s, %s, %s)", (number, classpath, triggerer))
        airflow_tables.execute("insert into public.task_instance values (%s, %s)", (number, dag))
    airflow_tables.execute("insert into public.dag_bundle values ('millrace', now() - interval '100 s')")
    lines = api.get("//metrics").text.splitlines()
    assert 'millrace_shifts_on_duty{table="job"} 1.0' in lines
    assert 'millrace_shifts_on_duty{table="timer"} 1.0' in lines
    assert 'millrace_shifts_on_duty{table="workflow"} 0.0' in lines
    assert 'millrace_component_up{component="triggerer"} 1.0' in lines
    assert 'millrace_component_up{component="scheduler"} 0.0' in lines
    assert [line for line in lines if line.startswith("millrace_bundle_refresh_age_seconds 10")]


def test_the_database_is_what_is_wrong_when_it_does_not_answer() -> None:
    """503, and a document all the same; the process itself is alive."""
    with api_of("postgresql://nobody@127.0.0.1:1/nowhere") as api:
        found = ok(api.get("//health"), 503)
        assert (found["status"], found["checks"]["database"]["status"]) == ("unhealthy", "unhealthy")
        assert found["checks"]["triggerer"]["status"] == "unknown"
        assert ok(api.get("//health/live")) == {"status": "alive"}


def test_what_is_overdue_degrades(api: Api, db: DictConnection) -> None:
    """An occurrence that nobody has begun, and a timer that nobody has sent; a job is named by its id only."""
    job_id = old_job(db, name="hush", every="1 minute")
    db.execute("insert into timer (url, due_at) values ('http://a/', now() - interval '5 minutes')")
    found = ok(api.get("//health"))
    assert found["status"] == "degraded"
    assert f"job_{job_id} was due" in found["checks"]["oldest_due_unfired"]["detail"]
    assert re.search("3[0-9][0-9] s ago", found["checks"]["oldest_due_timer"]["detail"])
    assert "hush" not in str(found)

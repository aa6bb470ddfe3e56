"""Rows become DAGs: the same bytes from the same row, and no row hides another."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.context import _AIRFLOW_PARSING_CONTEXT_DAG_ID
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.simple import NullTimetable
from airflow.utils.file import might_contain_dag

from include.orchestration.bundle import RowBundle
from include.orchestration.factory import row_dags
from include.store import shards
from include.store.db import DictConnection

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("ours")]

Insert = Callable[..., int]


def serialized(dag: DAG) -> str:
    """The DAG as Airflow stores and compares it."""
    return json.dumps(DagSerialization.to_dict(dag), sort_keys=True)


def error(ours: DictConnection, id: int) -> Any:
    row = ours.execute("select error from job where id = %s", (id,)).fetchone()
    assert row is not None
    return row["error"]


def test_a_row_becomes_a_dag_with_its_name_owner_and_tags(insert: Insert) -> None:
    """People find a row in Airflow by the name, owner and kind that they gave it; its id stays what it was."""
    id = insert(name="Grüße, täglich", owner="ada@example.org", kind="ping", cron="0 9 * * *")
    (dag,) = row_dags("job", 0).values()
    assert dag.dag_id == f"job_{id}"
    assert dag.dag_display_name == "Grüße, täglich"
    assert dag.tags == {"job", "ping", "owner:ada@example.org"}
    assert dag.owner == "ada@example.org"
    assert dag.timetable.description == "cron 0 9 * * * (UTC)"
    assert not dag.catchup


def test_a_row_without_a_schedule_is_a_dag_to_trigger(insert: Insert) -> None:
    """A row that runs by hand only has a DAG too, and nobody makes runs of it."""
    insert()
    (dag,) = row_dags("job", 0).values()
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    assert isinstance(read.timetable, NullTimetable)
    assert read.next_dagrun_info(last_automated_run_info=None) is None


def test_retries_are_airflows_where_a_run_is_one_occurrence(insert: Insert) -> None:
    """Slower than once a minute, tries are seen in Airflow; else a run holds many occurrences, and is not tried again:
    but on a worker, which a shift would occupy."""
    policy = {"retries": 5, "retry_delay": timedelta(seconds=7), "retry_backoff": 3}
    slow = insert(name="slow", every=timedelta(seconds=61), **policy)
    fast = insert(name="fast", every=timedelta(minutes=1), **policy)
    minutely = insert(name="minutely", cron="* * * * *", **policy)
    code = {"kind": "python", "payload": {"function": "example:greet"}}
    worker = insert(name="worker", every=timedelta(minutes=1), **policy, **code)
    dags = row_dags("job", 0)
    for own in (slow, worker):
        (task,) = dags[f"job_{own}"].tasks
        assert (task.retries, task.retry_delay, task.retry_exponential_backoff) == (5, timedelta(seconds=7), 3)
    for shared in (fast, minutely):
        (task,) = dags[f"job_{shared}"].tasks
        assert task.retries == 0


def test_building_twice_gives_the_same_bytes(insert: Insert) -> None:
    """A DAG that nobody edited is the DAG that Airflow has: no new version, however often it is parsed."""
    insert(name="cron", cron="0 9 * * *", timezone="Europe/Berlin")
    insert(name="every", every=timedelta(seconds=5), jitter=timedelta(seconds=1))
    insert(name="once", run_at="2031-01-01T00:00:00.123456Z")
    insert(name="by hand")
    first, second = row_dags("job", 0), row_dags("job", 0)
    assert list(first) == list(second)
    assert len(first) == 4
    for id, dag in first.items():
        assert serialized(dag) == serialized(second[id])


@pytest.mark.parametrize("edit", ['payload = \'{"url": "http://elsewhere/"}\'', "misfire = 'all'", "overlap = 'queue'"])
def test_what_is_read_at_the_fire_is_not_in_the_dag(ours: DictConnection, insert: Insert, edit: str) -> None:
    """Editing what a shift reads when it fires changes no byte of the DAG."""
    id = insert(cron="0 9 * * *")
    before = serialized(row_dags("job", 0)[f"job_{id}"])
    ours.execute(f"update job set {edit}".encode())
    assert serialized(row_dags("job", 0)[f"job_{id}"]) == before


@pytest.mark.parametrize(
    "edit",
    [
        "cron = '0 10 * * *'",
        "timezone = 'Asia/Tokyo'",
        "starts_at = '2031-01-01Z'",
        "name = 'another'",
        "owner = 'grace'",
        "kind = 'http'",
        "retries = 9",
        "retry_delay = '9 s'",
        "retry_backoff = 4",
    ],
)
def test_what_airflow_goes_by_is_in_the_dag(ours: DictConnection, insert: Insert, edit: str) -> None:
    """An edit of the schedule, or of what people see, changes the DAG; the bundle is told of exactly these columns."""
    id = insert(cron="0 9 * * *")
    before = serialized(row_dags("job", 0)[f"job_{id}"])
    seen = shards.snapshot(ours)
    ours.execute(f"update job set {edit}".encode())
    assert serialized(row_dags("job", 0)[f"job_{id}"]) != before
    _, (change,) = shards.changed_since(ours, seen)
    assert change.changes_dag


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"kind": "pnig"}, "did you mean 'ping'"),
        ({"payload": {"url": "http://127.0.0.1/", "hedaers": {}}}, "hedaers"),
        ({"payload": {}}, "url"),
        ({"cron": "0 9 30 2 *"}, "0 9 30 2 *"),
        ({"cron": "99 9 * * *"}, "99"),
    ],
)
def test_one_bad_row_hides_nobody(ours: DictConnection, insert: Insert, columns: dict[str, Any], words: str) -> None:
    """A row that cannot be built says why, and is the only one that has no DAG."""
    insert(name="before", every=timedelta(hours=1))
    bad = insert(name="bad", **columns)
    insert(name="after", cron="@daily")
    assert sorted(dag.dag_display_name for dag in row_dags("job", 0).values()) == ["after", "before"]
    assert words in error(ours, bad)
    assert ours.execute("select count(error) as bad from job").fetchone() == {"bad": 1}


def test_a_worker_builds_the_one_dag_that_it_runs(
    ours: DictConnection, insert: Insert, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Airflow says which DAG it wants, the others are not built, and nothing is said about the shard."""
    insert(name="one")
    wanted = insert(name="two")
    monkeypatch.setenv(_AIRFLOW_PARSING_CONTEXT_DAG_ID, f"job_{wanted}")  # as Airflow's own, which does not clean up
    assert list(row_dags("job", 0)) == [f"job_{wanted}"]
    assert ours.execute("select count(*) as built from shard").fetchone() == {"built": 0}


def test_a_shard_is_a_block_of_ids(insert: Insert) -> None:
    """Each row is in one shard and stays there; a shard without rows has no DAGs."""
    for id in (1, 63, 64, 127, 128):
        insert(id=id, name=f"row {id}")
    assert [list(row_dags("job", number)) for number in range(4)] == [
        ["job_1", "job_63"],
        ["job_64", "job_127"],
        ["job_128"],
        [],
    ]


def test_the_cost_in_statements_does_not_grow_with_rows(insert: Insert, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full shard asks the database as often as one with a single row."""
    asked: list[object] = []
    really = psycopg.Connection.execute

    def counted(self: psycopg.Connection[Any], query: Any, *rest: Any, **others: Any) -> Any:
        asked.append(query)
        return really(self, query, *rest, **others)

    for id in range(1, 64):
        insert(id=id, name=f"row {id}", cron="0 9 * * *", timezone="Europe/Berlin")
    insert(id=64, name="alone in its shard")
    monkeypatch.setattr(psycopg.Connection, "execute", counted)
    counts = []
    for number, rows in ((1, 1), (0, 63)):
        asked.clear()
        assert len(row_dags("job", number)) == rows
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 3


def test_airflow_finds_and_imports_the_files(
    insert: Insert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: DictConnection
) -> None:
    """A shard's file is tiny, looks like a DAG file to Airflow's search, and imports cleanly, bad rows and all."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path))
    insert(id=1, name="good", every=timedelta(seconds=5))
    insert(id=2, name="bad", payload={})
    insert(id=70, name="in the next shard", cron="@hourly")
    bundle = RowBundle(name="millrace")
    bundle.initialize()
    for file in bundle.path.iterdir():
        assert file.stat().st_size <= 1024  # Airflow keeps a copy with every version of every DAG
        assert might_contain_dag(str(file), safe_mode=True)
        text = file.read_text()
        assert "airflow" in text
        assert "dag" in text
    bag = DagBag(dag_folder=bundle.path, bundle_path=bundle.path, bundle_name="millrace")
    assert bag.import_errors == {}
    assert sorted(bag.dags) == ["job_1", "job_70"]
    assert bag.dags["job_70"].relative_fileloc == "job_00001.py"
    assert "url" in error(ours, 2)

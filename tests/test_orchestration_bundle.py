"""The bundle touches the files of shards whose DAGs changed, no others, and forgets none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

import include.actions
from include import registry
from include import settings as our_settings
from include.local.ports import free_port
from include.orchestration.bundle import RowBundle
from include.orchestration.factory import row_dags
from include.store import shards
from include.store.db import DictConnection, connect
from tests.dag_processor import Processor

pytest_plugins = ["tests.airflow_fixtures"]
pytestmark = [*OF_AIRFLOW, pytest.mark.usefixtures("ours")]

Insert = Callable[..., int]


@pytest.fixture
def processor(airflow_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processor]:
    """A processor that has not started yet."""
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path))
    made = Processor()
    yield made
    made.bundle._disconnect()


def error(ours: DictConnection, id: int) -> Any:
    row = ours.execute("select error from job where id = %s", (id,)).fetchone()
    assert row is not None
    return row["error"]


def three_shards(insert: Insert) -> None:
    for id in (1, 64, 128):
        insert(id=id, name=f"row {id}", cron="0 9 * * *")


def test_a_fresh_machine_gets_all_files(processor: Processor, insert: Insert) -> None:
    """Every shard that has rows has a file after the start; so has a worker, which starts a bundle for each task."""
    three_shards(insert)
    processor.bundle.initialize()
    assert processor.touched() == [0, 1, 2]


def test_without_rows_there_is_an_empty_folder(processor: Processor) -> None:
    """An empty table is not an error."""
    processor.bundle.initialize()
    assert processor.bundle.path.is_dir()
    assert processor.look() == []


def test_nothing_changed_nothing_happens(processor: Processor, insert: Insert) -> None:
    """While nobody edits anything, Airflow is told to stay away, and no file moves."""
    three_shards(insert)
    processor.start()
    for _ in range(3):
        assert processor.bundle.refresh_interval >= 60
    processor.bundle.refresh()  # Airflow may insist
    assert processor.touched() == []


@pytest.mark.parametrize(
    "edit",
    [
        'update job set payload = \'{"url": "http://127.0.0.1:9/other"}\' where id = 64',
        "update job set is_active = false where id = 64",
        "update job set max_lateness = '2 h', misfire = 'all' where id = 64",
        "update job set updated_at = now() where id = 64",
    ],
)
def test_an_edit_that_changes_no_dag_touches_nothing(
    processor: Processor, insert: Insert, ours: DictConnection, edit: str
) -> None:
    """A payload, or a pause, is read when the row fires; nothing is parsed for it."""
    three_shards(insert)
    processor.start()
    ours.execute(edit.encode())
    assert processor.look() == []
    assert processor.bundle.refresh_interval >= 60


@pytest.mark.parametrize(
    ("edit", "shard"),
    [
        ("update job set cron = '0 10 * * *' where id = 64", 1),
        ("update job set name = 'another' where id = 128", 2),
        ("insert into job (id, name, kind, payload) values (2, 'new', 'ping', '{\"url\": \"http://127.0.0.1/\"}')", 0),
        ("insert into job (id, name, kind, payload) values (999, 'x', 'ping', '{\"url\": \"http://127.0.0.1/\"}')", 15),
        ("delete from job where id = 1", 0),
    ],
)
def test_an_edit_touches_the_shard_of_its_row(
    processor: Processor, insert: Insert, ours: DictConnection, edit: str, shard: int
) -> None:
    """What changes a DAG makes one file be parsed, once; parse cost follows edits, not rows."""
    three_shards(insert)
    processor.start()
    ours.execute(edit.encode())
    assert processor.look_and_build() == [shard]
    assert processor.look() == []
    assert processor.bundle.refresh_interval >= 60


def test_airflow_lists_its_files_only_for_new_ones(processor: Processor, insert: Insert, ours: DictConnection) -> None:
    """A refresh loads every DAG there is; a file that Airflow knows is parsed because it was touched, without one."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set cron = '0 10 * * *' where id = 64")
    assert processor.bundle.refresh_interval >= 60
    assert processor.touched() == [1]
    row_dags("job", 1)
    insert(id=300, name="new")
    assert processor.bundle.refresh_interval == 0
    assert processor.look_and_build() == [4]
    assert processor.bundle.refresh_interval >= 60


def test_a_file_that_was_removed_is_written_anew(processor: Processor, insert: Insert, ours: DictConnection) -> None:
    """Whoever tidies up the folder loses nothing: the shard is built again with its next edit."""
    three_shards(insert)
    processor.start()
    (processor.bundle.path / "job_00001.py").unlink()
    ours.execute("update job set cron = '0 10 * * *' where id = 64")
    assert processor.look_and_build() == [1]
    assert processor.look() == []


def test_a_late_commit_is_not_missed(
    processor: Processor, insert: Insert, ours: DictConnection, airflow_url: str
) -> None:
    """A transaction that began before another one, and committed after that had been seen, is seen too."""
    three_shards(insert)
    processor.start()
    with connect(airflow_url) as slow:
        with slow.transaction():
            slow.execute("update job set cron = '1 1 * * *' where id = 128")
            ours.execute("update job set cron = '2 2 * * *' where id = 1")
            assert processor.look_and_build() == [0]
            assert processor.look() == []
        assert processor.look_and_build() == [2]
    assert processor.look() == []


def test_what_is_rolled_back_did_not_happen(processor: Processor, insert: Insert, airflow_url: str) -> None:
    """An edit that its transaction takes back touches nothing."""
    three_shards(insert)
    processor.start()
    with connect(airflow_url) as other, other.transaction(force_rollback=True):
        other.execute("update job set cron = '1 1 * * *' where id = 128")
        assert processor.look() == []
    assert processor.look() == []


def test_a_touch_is_repeated_until_the_shard_is_built(
    processor: Processor, insert: Insert, ours: DictConnection
) -> None:
    """Airflow drops a request for a file that it is parsing; a build that began before the edit does not count."""
    three_shards(insert)
    processor.start()
    under_way = shards.snapshot(ours)  # of a build that is parsing the old row
    ours.execute("update job set cron = '1 1 * * *' where id = 64")
    assert processor.look() == [1]
    shards.note_build(ours, "job", 1, under_way)
    assert processor.look() == [1]
    assert processor.look_and_build() == [1]
    assert processor.look() == []


def test_of_two_edits_of_a_shard_neither_is_forgotten(
    processor: Processor, insert: Insert, ours: DictConnection
) -> None:
    """A build that had seen one of two edits, seen in one look, is not enough, whichever it was."""
    three_shards(insert)
    insert(id=65, name="row 65", cron="0 9 * * *")
    processor.start()
    ours.execute("update job set cron = '1 1 * * *' where id = 64")
    between = shards.snapshot(ours)
    ours.execute("update job set cron = '1 1 * * *' where id = 65")
    assert processor.look() == [1]
    shards.note_build(ours, "job", 1, between)
    assert processor.look() == [1]
    assert processor.look_and_build() == [1]
    assert processor.look() == []


def test_a_worker_touches_nothing_that_is_there(processor: Processor, insert: Insert, ours: DictConnection) -> None:
    """A worker starts a bundle for each task: it makes the files that are missing, and no other is parsed for it."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set cron = '1 1 * * *' where id = 64")
    insert(id=300, name="new")
    worker = RowBundle(name="millrace")
    worker.initialize()
    assert processor.touched() == [4]
    assert processor.look() == [1, 4]


def test_a_bad_row_says_so_and_a_mended_one_is_built(
    processor: Processor, insert: Insert, ours: DictConnection
) -> None:
    """An edit that spoils a row, be it of the payload only, is marked on it; one that mends it builds its DAG."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set payload = '{}' where id = 64")
    assert processor.look_and_build() == [1]
    assert "url" in error(ours, 64)
    assert row_dags("job", 1) == {}
    ours.execute('update job set payload = \'{"url": "http://127.0.0.1:9/"}\' where id = 64')
    assert processor.look_and_build() == [1]
    assert error(ours, 64) is None
    assert list(row_dags("job", 1)) == ["job_64"]
    assert processor.look() == []


def test_a_row_that_was_bad_before_the_start_is_judged_anew(
    processor: Processor, insert: Insert, ours: DictConnection
) -> None:
    """A release may know kinds that the one before did not; what it has to say replaces what that one said."""
    three_shards(insert)
    insert(id=2, name="bad", kind="nosuch")
    ours.execute("update job set error = 'unknown kind ''ping''' where id = 1")
    processor.start()
    assert error(ours, 1) is None
    assert "nosuch" in error(ours, 2)


def test_a_kind_that_cannot_be_imported_is_its_rows_error(
    processor: Processor, insert: Insert, ours: DictConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in `actions/` that is broken marks the rows of its kind; the processor and all other rows go on."""
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "ping.py").touch()  # the real one is found first
    (actions / "broken.py").write_text("raise RuntimeError('half written')")
    monkeypatch.setattr(registry, "_HERE", tmp_path)
    monkeypatch.setattr(include.actions, "__path__", [*include.actions.__path__, str(actions)])
    registry.action_kinds.cache_clear()
    try:
        three_shards(insert)
        insert(id=2, name="bad", kind="broken")
        processor.start()
        assert "half written" in error(ours, 2)
        insert(id=3, name="bad too", kind="broken")
        assert processor.look_and_build() == [0]
        assert "half written" in error(ours, 3)
        assert list(row_dags("job", 0)) == ["job_1"]
    finally:
        registry.action_kinds.cache_clear()


def test_a_lost_connection_loses_no_edit(processor: Processor, insert: Insert, ours: DictConnection) -> None:
    """PostgreSQL restarts; what was edited meanwhile is seen as soon as it answers again."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set cron = '1 1 * * *' where id = 64")
    ours.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where application_name = 'millrace-bundle' and datname = current_database()"
    )
    assert processor.look() == []
    assert processor.look() == [1]


def test_an_open_transaction_on_a_bad_row_holds_nobody_up(
    processor: Processor, insert: Insert, ours: DictConnection, airflow_url: str
) -> None:
    """While somebody edits a bad row, the others are looked at; when the edit is committed, so is the row."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set payload = '{}' where id = 64")
    with connect(airflow_url) as other, other.transaction():
        other.execute("update job set cron = '2 2 * * *' where id = 64")
        processor.look()
    assert processor.look() == [1]
    assert "url" in error(ours, 64)


def test_a_connection_lost_in_the_middle_loses_no_edit(
    processor: Processor, insert: Insert, ours: DictConnection, airflow_url: str
) -> None:
    """A look that breaks off after it has learnt what changed, and before that is noted, is had again."""
    three_shards(insert)
    processor.start()
    ours.execute("update job set payload = '{}', cron = '1 1 * * *' where id = 64")
    with connect(airflow_url) as other, ThreadPoolExecutor() as second, other.transaction(force_rollback=True):
        # Readers pass, writers wait: so the look waits with the row's error in hand.
        other.execute("lock table job in share mode")
        look = second.submit(processor.look)
        ends = (
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'millrace-bundle'"
            " and datname = current_database() and wait_event_type = 'Lock'"
        )
        while not look.done() and ours.execute(ends).fetchone() is None:
            time.sleep(0.01)
        assert look.result(10) == []
    assert processor.look() == [1]
    assert "url" in error(ours, 64)


def test_the_database_may_be_away(
    processor: Processor, insert: Insert, airflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that cannot be had is no error: it would end the processor. The next one tries again."""
    three_shards(insert)
    processor.start()
    processor.bundle._disconnect()
    with monkeypatch.context() as away:
        away.setenv("MILLRACE_DATABASE_URL", psycopg.conninfo.make_conninfo(airflow_url, port=free_port()))
        our_settings.settings.cache_clear()
        for _ in range(2):
            assert processor.bundle.refresh_interval >= 60
    our_settings.settings.cache_clear()
    insert(id=65, name="new", every=timedelta(hours=1))
    assert processor.look() == [1]

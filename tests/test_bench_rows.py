"""The rows of the bench: what is inserted is what was wished, and what is counted is what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from bench.calls import Window, occurrences
from bench.peer import run_peer
from bench.rows import LogFacts, NewConnector, NewJob, NewWorkflow, Progress, Rows, final
from bench.source_process import Source
from include.model import Connector
from include.shifts.execution import webhook_id
from include.store.rows import job_from_row

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    with closing(Rows(database_url)) as connected:
        yield connected


# -- jobs -------------------------------------------------------------------------------------------------------------


def test_what_is_expected_is_the_schedules_arithmetic(rows: Rows) -> None:
    """A window holds its start and not its end; a job every 2 s is due 30 times a minute, a cron job as it says."""
    fast = NewJob("fast", "http://127.0.0.1:9/", every=2 * SECOND)
    slow = NewJob("slow", "http://127.0.0.1:9/", cron="0 0 * * * *")
    jobs = rows.insert([fast, slow])
    hour = (datetime.now(timezone.utc) + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    due = occurrences(jobs, Window(hour, hour + timedelta(minutes=1)))
    assert len(due) == 31
    assert due[webhook_id(jobs[1].id, hour)] == hour
    assert webhook_id(jobs[1].id, hour) not in occurrences(jobs, Window(hour - timedelta(minutes=1), hour))


def test_jobs_are_inserted_in_order_and_edited(rows: Rows, db: Any) -> None:
    """One statement inserts what was wished, and the jobs that come back are those rows."""
    jobs = rows.insert([NewJob(f"bench {number}", f"http://sink/{number}", cron="@daily") for number in range(5)])
    assert [job.payload["url"] for job in jobs] == [f"http://sink/{number}" for number in range(5)]
    rows.change_url(jobs[0], "http://sink/new")
    rows.pause(jobs[1])
    found = [job_from_row(row) for row in db.execute("select * from job order by id")]
    assert [job.id for job in found] == [job.id for job in jobs]
    assert found[0].payload == {**jobs[0].payload, "url": "http://sink/new"}
    assert (found[0].is_active, found[1].is_active) == (True, False)


def test_the_ledger_is_counted_by_status(rows: Rows, db: Any) -> None:
    """Only these jobs, only this window; what is under way is not final."""
    window = Window(NOON, NOON + timedelta(minutes=1))
    jobs = rows.insert([NewJob("one", "http://sink/"), NewJob("other", "http://sink/")])
    for job, seconds, status in (
        (jobs[0], 0, "success"),
        (jobs[0], 59, "running"),
        (jobs[0], 30, "missed"),
        (jobs[0], 60, "success"),
        (jobs[1], 0, "success"),
    ):
        finished = None if status == "running" else NOON
        db.execute(
            "insert into execution (job_id, scheduled_for, status, finished_at) values (%s, %s, %s, %s)",
            (job.id, NOON + seconds * SECOND, status, finished),
        )
    ledger = rows.ledger(jobs[:1], window)
    assert ledger == {"success": 1, "running": 1, "missed": 1}
    assert final(ledger) == 2


# -- connectors and workflows -----------------------------------------------------------------------------------------


def a_connector(rows: Rows, name: str = "source") -> Connector:
    [connector] = rows.insert_connectors([NewConnector(name, {"base_url": "http://127.0.0.1:9"})])
    return connector


def test_connectors_are_inserted_in_order(rows: Rows) -> None:
    """The connectors that come back know when they are due; one without an interval never is."""
    wishes = [NewConnector("timed", {"path": "a"}, 30 * SECOND), NewConnector("by hand", {"path": "b"})]
    timed, by_hand = rows.insert_connectors(wishes)
    assert (timed.name, timed.kind, timed.config, timed.every) == ("timed", "rest", {"path": "a"}, 30 * SECOND)
    due = list(timed.schedule.between(NOON + timedelta(days=900), NOON + timedelta(days=900, minutes=1)))
    assert len(due) == 2
    assert by_hand.every is None
    assert by_hand.dag_id == f"connector_{by_hand.id}"


def test_an_appended_backlog_is_a_log(rows: Rows, db: Any) -> None:
    """Positions and keys count from 1 to the number that was asked for, and records are about 400 bytes long."""
    connector, empty = a_connector(rows), a_connector(rows, "empty")
    rows.append(connector, 2500)
    assert rows.heads([connector, empty]) == {connector.id: 2500, empty.id: 0}
    facts = rows.log_facts([connector, empty])
    assert facts == {connector.id: LogFacts(2500, 2500, 1, 2500, 0), empty.id: LogFacts(0, 0, 0, 0, 0)}
    assert facts[connector.id].is_gapless
    [length] = db.execute("select length(payload::text) as bytes from record where position = 1000").fetchall()
    assert 350 <= length["bytes"] <= 450


def test_log_facts_see_what_is_missing_or_out_of_order(rows: Rows, db: Any) -> None:
    """A gap in the keys, a key after a larger one; what lies beyond the limit is not looked at."""
    connector = a_connector(rows)
    for key in (1, 2, 4, 3, 9):
        db.execute("insert into record (connector_id, key, payload) values (%s, %s, '{}')", (connector.id, str(key)))
    assert rows.log_facts([connector]) == {connector.id: LogFacts(5, 5, 1, 5, 1)}
    assert rows.log_facts([connector], {connector.id: 2}) == {connector.id: LogFacts(2, 2, 1, 2, 0)}
    assert not LogFacts(2, 2, 1, 3, 0).is_gapless


def test_complaints_are_the_rows_own(rows: Rows, db: Any) -> None:
    """What the row or its last pull says; who has nothing to say is not there."""
    connectors = [a_connector(rows, name) for name in ("well", "wrong", "refused")]
    db.execute("update connector set error = 'no such kind' where name = 'wrong'")
    db.execute("update connector set last_error = '404' where name = 'refused'")
    assert sorted(rows.complaints(connectors)) == ["refused: 404", "wrong: no such kind"]


def test_workflows_call_a_path_of_their_own(rows: Rows, db: Any) -> None:
    """Each belongs to its user, begins at the first record, and posts to a path with its id."""
    connector = a_connector(rows)
    wishes = [NewWorkflow("w", f"user{number}@example.com", connector, "http://sink", SECOND) for number in range(3)]
    workflows = rows.insert_workflows(wishes)
    assert [workflow.owner for workflow in workflows] == [wish.owner for wish in wishes]
    assert [workflow.payload for workflow in workflows] == [
        {"url": f"http://sink/workflow/{workflow.id}"} for workflow in workflows
    ]
    assert {workflow.connector_name for workflow in workflows} == {"source"}
    assert rows.progress(workflows) == Progress(0, 0)
    db.execute("update workflow_progress set processed = 7 where workflow_id = %s", (workflows[1].id,))
    assert rows.progress(workflows) == Progress(7, 0)


def test_everything_is_cleared_away(rows: Rows, db: Any) -> None:
    """The next scenario finds nothing, not even the records."""
    rows.insert([NewJob("job", "http://sink/")])
    connector = a_connector(rows)
    rows.append(connector, 10)
    rows.insert_workflows([NewWorkflow("w", "user@example.com", connector, "http://sink", SECOND)])
    rows.clear()
    for table in (b"job", b"connector", b"workflow", b"record"):
        assert db.execute(b"select count(*) as rows from " + table).fetchone() == {"rows": 0}


def test_a_lost_connection_is_made_anew(rows: Rows, db: Any) -> None:
    """The statement that meets the loss fails; the next one works."""
    connector = a_connector(rows)
    db.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'millrace-bench'")
    with pytest.raises(psycopg.OperationalError):
        rows.heads([connector])
    assert rows.heads([connector]) == {connector.id: 0}


# -- the peer ---------------------------------------------------------------------------------------------------------


@pytest.mark.fresh_database
@pytest.mark.e2e
def test_the_peer_loads_what_the_source_has(database_url: str, db: Any, tmp_path: Any) -> None:
    """dlt then has all records in a table of its own, and says how long each part took; its files are in its folder."""
    with closing(Source(items=25, page=10)) as source:
        peer = run_peer(source.url, 10, database_url, tmp_path / "peer")
        assert peer is not None
        assert len(source.asked()) == 3
    assert peer.records == 25
    assert list(peer.seconds) == ["import", "extract", "normalize", "load"]
    assert 0 < peer.records_per_s_with_import < peer.records_per_s
    assert db.execute("select count(distinct id) as items from peer.items").fetchone() == {"items": 25}
    assert [path.name for path in tmp_path.iterdir()] == ["peer"]

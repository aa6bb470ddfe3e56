"""The schema keeps its own rules: migrations, constraints, revisions, the audit, notifications."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from include.errors import ConfigError
from include.local.postgres import Postgres
from include.store import migrate as migrations
from include.store.db import DictConnection, connect, queries
from include.store.rows import job_from_row


def add_job(db: DictConnection, name: str = "a", **columns: Any) -> int:
    """Insert a job as a person would, with SQL."""
    columns = {"kind": "ping", "payload": '{"url": "http://localhost/"}', "name": name, **columns}
    names = ", ".join(columns)
    marks = ", ".join(f"%({column})s" for column in columns)
    row = db.execute(f"insert into job ({names}) values ({marks}) returning id", columns).fetchone()
    assert row is not None
    return int(str(row["id"]))


def one(db: DictConnection, sql: str, *parameters: object) -> dict[str, Any]:
    row = db.execute(sql, parameters).fetchone()
    assert row is not None
    return row


def test_migrating_an_empty_database_applies_every_file_once(server: Postgres) -> None:
    """From empty, every migration is applied in order; a second time there is nothing to do."""
    server.create_database("from_empty")
    files = sorted(file.stem for file in (migrations._HERE / "migrations").glob("*.sql"))
    assert migrations.migrate(server.url("from_empty")) == files
    assert migrations.migrate(server.url("from_empty")) == []


def test_an_edited_migration_is_refused(server: Postgres) -> None:
    """A migration that was changed after it was applied is named, and nothing is done."""
    server.create_database("edited")
    migrations.migrate(server.url("edited"))
    with connect(server.url("edited")) as db:
        db.execute("update migration set sha256 = 'other'")
    with pytest.raises(ConfigError, match=r"0001_jobs\.sql was edited"):
        migrations.migrate(server.url("edited"))


def test_plain_sql_finds_the_tables(database_url: str) -> None:
    """A person who connects with the database's URL alone may write `job` for `millrace.job`."""
    with psycopg.connect(database_url) as plain:
        assert plain.execute("select count(*) from job").fetchone() == (0,)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"cron": "* * *"}, "is not a cron expression"),
        ({"cron": "@never"}, "is not a cron expression"),
        ({"cron": "* * * * *; drop"}, "is not a cron expression"),
        ({"timezone": "Mars/Olympus"}, "is not a time zone"),
        ({"timezone": "EST5EDT4"}, "is not a time zone"),
        ({"cron": "* * * * *", "every": "1 minute"}, "at_most_one_schedule"),
        ({"every": "0.5 seconds"}, "job_every_check"),
        ({"every": "1 month"}, "job_every_check"),
        ({"payload": "[]"}, "job_payload_check"),
        ({"kind": "Ping!"}, "job_kind_check"),
        ({"overlap": "maybe"}, "job_overlap_check"),
        ({"misfire": "some"}, "job_misfire_check"),
        ({"retries": -1}, "job_retries_check"),
        ({"timeout": "0"}, "job_timeout_check"),
        ({"name": " a "}, "job_name_check"),
        ({"starts_at": "2026-02-01", "ends_at": "2026-01-01"}, "starts_before_it_ends"),
        ({"run_at": "infinity"}, "instants_between_1970_and_9000"),
        ({"run_at": "0001-01-01"}, "instants_between_1970_and_9000"),
        ({"paused_until": "infinity"}, "instants_between_1970_and_9000"),
        ({"starts_at": "20000-01-01"}, "instants_between_1970_and_9000"),
    ],
)
def test_a_bad_row_is_refused_by_the_database(db: DictConnection, columns: dict[str, Any], says: str) -> None:
    """What can be seen to be wrong never becomes a row, and the message names what is wrong."""
    with pytest.raises(psycopg.errors.CheckViolation, match=says):
        add_job(db, **columns)


@pytest.mark.parametrize(
    "cron", ["*/5 * * * *", "15 0 9 * * mon-fri", "@daily", "0 0 L * *", "0 9 * * mon#1", " 1 2 3 4 5"]
)
def test_good_cron_expressions_are_let_in(db: DictConnection, cron: str) -> None:
    """The coarse check of the database refuses nothing that is meant to work."""
    add_job(db, cron=cron)


def test_defaults_are_those_of_the_contract(db: DictConnection) -> None:
    """A row with a name, a kind and a payload is complete."""
    job = job_from_row(one(db, "select * from job where id = %s", add_job(db)))
    assert (job.overlap, job.misfire, job.max_lateness) == ("skip", "latest", timedelta(hours=1))
    assert (job.retry.retries, job.retry.delay, job.retry.backoff) == (3, timedelta(seconds=2), 2)
    assert (job.timeout, job.delivery, job.is_active) == (timedelta(seconds=30), "at_least_once", True)
    assert (job.schedule.timezone, job.schedule.jitter) == ("UTC", timedelta(0))


def test_every_change_has_a_revision_and_schedule_changes_one_of_their_own(db: DictConnection) -> None:
    """Editing a payload moves `revision`; editing the schedule moves `schedule_revision` and its instant, too."""
    job_id = add_job(db, every="1 minute")
    select = "select revision, schedule_revision, schedule_changed_at from job where id = %s"
    created = one(db, select, job_id)
    db.execute("update job set payload = %s where id = %s", ('{"url": "http://x/"}', job_id))
    edited = one(db, select, job_id)
    assert edited["revision"] > created["revision"]
    assert edited["schedule_revision"] == created["schedule_revision"]
    db.execute("update job set every = '2 minutes' where id = %s", (job_id,))
    rescheduled = one(db, select, job_id)
    assert rescheduled["schedule_revision"] == rescheduled["revision"] > edited["revision"]
    assert rescheduled["schedule_changed_at"] > created["schedule_changed_at"]


def test_marking_an_error_is_no_edit(db: DictConnection) -> None:
    """What Millrace writes about a row neither moves its revision nor fills the audit."""
    job_id = add_job(db)
    before = one(db, "select revision, (select count(*) from audit) as audited from job where id = %s", job_id)
    db.execute("update job set error = 'bad' where id = %s", (job_id,))
    assert one(db, "select revision, (select count(*) from audit) as audited from job where id = %s", job_id) == before


def test_the_id_of_a_job_cannot_change(db: DictConnection) -> None:
    """The id names the DAG and the ledger's rows; an update of it is refused with the remedy."""
    job_id = add_job(db)
    with pytest.raises(psycopg.errors.CheckViolation, match="the id of a job cannot change"):
        db.execute("update job set id = 99 where id = %s", (job_id,))


def test_the_audit_says_who_when_how_and_what(database_url: str) -> None:
    """Insert, update and delete each leave a row with old and new; only what a DAG shows counts as a change of DAG."""
    with connect(database_url, via="cli", actor="ada lovelace") as db:
        job_id = add_job(db)
        db.execute("update job set payload = '{}' where id = %s", (job_id,))
        db.execute("update job set name = 'b' where id = %s", (job_id,))
        db.execute("delete from job where id = %s", (job_id,))
        rows = db.execute("select * from audit order by id").fetchall()
    assert [(row["operation"], row["changes_dag"]) for row in rows] == [
        ("insert", True),
        ("update", False),
        ("update", True),
        ("delete", True),
    ]
    assert {(row["actor"], row["via"], row["row_id"]) for row in rows} == {("ada lovelace", "cli", job_id)}
    assert rows[2]["old"]["name"] == "a"  # type: ignore[index]
    assert rows[2]["new"]["name"] == "b"  # type: ignore[index]


def test_a_change_is_announced(database_url: str, db: DictConnection) -> None:
    """Whoever listens on `millrace` hears which row changed, once its transaction has committed."""
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute("listen millrace")
        job_id = add_job(db)
        heard = [notice.payload for notice in listener.notifies(timeout=5, stop_after=1)]
    assert heard == [f"job:{job_id}"]


@pytest.mark.fresh_database
def test_partitions_take_over_what_the_default_one_held(db: DictConnection) -> None:
    """A day that gets its partition late keeps the executions that were written before."""
    then = datetime(2020, 5, 17, 12, tzinfo=timezone.utc)
    insert = "insert into execution (job_id, scheduled_for, status, finished_at) values (1, %s, 'missed', now())"
    db.execute(insert, (then,))
    made = one(db, "select make_execution_partitions(%s, %s) as made", date(2020, 5, 16), date(2020, 5, 18))
    assert made == {"made": 3}
    where = one(db, "select tableoid::regclass::text as place from execution where scheduled_for = %s", then)
    assert where == {"place": "execution_20200517"}
    again = one(db, "select make_execution_partitions(%s, %s) as made", date(2020, 5, 16), date(2020, 5, 18))
    assert again == {"made": 0}


def test_an_execution_is_final_if_and_only_if_it_is_finished(db: DictConnection) -> None:
    """A success without an end, or a running one with an end, cannot be stored."""
    for values in ("'success', null", "'running', now()"):
        with pytest.raises(psycopg.errors.CheckViolation, match="final_rows_are_finished"):
            db.execute(
                f"insert into execution (job_id, scheduled_for, status, finished_at) values (1, now(), {values})"
            )


@pytest.mark.parametrize("file", ["ledger", "shards"])
def test_every_statement_has_a_sentence(file: str) -> None:
    """A statement says in words what it does before it does it."""
    for name, text in queries(file).items():
        assert text.startswith("-- "), f"{file}.sql: {name} has no sentence"


def test_what_waits_for_a_retry_ends_with_its_job(db: DictConnection) -> None:
    """Nobody will make the retry of a job that is deleted; what is under way is left to whoever is at it."""
    job_id = add_job(db)
    db.execute(
        "insert into execution (job_id, scheduled_for, status, attempt, claimed_by) values"
        " (%(id)s, now(), 'retrying', 1, null), (%(id)s, now() - interval '1 s', 'running', 1, gen_random_uuid())",
        {"id": job_id},
    )
    db.execute("delete from job")
    rows = db.execute("select status, reason from execution order by scheduled_for").fetchall()
    assert rows == [
        {"status": "running", "reason": None},
        {"status": "cancelled", "reason": "the job was deleted"},
    ]

"""A month of a system of 500 jobs, a day at a time: with upkeep nothing grows.

The days are in the past, and `now` moves through them. A day is filled by SQL, at a hundredth of the real volume of
500 jobs that fire once a minute: 7,500 executions, 1,000 runs, 2,500 records, and of everything else in proportion.
Things are kept for four days (the ledger looks back three), so that from the sixth day on each day must look like the
one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median

import pytest

from tests.airflow_system import OF_AIRFLOW  # isort: split

import sqlalchemy
from airflow.models.base import Base
from airflow.utils.db import import_all_models

from include.local.database import Database
from include.local.postgres import Postgres
from include.store.db import DictConnection, connect
from include.store.migrate import adopt_airflow
from tests.upkeep_rounds import DAY, NOW, round_of

pytestmark = [*OF_AIRFLOW, pytest.mark.e2e, pytest.mark.timeout(600)]

TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = 30
KEPT = 4
KEEP = {f"keep_{what}_days": KEPT for what in ("executions", "records", "keys", "audit", "runs")}
FLAT_FROM = KEPT + 2
# People's own, one per DAG or row or name; and what counts all there ever was, by the day, on purpose.
GROWS = {"tally"}

ROWS = """
insert into job (name, kind, payload, every)
select 'job ' || n, 'ping', '{"url": "http://127.0.0.1:9/"}', interval '1 minute' from generate_series(1, 500) as n;
insert into connector (name, kind) select 'source ' || n, 'webhook' from generate_series(1, 10) as n;
insert into workflow (name, connector_id, kind, payload)
select 'flow ' || id, id, 'webhook', '{"url": "http://127.0.0.1:9/"}' from connector;
insert into public.dag_bundle (name) values ('millrace');
insert into public.dag (dag_id, is_paused, is_stale, bundle_name, relative_fileloc, timetable_type,
                        partition_mapper_info, max_active_tasks, max_consecutive_failed_dag_runs,
                        has_task_concurrency_limits, last_parsed_time)
select 'job_' || id, false, false, 'millrace', 'a.py', 'x', '{}', 16, 0, false, now() from job;
insert into public.asset (name, uri, "group", extra, created_at, updated_at)
select 'a' || n, 'a' || n, 'asset', '{}', now(), now() from generate_series(1, 10) as n;
"""

A_DAY = """
select make_execution_partitions(%(day)s::date, %(day)s::date);
insert into execution (job_id, scheduled_for, status, attempt, attempts, started_at, finished_at, claim)
select j.id, at, case when j.id %% 97 = 0 then 'failed' else 'success' end, 1,
       '[{"attempt": 1, "code": 200, "ms": 12}]', at, at + interval '1 second', 1
from job j, generate_series(%(day)s::timestamptz, %(day)s::timestamptz + interval '23 hours',
                            interval '100 minutes') as at;
update job set payload = jsonb_build_object('url', 'http://127.0.0.1:9/' || %(number)s) where id <= 20;
update audit set at = %(day)s where at > now() - interval '1 hour';

do $$ declare c bigint; begin
    for c in select id from connector loop
        perform append_records(c, (select jsonb_agg(jsonb_build_object('key', %(number)s || '-' || n, 'payload',
            jsonb_build_object('n', n, 'text', repeat('x', 200)))) from generate_series(1, 250) as n));
    end loop;
end $$;
update record set created_at = %(day)s where created_at > now() - interval '1 hour';
update workflow_progress p set position = c.head from workflow w join connector c on c.id = w.connector_id
where p.workflow_id = w.id;
insert into dead_letter (workflow_id, connector_id, position, status, error, created_at, resolved_at)
select w.id, w.connector_id, p.position - n, 'redriven', 'no', %(day)s, %(day)s
from workflow w join workflow_progress p on p.workflow_id = w.id, generate_series(1, 5) as n;
insert into delivery (connector_id, id, positions, created_at)
select c.id, %(number)s || '-' || n, '{1}', %(day)s from connector c, generate_series(1, 50) as n;
insert into timer (url, due_at) select 'http://127.0.0.1:9/', %(day)s from generate_series(1, 1000);
update timer set status = 'fired', finished_at = due_at, fired_at = due_at, attempt = 1 where status = 'pending';
insert into notice (at, table_name, name, owner, event, detail, channel, sent_at)
select %(day)s, 'job', 'a', 'a', 'failure', 'no', '{}', %(day)s from generate_series(1, 200);
insert into idempotency_key (caller, key, request, status, created_at)
select 'a', %(number)s || '-' || n, '', 200, %(day)s from generate_series(1, 200) as n;
insert into trial (owner, kind, payload, timeout, created_at)
select 'a', 'ping', '{}', '1 second', %(day)s from generate_series(1, 50);
insert into lease (owner, until) select gen_random_uuid(), %(day)s from generate_series(1, 5);

insert into public.dag_version (id, version_number, dag_id, created_at, last_updated)
select gen_random_uuid(), %(number)s, dag_id, %(day)s, %(day)s from public.dag where dag_id like 'job\\_%%0';
insert into public.serialized_dag (id, dag_id, created_at, last_updated, dag_hash, dag_version_id, data)
select gen_random_uuid(), dag_id, created_at, created_at, 'h', id, to_json(repeat('x', 1400))
from public.dag_version where created_at = %(day)s;
insert into public.dag_code (id, dag_id, fileloc, created_at, last_updated, source_code, source_code_hash,
                             dag_version_id)
select gen_random_uuid(), dag_id, 'a.py', created_at, created_at, repeat('x', 300), 'h', id
from public.dag_version where created_at = %(day)s;
with run as (
    insert into public.dag_run (dag_id, run_id, run_type, run_after, logical_date, data_interval_start,
                                data_interval_end, start_date, end_date, state, updated_at, conf)
    select dag_id, 'scheduled__' || at, 'scheduled', at, at, at, at, at, at + interval '1 hour', 'success', at, '{}'
    from public.dag, generate_series(%(day)s::timestamptz, %(day)s::timestamptz + interval '18 hours',
                                     interval '12 hours') as at
    returning *
), task as (
    insert into public.task_instance (id, task_id, dag_id, run_id, map_index, state, try_number, pool, pool_slots,
                                      start_date, updated_at)
    select gen_random_uuid(), 'fire', dag_id, run_id, -1, 'success', 1, 'default_pool', 1, start_date, start_date
    from run returning *
)
insert into public.xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, timestamp, value)
select run.id, 'fire', -1, 'return_value', dag_id, run_id, start_date, '"60 sent"' from run;
insert into public.log (dttm, event, run_id, extra)
select %(day)s, 'success', 'r', repeat('x', 100) from generate_series(1, 500);
insert into public.asset_event (asset_id, extra, timestamp)
select id, '{}', %(day)s from public.asset, generate_series(1, 100);
insert into public.callback (id, type, fetch_method, data, state, priority_weight, created_at)
select gen_random_uuid(), 'a', 'b', '{}', 'success', 1, %(day)s from generate_series(1, 100);
insert into public.job (job_type, state, latest_heartbeat)
select 'TriggererJob', 'failed', %(day)s from generate_series(1, 20);
"""

SIZES = """
select n.nspname || '.' || c.relname as name,
       coalesce((select sum(pg_total_relation_size(relid)) from pg_partition_tree(c.oid)),
                pg_total_relation_size(c.oid))::bigint as bytes
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('millrace', 'public') and c.relkind in ('r', 'p') and not c.relispartition
"""


@pytest.fixture
def whole(server: Postgres) -> Iterator[DictConnection]:
    """A database of its own with both schemas, and the rows of people."""
    with connect(server.url("postgres")) as admin:
        admin.execute("create database month template template")
        admin.execute("alter database month set search_path = millrace, public")
    url = server.url("month")
    import_all_models()
    engine = sqlalchemy.create_engine(Database(url).for_airflow, connect_args={"options": "-c search_path=public"})
    Base.metadata.create_all(engine)
    engine.dispose()
    adopt_airflow(url)
    with connect(url) as db:
        db.execute(ROWS.encode())
        yield db


def live_a_day(db: DictConnection, number: int) -> datetime:
    """Everything that a day leaves behind; the end of the day."""
    day = TODAY - (DAYS - number) * DAY
    values = {"day": f"'{day.isoformat()}'", "number": f"'{number}'"}
    db.execute((A_DAY % values).encode())  # a block of PL/pgSQL takes no parameters
    return day + DAY


def sizes(db: DictConnection) -> dict[str, tuple[int, int]]:
    """Of each table its rows and its bytes, with indexes."""
    found = {}
    for row in db.execute(SIZES).fetchall():
        [counted] = db.execute(f"select count(*) as rows from {row['name']}".encode()).fetchall()
        found[str(row["name"])] = (int(str(counted["rows"])), int(str(row["bytes"])))
    return found


async def test_a_month_leaves_no_table_larger(
    whole: DictConnection, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the sixth day on no table of ours or of Airflow's has more rows or takes more room than before, nor do the
    chores take longer; nobody's newest run or execution is gone."""
    monkeypatch.setattr("include.store.upkeep._LONGEST_PAUSE_SECONDS", 0.0)  # nobody else is at work here
    early, late = range(FLAT_FROM, FLAT_FROM + 8), range(DAYS - 8, DAYS)
    seen: dict[int, dict[str, tuple[int, int]]] = {}
    seconds: list[float] = []
    removed = 0
    for number in range(DAYS):
        now = live_a_day(whole, number)
        done = await round_of(server.url("month"), now=now + timedelta(minutes=1), ledger_days=KEPT - 1, **KEEP)
        assert done is not None
        assert {name: chore.error for name, chore in done.items() if chore.error} == {}
        seconds.append(sum(chore.seconds for chore in done.values()))
        removed += sum(chore.changed for chore in done.values())
        whole.execute("vacuum analyze")  # as autovacuum would in a day
        if number in early or number in late:
            seen[number] = sizes(whole)
    grown = {}
    for table in seen[DAYS - 1]:
        for what, allowed in ((0, 1.05), (1, 1.25)):
            before, after = (max(seen[day][table][what] for day in days) for days in (early, late))
            if after > before * allowed + (1 if what == 0 else 128 * 1024):
                grown[table, what] = (before, after)
    assert {key: value for key, value in grown.items() if key[0].split(".")[1] not in GROWS} == {}
    assert removed > 200_000
    third = (DAYS - FLAT_FROM) // 3
    assert median(seconds[-third:]) < 2 * median(seconds[FLAT_FROM : FLAT_FROM + third])
    for sql in (
        "select count(distinct job_id) as n from execution",
        "select count(distinct dag_id) as n from public.dag_run",
    ):
        assert whole.execute(sql.encode()).fetchone() == {"n": 500}

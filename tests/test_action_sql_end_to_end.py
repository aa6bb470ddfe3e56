"""Kind `sql` in the whole system, really started: a row, its Airflow connection, a worker, the ledger."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.real_system import System, wait_for

pytest_plugins = ["tests.real_system_fixtures"]
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def test_a_row_runs_statements_on_a_worker(system: System) -> None:
    """Triggered by hand, the row's statements are committed; the ledger has the rows that they returned."""
    url = urlsplit(system.facts["database_url"])
    system.sql("create table public.tally (n int)")
    system.api(
        "POST",
        "/connections",
        {
            "connection_id": "tally",
            "conn_type": "postgres",
            "host": url.hostname,
            "port": url.port,
            "schema": url.path.removeprefix("/"),
            "login": url.username,
            "password": url.password,
            "extra": '{"sslmode": "prefer"}',
        },
    )
    sql = "insert into public.tally select generate_series(1, %(up_to)s); select sum(n) from public.tally"
    payload = {"conn_id": "tally", "sql": sql, "parameters": {"up_to": 4}}
    job = system.insert("job", name="tally", kind="sql", payload=payload)
    wait_for(lambda: system.sql("select 1 from public.dag where dag_id = %s", f"job_{job}"), "DAG")
    system.api("POST", f"/dags/job_{job}/dagRuns", {"logical_date": None})
    ended = "select status, output from execution where job_id = %s and status in ('success', 'failed')"
    [row] = wait_for(lambda: system.sql(ended, job), "execution")
    assert row["status"] == "success", row
    assert row["output"]["line"] == "2 statements, 4 rows changed, 1 row read"
    assert row["output"]["statements"][1] == {"read": 1, "columns": ["sum"], "rows": [[10]]}
    assert system.sql("select count(*) as n from public.tally") == [{"n": 4}]
    system.sql("delete from job where id = %s", job)
    system.sql("drop table public.tally")
